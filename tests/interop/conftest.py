"""Black-box tests with tools that other people wrote. `.ci/run` installs them and runs `pytest tests/interop`.

The fixtures start the built programs on free loopback ports. Where a tool is comes from the environment:
GRPCURL and BUF name the programs, OUTCROP_TARGET the folder that cargo built into.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
SERVICE = "outcrop.v1.GenerationService"


class Program:
    """A running program, and the address it printed."""

    def __init__(self, arguments, environment=None):
        quiet = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}
        self.process = subprocess.Popen(
            [str(TARGET / arguments[0]), *arguments[1:]],
            stdout=subprocess.PIPE,
            text=True,
            env={**quiet, **(environment or {})},
        )
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on (\S+)\n", line)
        assert match, f"{arguments} printed {line!r}"
        self.address = match.group(1)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        self.process.kill()
        self.process.wait()


def outcrop(*flags, listen="127.0.0.1:0", environment=None):
    return Program(["outcrop", "serve", "--listen", listen, *flags], environment)


@pytest.fixture(scope="session")
def server():
    """`outcrop serve --local`."""
    program = outcrop("--local")
    yield program
    program.stop()


@pytest.fixture(scope="session")
def recordings():
    """The folder of recordings, where there is one."""
    folder = os.environ.get("OUTCROP_TEST_RECORDINGS")
    if not folder:
        pytest.skip("OUTCROP_TEST_RECORDINGS names no folder of recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def emulator():
    """The emulator alone, with the recordings where there are some."""
    folder = os.environ.get("OUTCROP_TEST_RECORDINGS")
    flags = ["--recordings", folder] if folder else []
    program = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", *flags])
    yield program
    program.stop()


def tool(variable):
    """A program named by the environment, run in the root of the project."""

    def run(*arguments, check=True):
        command = [os.environ.get(variable, variable.lower()), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def grpcurl():
    return tool("GRPCURL")


@pytest.fixture(scope="session")
def buf():
    return tool("BUF")
