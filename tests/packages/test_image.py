"""The image, from its archive in a container with no rights, and the modules for testcontainers."""

import json
import re

from conftest import run

HARDENED = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"]


def test_the_image_runs_without_rights_and_stops_at_once(engine, image, python):
    name = engine.podman("run", "--detach", "--publish", "127.0.0.1::8991", *HARDENED, image).stdout.strip()
    address = engine.podman("port", name, "8991").stdout.strip()
    text = (
        "import bedrock_emulator, sys\n"
        "client = bedrock_emulator.Emulator(sys.argv[1]).client()\n"
        "stream = client.converse_stream(modelId='emulator.tools', messages=[{'role': 'user', 'content': [{'text': 'hi'}]}])['stream']\n"
        "print([event['messageStop'] for event in stream if 'messageStop' in event])\n"
    )
    assert run(python[0], "-c", text, f"http://{address}", folder=engine.folder).stdout == "[{'stopReason': 'tool_use'}]\n"
    (container,) = json.loads(engine.podman("container", "inspect", name).stdout)
    assert container["Config"]["User"] == "65532:65532"
    engine.podman("stop", "--time", "60", name)
    (container,) = json.loads(engine.podman("container", "inspect", name).stdout)
    assert container["State"]["ExitCode"] == 0, "it was killed"


def test_the_image_has_nothing_that_the_emulator_does_not_need(engine, image):
    shell = engine.podman("run", "--rm", "--entrypoint", "/bin/sh", image, check=False)
    assert shell.returncode == 127 and "no such file" in shell.stderr.lower(), shell.stderr
    name = engine.podman("create", image).stdout.strip()
    files = run("sh", "-c", f"podman --url {engine.address} export {name} | tar t", folder=engine.folder, environment=engine.environment)
    paths = {path for path in files.stdout.splitlines() if not path.endswith("/")}
    programs = {path for path in paths if re.match(r"(usr/)?(local/)?s?bin/", path) or "/bin/" in path}
    assert programs == {"usr/local/bin/bedrock-emulator"}
    assert {"etc/ssl/certs/ca-certificates.crt", "usr/share/doc/bedrock-emulator/LICENSE", "usr/share/doc/libc6/copyright"} <= paths
    assert "var/lib/dpkg/status.d/libc6" in paths


def test_testcontainers_for_python(engine, image, python):
    environment = {**settings(engine, image), "TESTCONTAINERS_CONNECTION_MODE": "docker_host", "TC_POOLING_INTERVAL": "0.1"}
    assert run(python[0], "container.py", folder=python[1], environment=environment).stdout == "ok\n"


def test_testcontainers_for_node(engine, image, node):
    environment = {**settings(engine, image), "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"}
    assert run("node", "container.mjs", folder=node, environment=environment).stdout == "ok\n"


def settings(engine, image):
    # The reaper of containers is an image that would have to be pulled.
    return {"EMULATOR_IMAGE": image, "DOCKER_HOST": engine.address, "TESTCONTAINERS_RYUK_DISABLED": "true"}
