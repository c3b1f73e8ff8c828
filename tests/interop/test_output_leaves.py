"""Every leaf and every enum value of ConverseStreamOutput: sent by Bedrock, it reaches a gRPC caller in its place.

The truth is botocore's service model. Each leaf becomes a script of the emulator that sends it, and the table below says
where in the chunk it has to arrive; the rest of the way follows from the rule of the contract.
"""

import base64
import functools
import json
import re

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

import model
from conftest import SERVICE, outcrop

# Leaves that do not reach a caller, each with its reason. None today.
EXCEPTIONS = {}

# Where the members of an event arrive in a chunk.
PLACES = {
    ("contentBlockStart", "start", "toolUse"): ("tool_use_start",),
    ("contentBlockStart", "start", "toolResult"): ("tool_result_start",),
    ("contentBlockStart", "start", "image"): ("image_start",),
    ("contentBlockDelta", "delta", "text"): ("text",),
    ("contentBlockDelta", "delta", "toolUse", "input"): ("tool_use_input",),
    ("contentBlockDelta", "delta", "toolResult"): ("tool_result", "content"),
    ("contentBlockDelta", "delta", "reasoningContent"): ("reasoning",),
    ("contentBlockDelta", "delta", "citation"): ("citation",),
    ("contentBlockDelta", "delta", "image"): ("image",),
    ("contentBlockStart", "contentBlockIndex"): ("content_block_index",),
    ("contentBlockDelta", "contentBlockIndex"): ("content_block_index",),
    ("contentBlockStop", "contentBlockIndex"): ("content_block_index",),
    ("messageStart", "role"): ("start", "role_name"),
    ("messageStop", "stopReason"): ("finish", "stop_reason_name"),
    ("messageStop", "additionalModelResponseFields"): ("finish", "additional_model_response_fields"),
    ("metadata",): ("finish",),
}

# Enums of the contract: their values beside Bedrock's own words.
ENUMS = {
    ("messageStart", "role"): (("start", "role"), "ROLE_"),
    ("messageStop", "stopReason"): (("finish", "stop_reason"), "STOP_REASON_"),
}

REST = [
    {"event": {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 9, "delta": {"text": "other"}}}},
    {"event": {"type": "messageStop", "payload": {"stopReason": "end_turn"}}},
    {"event": {"type": "metadata", "payload": {"usage": {}, "metrics": {}}}},
]


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def place_of(path):
    """Where this leaf must be in a chunk."""
    for length in range(len(path), 0, -1):
        if path[:length] in PLACES:
            rest = path[length:]
            if path[:2] == ("metadata", "trace"):
                # The trace is Bedrock's own JSON.
                return ("finish", "trace", *path[2:])
            return (*PLACES[path[:length]], *(step if isinstance(step, int) else snake(step) for step in rest))
    raise KeyError(path)


