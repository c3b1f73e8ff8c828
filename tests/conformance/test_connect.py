"""The Connect conformance runner against its service in the edge, over gRPC, gRPC-Web and, for methods with one answer, Connect."""

import re
import subprocess

import pytest

from conftest import FIGURES, HERE, TARGET, documented, known, suite

SERVER = [TARGET / "conformance-server", "runner"]
FLAKY = "connect-flaky.txt"

# What the runner says of a detail whose type it does not have.
UNKNOWN_TYPE = 'connect error JSON: details[0]: could not check debug data because message type "google.rpc.ErrorInfo" could not be resolved'


def config(tmp_path, protocol):
    if protocol == "CONNECT":
        return HERE / "connect-unary.yaml"
    path = tmp_path / "connect.yaml"
    path.write_text((HERE / "connect.yaml").read_text() + f"  protocols: [PROTOCOL_{protocol}]\n")
    return path


def run(tmp_path, protocol, *flags):
    return suite("connectconformance", "--mode", "server", "--conf", config(tmp_path, protocol), *flags, "--", *SERVER)


def matches(pattern, name):
    """As the runner does: `*` is one part of a name, `**` any number of parts."""
    parts = {"**": "(?:[^/]+/)*", "*": "[^/]+/"}
    return re.fullmatch("".join(parts.get(part, re.escape(part) + "/") for part in pattern.split("/")), name + "/")


def failures(output):
    """Each case that failed as expected, with its problems."""
    for case in re.finditer(r"^INFO: (.*) failed \(as expected\):\n((?:\t.*\n)+)", output, re.M):
        lines = [line.strip() for line in case.group(2).splitlines()]
        yield case.group(1), [line.removeprefix("; ") for line in lines if not line.startswith(UNKNOWN_TYPE)]


@pytest.mark.parametrize("protocol, name", [("GRPC", "gRPC"), ("GRPC_WEB", "gRPC-Web"), ("CONNECT", "Connect")])
def test_every_case_passes_or_fails_as_it_is_known_to(tmp_path, protocol, name):
    listed = f"connect-{name.lower()}.txt"
    # Connect has no streams here, and a pattern without a case is an error.
    by_chance = [pattern for group in known(FLAKY) for pattern in group.cases if protocol != "CONNECT" or pattern.endswith("/unary")]
    flaky = [flag for pattern in by_chance for flag in ["--known-flaky", pattern]]
    done = run(tmp_path, protocol, "--known-failing", f"@{HERE}/known/{listed}", *flaky)
    assert done.returncode == 0, done.stdout + done.stderr
    groups = known(listed) + known(FLAKY)
    failed, by_time = 0, 0
    for case, problems in failures(done.stdout + done.stderr):
        is_flaky = any(matches(pattern, case) for pattern in by_chance)
        failed, by_time = failed + (not is_flaky), by_time + is_flaky
        expected = [group.fails_with for group in groups if any(matches(pattern, case) for pattern in group.cases)]
        if is_flaky and problems == [""]:
            # The caller's timer was first. The runner has seen the bytes of the status, and names nothing but the type that it does not have.
            continue
        assert [problems] == [[line] for line in expected], f"{case} fails otherwise than is known: {problems}"
    total, passed = re.search(r"Total cases: (\d+)\n(\d+) passed, 0 failed", done.stdout + done.stderr).groups()
    assert int(total) == int(passed) + failed + by_time, done.stdout
    FIGURES.append(f"Connect runner, {name}: {total} cases, {passed} passed, {failed} failed as is known, {by_time} failed by time")
    alone = [flag for pattern in by_chance for flag in ["--run", pattern]]
    either = int(re.search(r"Total cases: (\d+)", run(tmp_path, protocol, *alone).stdout).group(1))
    documented(f"| Connect runner, {name} | {total} | {int(total) - failed - either} | {failed} | {either} |")


def test_a_listed_case_that_passes_fails_the_run(tmp_path):
    case = "Basic/**/unary/success"
    assert run(tmp_path, "GRPC", "--run", case).returncode == 0
    stale = run(tmp_path, "GRPC", "--run", case, "--known-failing", case)
    assert stale.returncode != 0 and "was expected to fail but did not" in stale.stdout + stale.stderr
    unknown = run(tmp_path, "GRPC", "--known-failing", "Basic/**/no-such-case")
    assert unknown.returncode != 0, "a pattern without a case is taken"


def test_the_proto_files_are_those_of_the_runner():
    tools = HERE / "tools"
    listed = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance"], cwd=tools, capture_output=True, text=True, check=True
    )
    copies = sorted((HERE / "proto/connectrpc").rglob("*.proto"))
    assert copies
    for copy in copies:
        original = f"{listed.stdout.strip()}/proto/{copy.relative_to(HERE / 'proto')}"
        with open(original) as file:
            assert copy.read_text() == file.read(), f"{copy} differs from the module"
