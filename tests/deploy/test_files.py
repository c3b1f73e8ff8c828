"""The unit of systemd, the images, the compose file and the workflows: their checkers accept them, and refuse wrong ones."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml

from conftest import ROOT, outcrop, run

UNIT = "deploy/systemd/outcrop.service"
# systemd's own measure of what a service can reach, in tenths: 100 is everything.
MOST_EXPOSED = 15


def unit(folder, change=lambda text: text):
    """The unit in a folder of its own, with programs that exist here, and with its drop-in."""
    file = folder / "outcrop.service"
    file.write_text(change((ROOT / UNIT).read_text()).replace("/usr/local/bin/outcrop", "/bin/true"))
    extension = folder / "outcrop.service.d" / "redis.conf"
    extension.parent.mkdir(exist_ok=True)
    extension.write_text((ROOT / "deploy/systemd/outcrop.service.d/redis.conf").read_text())
    return file


def verified(file):
    # Warnings, such as those about settings that are not known, do not change the exit code.
    return run(["systemd-analyze", "verify", "--man=no", file], check=False).stderr


def exposed(file, check=True):
    return run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", file], check=check)


def test_the_unit_is_valid_and_hardened(folder):
    assert verified(unit(folder)) == ""
    exposed(unit(folder))


def test_a_wrong_unit_is_refused(folder):
    assert "RestartSecs" in verified(unit(folder, lambda text: text.replace("RestartSec=", "RestartSecs=")))
    assert exposed(unit(folder, lambda text: text.replace("SystemCallFilter=@system-service", "")), check=False).returncode != 0


def test_the_service_has_the_time_that_its_shutdown_takes(folder):
    text = (ROOT / "deploy/systemd/outcrop.toml").read_text()
    seconds = {"s": 1, "m": 60}
    settings = tomllib.loads(text)
    took = sum(int(settings[key][:-1]) * seconds[settings[key][-1]] for key in ("lame_duck", "grace"))
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", (ROOT / UNIT).read_text(), re.MULTILINE)[1]) >= took + 10
    # The server accepts the file, whose folders the unit makes.
    file = folder / "outcrop.toml"
    file.write_text(text.replace("/var/log/outcrop", str(folder)).replace("/var/lib/outcrop", str(folder)))
    assert outcrop("check", "--config", file).stdout.startswith("ok\n")


def test_the_images_are_built_as_hadolint_asks(folder):
    run(["hadolint", "Dockerfile"])
    wrong = folder / "Dockerfile"
    wrong.write_text("FROM debian\nRUN apt-get install curl\n")
    done = run(["hadolint", wrong], check=False)
    assert done.returncode == 1 and "DL3006" in done.stdout


def test_the_images_have_no_emulator_beside_the_server_no_shell_and_no_root():
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    build, emulator, server = stages
    assert "--no-default-features" in build
    for stage, program in [(emulator, "bedrock-emulator"), (server, "outcrop")]:
        assert stage.startswith("gcr.io/distroless/") and "USER 65532:65532" in stage
        assert re.findall(r"COPY --from=build (\S+)", stage) == [f"/programs/{program}"]
        assert "RUN" not in stage


def test_the_emulator_in_an_image_listens_on_its_default_port():
    default = re.search(r'"127\.0\.0\.1:(\d+)"', (ROOT / "emulator/src/bin/bedrock-emulator/serve.rs").read_text())[1]
    for path in ["Dockerfile", "packaging/emulator/image/Containerfile"]:
        text = (ROOT / path).read_text()
        assert f"EXPOSE {default}\n" in text and f'CMD ["--listen", "0.0.0.0:{default}"]' in text, path
    assert f"http://emulator:{default}\n" in (ROOT / "compose.yaml").read_text()


def test_the_files_that_reach_the_image_are_enough_to_build_it(folder):
    """The folder that `.dockerignore` leaves, without the network."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    tracked = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"]).stdout.splitlines()
    for path in tracked:
        if any(path == name or path.startswith(f"{name}/") for name in kept):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes((ROOT / path).read_bytes())
    packages = ["--package", "outcrop", "--package", "bedrock-emulator"]
    run(["cargo", "check", "--quiet", "--locked", "--offline", "--no-default-features", *packages], cwd=folder, timeout=600)


