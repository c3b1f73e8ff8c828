"""The shell commands of the READMEs, run as they are written.

A command that serves is left running, on the port it really has, until the next one that serves. `cargo test` is not run again:
`.ci/run` has just done so, by the same words.
"""

import os
import re
import signal
import subprocess

import pytest

from conftest import ROOT

SERVES = re.compile(r"cargo run (-- serve|-p bedrock-emulator)")

# What each kind of command must print, so that a command which does nothing is noticed.
EXPECTED = [
    (r"-- demo", "Pepper and Moss"),
    (r"grpcurl .* list$", "outcrop.v1.GenerationService"),
    (r"grpcurl .*Generate$", '"finish"'),
    (r"grpcurl .*Check$", '"SERVING"'),
    (r"outcrop-client -- \"hi\"", "“hi”"),
    (r"--json -$", '"sequence":0'),
]


def commands_of(document):
    text = (ROOT / document).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def environment(emulator):
    """Nothing of AWS but what stands in for an account: credentials that mean nothing, and the emulator as the endpoint."""
    kept = {name: os.environ[name] for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"] if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address,
    }


class Background:
    """A command that serves."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().startswith("listening on "), command

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0


@pytest.mark.parametrize("document", ["README.md", "emulator/README.md"])
def test_every_command_does_what_it_says(document, emulator):
    commands = commands_of(document)
    assert commands
    env, background = environment(emulator), None
    try:
        for command in commands:
            if command.startswith("cargo test"):
                assert f"\n{command}\n" in (ROOT / ".ci/run").read_text()
                continue
            if SERVES.match(command):
                if background:
                    background.stop()
                background = Background(command, env)
                continue
            done = subprocess.run(
                ["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            wanted = [text for pattern, text in EXPECTED if re.search(pattern, command)]
            assert wanted, f"nothing is expected of: {command}"
            assert wanted[0] in done.stdout, f"{command}: {done.stdout}"
    finally:
        if background:
            background.stop()