def on_the_wire(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: on_the_wire(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [on_the_wire(inner) for inner in value]
    return value


def script_of(event, payload):
    step = {"event": {"type": event, "payload": on_the_wire(payload)}}
    rest = [other for other in REST if other["event"]["type"] != event or event == "contentBlockDelta"]
    return {"steps": [step, *rest]}


@functools.cache
def stream_shape():
    return model.service_model().operation_model("ConverseStream").output_shape.members["stream"]


def with_strangers(shape, value, depth=0):
    """The same with a member in every structure that no model knows. Returns the markers too."""
    if model.is_document(shape) or shape.type_name not in ("structure", "list", "map"):
        return value, []
    if shape.type_name == "list":
        inner, markers = with_strangers(shape.member, value[0], depth + 1)
        return [inner], markers
    if shape.type_name == "map":
        inner, markers = with_strangers(shape.value, value["key"], depth + 1)
        return {"key": inner}, markers
    result, markers = {f"stranger{depth}": depth}, [f"stranger{depth}"]
    for name, member in value.items():
        result[name], more = with_strangers(shape.members[name], member, depth + 1)
        markers += more
    return result, markers


def output_leaves():
    """The leaves of all events, and those of all exceptions."""
    shape = stream_shape()
    events, exceptions = [], []
    for name, inner in shape.members.items():
        found = [model.Leaf((name, *path), value, structure) for path, value, structure in model.leaves(inner, name, enums=True)]
        (exceptions if inner.metadata.get("exception") else events).extend(found)
    return events, exceptions


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    """The leaves, and a server whose emulator has a script for each."""
    events, exceptions = output_leaves()
    folder = tmp_path_factory.mktemp("scripts")
    for number, leaf in enumerate(events):
        (folder / f"event{number}.json").write_text(json.dumps(script_of(leaf.path[0], leaf.structure)))
        strange, _ = with_strangers(stream_shape().members[leaf.path[0]], leaf.structure)
        (folder / f"strange{number}.json").write_text(json.dumps(script_of(leaf.path[0], strange)))
    for number, leaf in enumerate(exceptions):
        # The script language has no exception with more members than a message, so the frame is sent as it is.
        (folder / f"exception{number}.json").write_text(json.dumps(exception_script(leaf)))
    server = outcrop("--local", "--scripts", str(folder))
    channel = grpc.insecure_channel(server.address)
    method = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(SERVICE).methods_by_name["Generate"]
    request_class = message_factory.GetMessageClass(method.input_type)
    chunk_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_stream(f"/{SERVICE}/Generate", request_class.SerializeToString, chunk_class.FromString)

    def generate(name):
        for chunk in call(request_class(model=f"emulator.{name}", prompt="hi"), timeout=20):
            yield json_format.MessageToDict(chunk, preserving_proto_field_name=True)

    yield events, exceptions, generate
    channel.close()
    server.stop()


def exception_script(leaf):
    from botocore.eventstream import crc32

    name = leaf.path[0]
    headers = b""
    for header, value in [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")]:
        headers += bytes([len(header)]) + header.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
    payload = json.dumps(leaf.structure).encode()
    total = 12 + len(headers) + len(payload) + 4
    prelude = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    frame = prelude + crc32(prelude).to_bytes(4, "big") + headers + payload
    frame += crc32(frame).to_bytes(4, "big")
    return {"steps": [{"bytes": base64.b64encode(frame).decode()}]}


def at(value, path):
    for step in path:
        value = value[step]
    return value


def same(actual, expected):
    """Equal as far as protobuf's JSON can tell: it writes 64-bit numbers as strings, and all numbers of a Struct as doubles."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and actual.keys() == expected.keys() and all(same(actual[k], expected[k]) for k in expected)
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(same, actual, expected))
    if isinstance(expected, int) and not isinstance(expected, bool) and isinstance(actual, str):
        return int(actual) == expected
    return actual == expected


def check_event(leaf, chunks):
    assert "finish" in chunks[-1], "the stream is whole"
    place, expected = place_of(leaf.path), on_the_wire(leaf.value)
    found = []
    for chunk in chunks:
        try:
            found.append(at(chunk, place))
        except (KeyError, IndexError, TypeError):
            continue
    assert any(same(one, expected) for one in found), f"{place}: {found}"
    if leaf.path in ENUMS:
        enum_place, prefix = ENUMS[leaf.path]
        assert prefix + leaf.value.upper() in [at(chunk, enum_place) for chunk in chunks if enum_place[0] in chunk]
    assert not any("unrecognized" in chunk or "other" in chunk for chunk in chunks), "the contract knows it"


def check_exception(leaf, generate, number):
    with pytest.raises(grpc.RpcError) as caught:
        list(generate(f"exception{number}"))
    info = error_details_pb2.ErrorInfo()
    next(d for d in rpc_status.from_call(caught.value).details if d.Is(info.DESCRIPTOR)).Unpack(info)
    assert info.metadata["exception"] == leaf.path[0]
    if leaf.path[1:] == ("message",):
        assert leaf.value in caught.value.details()
    else:
        assert info.metadata[snake(leaf.path[1])] == str(leaf.value)


def test_every_leaf_of_an_answer_reaches_the_caller(leaves, capsys):
    events, exceptions, generate = leaves
    done, failed = 0, []
    for number, leaf in enumerate(events):
        if str(leaf) in EXCEPTIONS:
            continue
        try:
            check_event(leaf, list(generate(f"event{number}")))
            done += 1
        except (AssertionError, grpc.RpcError, KeyError) as error:
            failed.append(f"{leaf} = {leaf.value!r}: {error}")
    for number, leaf in enumerate(exceptions):
        try:
            check_exception(leaf, generate, number)
            done += 1
        except (AssertionError, KeyError) as error:
            failed.append(f"{leaf}: {error}")
    total = len(events) + len(exceptions)
    with capsys.disabled():
        print(f"\nanswer: {done} of {total} leaves and enum values; deliberate exceptions: {EXCEPTIONS or 'none'}")
    assert not failed, "\n".join(failed)
    assert done + len(EXCEPTIONS) == total


def test_members_that_no_model_knows_reach_the_caller_wherever_they_are(leaves, capsys):
    events, _, generate = leaves
    failed, strangers = [], 0
    for number, leaf in enumerate(events):
        _, markers = with_strangers(stream_shape().members[leaf.path[0]], leaf.structure)
        chunks = list(generate(f"strange{number}"))
        arrived = json.dumps(chunks)
        missing = [marker for marker in markers if arrived.count(marker) < markers.count(marker)]
        strangers += len(markers)
        if missing or "finish" not in chunks[-1]:
            failed.append(f"{leaf}: {missing} in {arrived}")
    with capsys.disabled():
        print(f"\nanswer: {strangers} members that no model knows, {len(failed)} leaves where one was lost")
    assert not failed, "\n".join(failed)
