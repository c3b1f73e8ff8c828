"""What an application saw, in the words of the table."""

import json
from dataclasses import dataclass

WHOLE = "whole"
# The SDK reports no error, and the answer lacks its end.
SILENT = "no error"


@dataclass(frozen=True)
class Outcome:
    """An answer, or the error that the SDK raised."""

    text: str
    tool: dict | None
    stop: str
    error: dict | None
    # A whole answer that is not JSON.
    is_damaged: bool = False

    @property
    def result(self):
        """`whole`, the exception of the service model, an error of the SDK's own as `(its class)`, or `no error`."""
        if self.error:
            code = self.error["code"]
            return code[:1].upper() + code[1:] if code else f"({self.error['class']})"
        return WHOLE if self.stop and not self.is_damaged else SILENT


def outcome(case, told):
    """What a program printed for a case."""
    if not case.operation.startswith("Invoke"):
        tool = told["tool"] and {**told["tool"], "input": parsed(told["tool"]["input"])}
        return Outcome(told["text"], tool, told["stop"], told["error"])
    chunks = [parsed(chunk) for chunk in told["chunks"]]
    if None in chunks:
        return Outcome("", None, "", told["error"], is_damaged=True)
    read = {("claude", True): claude_stream, ("claude", False): claude, ("cohere", True): cohere_stream, ("cohere", False): cohere}
    text, tool, stop = read[case.format, case.is_stream](chunks)
    return Outcome(text, tool, stop, told["error"])


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def claude_stream(chunks):
    text, stop, name, pieces = "", "", "", ""
    for chunk in chunks:
        delta = chunk.get("delta", {})
        text += delta.get("text", "")
        pieces += delta.get("partial_json", "")
        stop = delta.get("stop_reason") or stop
        name = chunk.get("content_block", {}).get("name", name)
    return text, {"name": name, "input": parsed(pieces)} if name else None, stop


def claude(chunks):
    text, stop, tool = "", "", None
    for chunk in chunks:
        stop = chunk.get("stop_reason") or ""
        for block in chunk.get("content", []):
            text += block.get("text", "")
            tool = {"name": block["name"], "input": block["input"]} if block["type"] == "tool_use" else tool
    return text, tool, stop


def cohere_stream(chunks):
    text = "".join(chunk.get("text", "") for chunk in chunks if not chunk.get("is_finished"))
    return text, None, "".join(chunk.get("finish_reason") or "" for chunk in chunks)


def cohere(chunks):
    generations = [generation for chunk in chunks for generation in chunk.get("generations", [])]
    return "".join(made["text"] for made in generations), None, "".join(made.get("finish_reason") or "" for made in generations)
