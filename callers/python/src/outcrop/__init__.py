"""Calls Outcrop, a gRPC service in front of Amazon Bedrock.

- `Client` calls and blocks; `outcrop.aio.Client` does the same with asyncio
- `OutcropError` is raised by every call that fails; its `reason` says why
- `Answer` is a whole answer; its `message` can be sent back unchanged
- `v1` has the messages, generated from the proto files
"""

from outcrop import v1
from outcrop.answer import Answer, Collector, tool_input, tool_result, user
from outcrop.client import Client, Conversation, Stream
from outcrop.errors import OutcropError, QuotaViolation, Violation
from outcrop.reason import Reason

__all__ = [
    "Answer",
    "Client",
    "Collector",
    "Conversation",
    "OutcropError",
    "QuotaViolation",
    "Reason",
    "Stream",
    "Violation",
    "tool_input",
    "tool_result",
    "user",
    "v1",
]
