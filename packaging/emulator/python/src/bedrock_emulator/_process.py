"""The emulator as a process of its own, which ends with the one that started it."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from os import PathLike
from types import TracebackType

from ._binary import binary
from ._emulator import Emulator
from ._errors import EmulatorError, NotReady

# Starting takes milliseconds, but a machine can be busy.
START_TIMEOUT = 60.0


class Process(Emulator):
    """A running process. It ends with `stop`, at the end of a `with`, and when the process that started it ends, however that ends."""

    def __init__(self, arguments: Sequence[str | PathLike[str]] = (), pace: str = "0,0") -> None:
        self.command = [str(binary()), "--listen", "127.0.0.1:0", "--exit-when-stdin-closes", "--pace", pace, *map(str, arguments)]
        self._errors = tempfile.TemporaryFile()
        try:
            # The emulator reads standard input to its end, which comes when the last process that has the other side of the pipe ends.
            self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        except OSError as error:
            raise NotReady(f"{self.command[0]} cannot be run: {error}. Is this wheel for another platform?") from error
        super().__init__(self._endpoint())

    def _endpoint(self) -> str:
        # A process that does not say where it listens is killed, which ends its output.
        overdue = threading.Timer(START_TIMEOUT, self._process.kill)
        overdue.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode(errors="replace")
        overdue.cancel()
        match = re.fullmatch(r"listening on (\S+)\n", line)
        if match is None:
            self._process.kill()
            error = self._ended("did not start")
            self._close()
            raise error
        return match.group(1)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def check(self) -> None:
        """Raises `NotReady`, with what it wrote to standard error, if the process has ended."""
        if self._process.poll() is not None:
            raise self._ended("has ended")

    def stop(self) -> None:
        """Ends the process and waits for its end."""
        # A process that was forked can have the other side of standard input too, so closing it is not enough.
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                file.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _ended(self, what: str) -> NotReady:
        code = self._process.wait()
        self._errors.seek(0)
        written = self._errors.read().decode(errors="replace").strip()
        return NotReady(f"the emulator {what}, with exit code {code}: {' '.join(self.command)}\n{written or 'It wrote nothing to standard error.'}")

    def _unreachable(self, error: OSError) -> EmulatorError:
        return self._ended("has ended") if self._process.poll() is not None else super()._unreachable(error)


def start(arguments: Sequence[str | PathLike[str]] = (), pace: str = "0,0") -> Process:
    """Starts an emulator on a free loopback port. `arguments` are flags of `bedrock-emulator`. It answers without pauses, unless `pace` has those of a
    model: `FIRST,GAP` in milliseconds.

    Raises `NotReady` if it does not start."""
    return Process(arguments, pace)
