"""Unmodified frameworks against the emulator, and through Outcrop with the Bedrock API. `.ci/run` installs them and runs
`pytest tests/frameworks`. `--write` writes the tables of docs/frameworks.md anew.

OUTCROP_TARGET names the folder that cargo built into, FRAMEWORKS_PYTHON the Python that has requirements.txt. The packages for Node.js are
in node_modules beside this file.
"""

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
PYTHON = Path(os.environ.get("FRAMEWORKS_PYTHON", ROOT / ".ci/tools/frameworks/bin/python"))


def pytest_addoption(parser):
    parser.addoption("--write", action="store_true", help="write the tables of docs/frameworks.md instead of comparing them")


def outcrop(*arguments):
    """A command of the program that ends."""
    return subprocess.run([TARGET / "outcrop", *arguments], capture_output=True, text=True, check=True)


@contextmanager
def serving(program, *arguments, **variables):
    """A running program, as the address that it printed."""
    process = subprocess.Popen(
        [str(TARGET / program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", "OUTCROP_LOG": "error", **variables},
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on (?:http://)?(\S+:\d+)\n", line)
        assert match, f"{program} printed {line!r}"
        yield match.group(1)
    finally:
        process.kill()
        process.wait()
