"""Conformance suites that other people wrote, against the real edge. `.ci/run` builds them and runs `pytest tests/conformance`.

CONFORMANCE names the folder of the suites, OUTCROP_TARGET the folder that cargo built into.
"""

import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
SUITES = Path(os.environ.get("CONFORMANCE", ROOT / ".ci/tools/conformance"))

# What the suites found, printed at the end.
FIGURES = []


@contextmanager
def serving(program, *arguments):
    """A running program, as the port that it printed."""
    process = subprocess.Popen(
        [str(TARGET / program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "OUTCROP_LOG": "error"},
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on \S+:(\d+)\n", line)
        assert match, f"{program} printed {line!r}"
        yield match.group(1)
    finally:
        process.kill()
        process.wait()


def suite(name, *arguments, timeout=120):
    """Runs a suite to its end."""
    command = [str(SUITES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@dataclass
class Known:
    """Cases that fail for one reason."""

    reason: str = ""
    fails_with: str = ""
    cases: list = field(default_factory=list)


def known(name):
    """The groups of a list of known failures. The comment before a group is its reason; the first comment of a file is about the file."""
    groups, comment, about_the_file = [], [], True
    for line in (HERE / "known" / name).read_text().splitlines():
        if line.startswith("# fails with: "):
            groups[-1].fails_with = line.removeprefix("# fails with: ")
        elif line.startswith("#"):
            if not comment:
                groups.append(Known())
            comment.append(line.removeprefix("#").strip())
            groups[-1].reason = " ".join(comment)
        elif line:
            groups[-1].cases.append(line)
            comment = []
        elif about_the_file:
            groups, comment, about_the_file = [], [], False
    assert all(group.reason and group.cases for group in groups), f"a group of {name} has no reason or no case"
    return groups


def documented(row):
    """Checks that the figures in the documentation are these."""
    assert row in (ROOT / "docs/conformance.md").read_text().splitlines(), f"docs/conformance.md lacks this line:\n{row}"


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)
