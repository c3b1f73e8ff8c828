"""Black-box tests with tools that other people wrote. `.ci/run` installs them and runs `pytest tests/interop`.

The fixtures start the built programs on free loopback ports. Where a tool is comes from the environment:
GRPCURL and BUF name the programs, OUTCROP_TARGET the folder that cargo built into.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
SERVICE = "outcrop.v1.GenerationService"


# What all programs of the run write: their logs in detail, and the audit logs of servers.
WRITTEN = Path(tempfile.mkdtemp(prefix="outcrop-interop-"))

# What must be in none of it: API keys, tokens, private keys, and the prompts of these tests that are long enough to be found.
SECRETS = [
    r"oc_[a-km-np-z2-9]{12}_[A-Za-z0-9_-]{43}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}",
    r"PRIVATE KEY",
    r"x{200}",
    r"(hi ){20}",
    r"two cats that go on an adventure",
]


class Program:
    """A running program, and the address it printed."""

    started = 0

    def __init__(self, arguments, environment=None):
        Program.started += 1
        written = WRITTEN / f"{Program.started}-{arguments[0]}"
        quiet = {
            "PATH": os.environ["PATH"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "OUTCROP_LOG": "debug",
            "OUTCROP_AUDIT_LOG": f"{written}.audit",
        }
        self.log = Path(f"{written}.log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(TARGET / arguments[0]), *arguments[1:]],
                stdout=subprocess.PIPE,
                stderr=log,
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


def pytest_sessionfinish(session, exitstatus):
    """The whole run has written neither a secret nor a prompt. The logs of a run that failed are kept."""
    texts = {path.name: path.read_text(errors="replace") for path in sorted(WRITTEN.iterdir())}
    found = [
        f"{name}: {text[max(0, match.start() - 200):match.end()]}"
        for name, text in texts.items()
        for secret in SECRETS
        for match in [re.search(secret, text)]
        if match
    ]
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nsecrets or prompts in what the programs wrote:\n" + "\n".join(found))
    if found or exitstatus:
        print(f"\nthe logs are in {WRITTEN}")
    else:
        sizes = sum(map(len, texts.values()))
        print(f"\nno secret and no prompt in {sizes} characters of {len(texts)} logs")
        shutil.rmtree(WRITTEN)
