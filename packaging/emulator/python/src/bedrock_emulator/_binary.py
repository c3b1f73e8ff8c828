"""Where the program is, and how the command `bedrock-emulator` runs it."""

import os
import sys
from pathlib import Path


def binary() -> Path:
    """The program in this package, or the one that `BEDROCK_EMULATOR_BINARY` names."""
    return Path(os.environ.get("BEDROCK_EMULATOR_BINARY") or Path(__file__).parent / "bin" / "bedrock-emulator")


def main() -> None:
    """Becomes the program."""
    path = str(binary())
    os.execv(path, [path, *sys.argv[1:]])
