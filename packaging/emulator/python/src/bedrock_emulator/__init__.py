"""Amazon Bedrock Runtime for tests.

`start` runs the emulator as a process and returns a `Process`; `Emulator` talks to one that runs elsewhere, such as in a container. With pytest, use the
fixture `bedrock`, which this package registers.
"""

from ._emulator import Emulator, Quota, Request, Script
from ._errors import EmulatorError, NotReady, RequestsMissing
from ._process import Process, start
from .scripts import fault, refuse, reply, tool_use

__all__ = [
    "Emulator",
    "EmulatorError",
    "NotReady",
    "Process",
    "Quota",
    "Request",
    "RequestsMissing",
    "Script",
    "fault",
    "refuse",
    "reply",
    "start",
    "tool_use",
]