def compose(file, check=True):
    # The reference implementation of the specification.
    return run(["compose-go", "--format", "json", file], check=check)


def test_the_compose_file_is_valid_and_its_files_exist():
    services = json.loads(compose("compose.yaml").stdout)["services"]
    assert set(services) == {"outcrop", "emulator", "redis", "prometheus", "grafana"}
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", f"{name}: other machines can reach {port}"
        for volume in service.get("volumes", []):
            assert volume["type"] == "volume" or ROOT.joinpath(volume["source"]).exists(), volume
        assert ":" in service["image"] or "build" in service, name


def test_a_wrong_compose_file_is_refused(folder):
    file = folder / "compose.yaml"
    file.write_text((ROOT / "compose.yaml").read_text().replace("stop_grace_period", "stop_graceful_period"))
    done = compose(file, check=False)
    assert done.returncode != 0 and "stop_graceful_period" in done.stdout + done.stderr


def test_the_settings_of_the_compose_file_are_accepted(folder):
    text = (ROOT / "deploy/compose/outcrop.toml").read_text()
    assert "redis://redis:6379/0" in text
    file = folder / "outcrop.toml"
    file.write_text(text.replace("redis://redis:6379/0", "memory"))
    assert outcrop("check", "--config", file).stdout.startswith("ok\n")
    settings = tomllib.loads(text)
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["outcrop"]
    took = int(settings["lame_duck"][:-1]) + int(settings["grace"][:-1]) + 10
    assert int(service["stop_grace_period"][:-1]) >= took
    ports = {settings[key].rsplit(":")[1] for key in ("listen", "metrics_listen")}
    exposed_ports = set(re.search(r"EXPOSE (50051.*)", (ROOT / "Dockerfile").read_text())[1].split())
    assert ports == exposed_ports
    assert f"outcrop:{settings['metrics_listen'].rsplit(':')[1]}" in (ROOT / "deploy/compose/prometheus.yml").read_text()


def test_prometheus_accepts_its_file(folder):
    text = (ROOT / "deploy/compose/prometheus.yml").read_text()
    rules = ROOT / "deploy/prometheus"
    for content, accepted in [(text, True), (text.replace("scrape_interval", "scrape_intervals"), False)]:
        file = folder / "prometheus.yml"
        file.write_text(content.replace("/etc/prometheus/outcrop", str(rules)))
        done = run(["promtool", "check", "config", file], check=False)
        assert (done.returncode == 0) == accepted, done.stderr


@pytest.mark.parametrize("checker", [["actionlint"], ["zizmor", "--offline", "--no-progress"]])
def test_the_workflows_are_valid_and_give_no_rights_away(checker, folder):
    workflows = sorted(str(path) for path in (ROOT / ".github/workflows").glob("*.yml"))
    assert len(workflows) >= 3
    done = run([*checker, *workflows], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = folder / ".github" / "workflows" / "wrong.yml"
    wrong.parent.mkdir(parents=True)
    wrong.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n      - uses: actions/checkout@v7\n"
    )
    assert run([*checker, wrong], check=False).returncode != 0


def test_scripts_pass_shellcheck(folder):
    scripts = [".ci/run", ".ci/install", ".ci/fuzz", ".ci/deploy", "packaging/release", "packaging/profiled", "packaging/callers"]
    run(["shellcheck", *scripts])
    wrong = folder / "wrong"
    wrong.write_text("#!/bin/bash\nrm -rf $1/*\n")
    assert run(["shellcheck", wrong], check=False).returncode != 0
