"""Puts the chunks of an answer together into a message that can be sent back as history.

The message is complete: reasoning has its signature and its redacted bytes, tool uses have their ids, and text has its citations.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from outcrop import v1

# Doubles hold every whole number up to here exactly, and protobuf decoders refuse values that are nested deeper.
MAX_SAFE = 2**53
MAX_NESTING = 30


@dataclass
class Answer:
    """A complete answer."""

    #: The first chunk: id, model, region, attempts.
    start: v1.Start = field(default_factory=v1.Start)
    #: The message of the assistant. Send it back unchanged.
    message: v1.Message = field(default_factory=v1.Message)
    #: The last chunk: stop reason, usage, trace.
    finish: v1.Finish = field(default_factory=v1.Finish)
    #: Events that the server does not know. `message` does not contain them.
    others: list[v1.OtherEvent] = field(default_factory=list)
    #: Members that the server does not know, in order of arrival.
    unrecognized: list[Struct] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of all blocks."""
        return "".join(_text_of(block) for block in self.message.content)

    @property
    def tool_uses(self) -> list[v1.ToolUseBlock]:
        """The tool uses for the caller to execute."""
        uses = [block.tool_use for block in self.message.content if block.WhichOneof("block") == "tool_use"]
        return [use for use in uses if use.type != "server_tool_use"]


def _text_of(block):
    if block.WhichOneof("block") == "citations_content":
        return "".join(piece.text for piece in block.citations_content.content)
    return block.text


def user(*content: str | v1.ContentBlock) -> v1.Message:
    """A message of the user, from text and content blocks."""
    blocks = [v1.ContentBlock(text=one) if isinstance(one, str) else one for one in content]
    return v1.Message(role=v1.ROLE_USER, content=blocks)


def tool_result(use: v1.ToolUseBlock, result: Any, *, is_error: bool = False) -> v1.ContentBlock:
    """The result of a tool use: text for a string, otherwise JSON. Put all results of an answer into one message of the user."""
    content = v1.ToolResultContentBlock(text=result) if isinstance(result, str) else v1.ToolResultContentBlock(json_text=json.dumps(result))
    status = "error" if is_error else "success"
    return v1.ContentBlock(tool_result=v1.ToolResultBlock(tool_use_id=use.tool_use_id, content=[content], status=status))


def tool_input(use: v1.ToolUseBlock) -> Any:
    """The input of a tool use, as what `json.loads` returns. Whole numbers are integers."""
    if use.input_json:
        return json.loads(use.input_json)
    return _whole(json_format.MessageToDict(use.input))


def _whole(value):
    match value:
        case float() if value.is_integer() and abs(value) <= MAX_SAFE:
            return int(value)
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case list():
            return [_whole(one) for one in value]
    return value


class _Parts:
    """The content of a block so far. Bedrock sends one kind of content in a block. If there are several, each becomes a block."""

    def __init__(self):
        self.text = []
        self.citations = []
        self.reasoning = None
        self.redacted = []
        self.tool_use = None
        self.tool_input = []
        self.tool_result = None
        self.image = None

    def blocks(self):
        if self.reasoning is not None:
            yield v1.ContentBlock(reasoning_content=v1.ReasoningContentBlock(reasoning_text=self.reasoning))
        if self.redacted:
            yield v1.ContentBlock(reasoning_content=v1.ReasoningContentBlock(redacted_content=b"".join(self.redacted)))
        text = "".join(self.text)
        if self.citations:
            content = [v1.CitationGeneratedContent(text=text)]
            yield v1.ContentBlock(citations_content=v1.CitationsContentBlock(content=content, citations=self.citations))
        elif text.strip():  # Bedrock does not accept blank text.
            yield v1.ContentBlock(text=text)
        if self.tool_use is not None:
            yield v1.ContentBlock(tool_use=_tool_use(self.tool_use, "".join(self.tool_input)))
        if self.tool_result is not None:
            yield v1.ContentBlock(tool_result=self.tool_result)
        # Bedrock does not accept an image without a source, which has only an error.
        if self.image is not None and self.image.HasField("source"):
            yield v1.ContentBlock(image=self.image)


