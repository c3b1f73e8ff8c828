"""The scripts that most tests need. The reference of the emulator describes all members of a script, which is JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

FaultKind = Literal["end", "cut", "reset", "stall", "corrupt"]


def reply(text: str) -> dict[str, Any]:
    """A whole answer with this text, one event for each word."""
    return {"steps": [{"reply": text}]}


def refuse(exception: str = "ThrottlingException", status: int = 429, message: str = "Too many requests.") -> dict[str, Any]:
    """An HTTP error in place of an answer. SDKs raise it as the exception of this name."""
    return {"refuse": {"status": status, "exception": exception, "message": message}}


def fault(kind: FaultKind, text: str, after: int = 3) -> dict[str, Any]:
    """An answer with this text that has a fault after so many events: it ends there cleanly (`end`), its connection closes (`cut`) or is reset
    (`reset`), nothing more comes (`stall`), or the checksum of an event is wrong (`corrupt`)."""
    return {**reply(text), "fault": {"kind": kind, "at": {"event": after}}}


def tool_use(name: str, input: Mapping[str, Any], then: str | Mapping[str, Any] = "Done.") -> dict[str, Any]:
    """Converse and ConverseStream: a call of this tool. A request that ends with the result of a tool is answered with `then`."""
    start = {"toolUse": {"toolUseId": "tooluse_emulated1", "name": name}}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": start}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": json.dumps(input)}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]
    steps = [{"event": {"type": kind, "payload": payload}} for kind, payload in events]
    return {"steps": steps, "on_tool_result": reply(then) if isinstance(then, str) else dict(then)}
