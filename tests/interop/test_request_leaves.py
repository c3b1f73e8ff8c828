"""Every leaf of ConverseStreamRequest: set in a gRPC request, it reaches Bedrock at its path with its value.

The truth is botocore's service model. The gRPC request is made from it here, by the rule of the contract (an AWS name in
snake_case); what arrived is read from the emulator and put to botocore's own validator.
"""

import base64
import copy
import json
import re

import grpc
import httpx
import pytest
from botocore.validate import ParamValidator
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import model
from conftest import SERVICE, outcrop

# Leaves that are not carried, each with its reason. None today.
EXCEPTIONS = {}

PROMPT = [{"role": "user", "content": [{"text": "hi"}]}]


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def to_proto(shape, value, name=""):
    """An AWS value as the JSON form of the message that mirrors it."""
    if model.is_document(shape):
        return value
    if shape.type_name == "structure":
        return {snake(member): to_proto(shape.members[member], inner, member) for member, inner in value.items()}
    if shape.type_name == "list":
        items = [to_proto(shape.member, item, name) for item in value]
        # A list cannot stand in a oneof, so the pieces of a document have a message of their own.
        return {"blocks": items} if shape.name == "DocumentContentBlocks" else items
    if shape.type_name == "map":
        return {key: to_proto(shape.value, inner, name) for key, inner in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return f"ROLE_{value.upper()}" if shape.name == "ConversationRole" else value


def on_the_wire(shape, value):
    """An AWS value as restJson1 writes it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: on_the_wire(shape, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [on_the_wire(shape, inner) for inner in value]
    return value


def from_the_wire(shape, value):
    """What arrived, as botocore's validator wants it: blobs as bytes."""
    if model.is_document(shape):
        return value
    if shape.type_name == "structure":
        return {name: from_the_wire(shape.members[name], inner) for name, inner in value.items()}
    if shape.type_name == "list":
        return [from_the_wire(shape.member, inner) for inner in value]
    if shape.type_name == "map":
        return {key: from_the_wire(shape.value, inner) for key, inner in value.items()}
    return base64.b64decode(value) if shape.type_name == "blob" else value


def at(value, path):
    for step in path:
        value = value[step]
    return value


def same(left, right):
    """Equal, and whole numbers whole in both."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.fixture(scope="module")
def calls(emulator):
    """Functions that make the two calls with a request in JSON form."""
    server = outcrop(
        environment={
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address,
        }
    )
    channel = grpc.insecure_channel(server.address)
    service = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(SERVICE)

    def call(name, kind):
        method = service.FindMethodByName(name)
        request_class = message_factory.GetMessageClass(method.input_type)
        stub = getattr(channel, kind)(f"/{SERVICE}/{name}", request_class.SerializeToString, lambda data: data)
        return lambda request: stub(json_format.ParseDict(request, request_class()), timeout=20)

    generate, count = call("Generate", "unary_stream"), call("CountTokens", "unary_unary")
    yield (lambda request: list(generate(request))), count
    channel.close()
    server.stop()


def check(leaf, shape, call, address, extra):
    structure = copy.deepcopy(leaf.structure)
    structure.pop("modelId", None)
    structure.setdefault("messages", PROMPT)
    if leaf.path[0] == "messages" and leaf.path[2] == "role" and leaf.value == "assistant":
        structure["messages"] = PROMPT + structure["messages"]
    call({**to_proto(shape, structure), "model": "emulator.tools"})
    body = httpx.get(f"{address}/_emulator/last-request").json()["body"]
    body = at(body, extra)
    arrived = at(body, leaf.path)
    assert same(arrived, on_the_wire(None, leaf.value)), f"{leaf}: {arrived!r}"
    params = from_the_wire(shape, body)
    if "modelId" in shape.members:
        params["modelId"] = "emulator.tools"
    report = ParamValidator().validate(params, shape)
    assert not report.has_errors(), f"{leaf}: {report.generate_report()}"


def covered(shape, call, address, extra=()):
    # The model id is no member of the body; it has a test of its own.
    all_leaves = [model.Leaf(*leaf) for leaf in model.leaves(shape) if leaf[0][0] != "modelId"]
    done, failed = 0, []
    for leaf in all_leaves:
        if str(leaf) in EXCEPTIONS:
            continue
        try:
            check(leaf, shape, call, address, extra)
            done += 1
        except (AssertionError, grpc.RpcError, json_format.ParseError, KeyError) as error:
            failed.append(f"{leaf}: {error}")
    return done, len(all_leaves), failed


def test_every_leaf_of_a_request_reaches_bedrock(calls, emulator, capsys):
    shape = model.service_model().operation_model("ConverseStream").input_shape
    done, total, failed = covered(shape, calls[0], emulator.address)
    with capsys.disabled():
        print(f"\nrequest: {done} of {total} leaves; deliberate exceptions: {EXCEPTIONS or 'none'}")
    assert not failed, "\n".join(failed)
    assert done + len(EXCEPTIONS) == total


def test_every_leaf_of_a_count_reaches_bedrock(calls, emulator, capsys):
    shape = model.service_model().shape_for("ConverseTokensRequest")
    done, total, failed = covered(shape, calls[1], emulator.address, ("input", "converse"))
    with capsys.disabled():
        print(f"\ncount: {done} of {total} leaves")
    assert not failed, "\n".join(failed)
    assert done == total


def test_the_model_id_is_in_the_path(calls, emulator):
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
    calls[0]({"model": arn, "prompt": "hi"})
    assert httpx.get(f"{emulator.address}/_emulator/last-request").json()["modelId"] == arn