def _tool_use(start, text):
    """A tool use with its complete input. Input that was truncated by `max_tokens` is not JSON and becomes a string. Input whose numbers
    are not exact as doubles stays text, if the server accepts them there."""
    use = v1.ToolUseBlock(tool_use_id=start.tool_use_id, name=start.name, type=start.type)
    try:
        value = json.loads(text or "{}", parse_constant=_refuse)
        numbers = list(_whole_numbers(value))
    except (ValueError, RecursionError):
        use.input.string_value = text
        return use
    fits = _nesting(value) <= MAX_NESTING and all(-(2**63) <= number < 2**64 for number in numbers)
    if fits and any(abs(number) > MAX_SAFE for number in numbers):
        use.input_json = text
    else:
        json_format.ParseDict(_nested(value, MAX_NESTING), use.input)
    return use


def _refuse(name):
    raise ValueError(f"{name} is not JSON")


def _items(value):
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


def _whole_numbers(value):
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    for one in _items(value):
        yield from _whole_numbers(one)


def _nesting(value):
    return 1 + max(map(_nesting, _items(value)), default=0) if isinstance(value, dict | list) else 0


def _nested(value, levels):
    """The value, with JSON text in place of what is nested deeper, because protobuf decoders would refuse it."""
    if isinstance(value, dict | list) and levels == 0:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    match value:
        case dict():
            return {name: _nested(one, levels - 1) for name, one in value.items()}
        case list():
            return [_nested(one, levels - 1) for one in value]
    return value


class Collector:
    """Puts an answer together from its chunks."""

    def __init__(self):
        self._answer = Answer()
        self._blocks = {}

    def add(self, chunk: v1.Chunk) -> None:
        """Adds the next chunk."""
        if chunk.HasField("unrecognized"):
            self._answer.unrecognized.append(chunk.unrecognized)
        kind = chunk.WhichOneof("event")
        if kind in ("start", "finish"):
            setattr(self._answer, kind, getattr(chunk, kind))
        elif kind == "other":
            self._answer.others.append(chunk.other)
        elif add := getattr(self, f"_{kind}", None):
            add(self._blocks.setdefault(chunk.content_block_index, _Parts()), getattr(chunk, kind))

    def answer(self) -> Answer:
        """The answer so far. It is complete after the chunk with `finish`. Its message is that of `finish`, if the request has `include_message`."""
        if self._answer.finish.HasField("message"):
            self._answer.message = self._answer.finish.message
            return self._answer
        blocks = [block for index in sorted(self._blocks) for block in self._blocks[index].blocks()]
        self._answer.message = v1.Message(role=v1.ROLE_ASSISTANT, content=blocks)
        return self._answer

    @staticmethod
    def _text(parts, text):
        parts.text.append(text)

    @staticmethod
    def _citation(parts, citation):
        parts.citations.append(citation)

    @staticmethod
    def _reasoning(parts, delta):
        kind = delta.WhichOneof("delta")
        if kind == "redacted_content":
            parts.redacted.append(delta.redacted_content)
        elif kind is not None:
            parts.reasoning = parts.reasoning or v1.ReasoningTextBlock()
            setattr(parts.reasoning, kind, getattr(parts.reasoning, kind) + getattr(delta, kind))

    @staticmethod
    def _tool_use_start(parts, start):
        parts.tool_use, parts.tool_input = start, []

    @staticmethod
    def _tool_use_input(parts, text):
        parts.tool_use = parts.tool_use or v1.ToolUseStart()
        parts.tool_input.append(text)

    @staticmethod
    def _tool_result_start(parts, start):
        parts.tool_result = v1.ToolResultBlock(tool_use_id=start.tool_use_id, status=start.status, type=start.type)

    @staticmethod
    def _tool_result(parts, delta):
        parts.tool_result = parts.tool_result or v1.ToolResultBlock()
        for one in delta.content:
            if kind := one.WhichOneof("delta"):
                parts.tool_result.content.append(v1.ToolResultContentBlock(**{kind: getattr(one, kind)}))

    @staticmethod
    def _image_start(parts, start):
        parts.image = parts.image or v1.ImageBlock()
        parts.image.format = start.format

    @staticmethod
    def _image(parts, delta):
        image = parts.image = parts.image or v1.ImageBlock()
        if delta.HasField("error"):
            image.error.message += delta.error.message
        if not delta.HasField("source") or delta.source.WhichOneof("source") is None:
            return
        old = image.source.bytes if image.source.WhichOneof("source") == "bytes" else None
        image.source.CopyFrom(delta.source)
        if old is not None and delta.source.WhichOneof("source") == "bytes":
            image.source.bytes = old + delta.source.bytes
