"""Tests of what is deployed: the production build, the chart, the compose file, the unit, the release. `.ci/deploy` installs their tools and
runs `pytest tests/deploy`.

OUTCROP_PRODUCTION names the program that was built without the emulator. Tools are found in PATH.
"""

import os
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = Path(os.environ.get("OUTCROP_PRODUCTION", ROOT / "target" / "production" / "outcrop"))


def run(command, check=True, **options):
    """A command, run in the root of the project, with its output as text."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120, **options}
    done = subprocess.run([str(part) for part in command], **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def outcrop(*arguments, check=True, **variables):
    """The production build, with an AWS account that is never called. A variable that is None is not set."""
    account = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    environment = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", **account, **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    return run([PRODUCTION, *arguments], check=check, env=environment)


@pytest.fixture
def folder(tmp_path):
    """An empty folder that only its owner can enter."""
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def redis(folder):
    """The address of a Redis with the password `swordfish`. Nothing remains of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--requirepass", "swordfish"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.communicate()
