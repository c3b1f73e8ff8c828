"""Python's grpcio, with nothing but reflection: what a backend in another language sees."""

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from conftest import SERVICE


@pytest.fixture(scope="module")
def generate(server):
    """A function that calls Generate with a dictionary and yields chunks as dictionaries."""
    channel = grpc.insecure_channel(server.address)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SERVICE).FindMethodByName("Generate")
    request_class = message_factory.GetMessageClass(method.input_type)
    chunk_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_stream(
        f"/{SERVICE}/Generate", request_class.SerializeToString, chunk_class.FromString
    )

    def generate(request, **options):
        stream = call(json_format.ParseDict(request, request_class()), timeout=20, **options)
        for chunk in stream:
            yield json_format.MessageToDict(chunk, preserving_proto_field_name=True)

    yield generate
    channel.close()


def details_of(error):
    status = rpc_status.from_call(error)
    found = {}
    for detail in status.details:
        for kind in [
            error_details_pb2.ErrorInfo,
            error_details_pb2.RetryInfo,
            error_details_pb2.RequestInfo,
            error_details_pb2.BadRequest,
        ]:
            if detail.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


def test_streams(generate):
    chunks = list(generate({"prompt": "hi"}))
    assert [chunk["sequence"] for chunk in chunks] == list(range(len(chunks)))
    assert chunks[0]["start"]["role"] == "ROLE_ASSISTANT"
    assert "emulator" in "".join(chunk.get("text", "") for chunk in chunks)
    assert chunks[-1]["finish"]["usage"]["input_tokens"] == 1


@pytest.mark.parametrize(
    "model, code, reason, phase, chunks",
    [
        ("throttle-first", "RESOURCE_EXHAUSTED", "BEDROCK_THROTTLED", "before_content", 0),
        ("exception", "UNAVAILABLE", "MODEL_ERROR", "after_content", 4),
        ("end", "UNAVAILABLE", "UPSTREAM_TRUNCATED", "after_content", 4),
        ("cut", "UNAVAILABLE", "UPSTREAM_TRUNCATED", "after_content", None),
        ("reset", "UNAVAILABLE", "UPSTREAM_TRUNCATED", "after_content", 4),
        ("corrupt", "DATA_LOSS", "UPSTREAM_CORRUPT", "after_content", 3),
        ("oversized", "DATA_LOSS", "UPSTREAM_CORRUPT", "after_content", 3),
        ("undersized", "DATA_LOSS", "UPSTREAM_CORRUPT", "after_content", 3),
    ],
)
def test_every_broken_stream_is_told(generate, model, code, reason, phase, chunks):
    seen = []
    with pytest.raises(grpc.RpcError) as caught:
        for chunk in generate({"model": f"emulator.{model}", "prompt": "hi"}):
            seen.append(chunk)
    details = details_of(caught.value)
    assert caught.value.code().name == code
    assert details["ErrorInfo"].reason == reason
    assert details["ErrorInfo"].domain == "outcrop"
    assert details["ErrorInfo"].metadata["phase"] == phase
    assert details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert details["RequestInfo"].request_id
    assert not any("finish" in chunk for chunk in seen)
    if chunks is not None:
        assert len(seen) == chunks


def test_all_violations_at_once(generate):
    request = {
        "messages": [{"role": "ROLE_ASSISTANT", "content": [{"text": "I begin"}]}],
        "inference_config": {"temperature": 3, "max_tokens": 0},
    }
    with pytest.raises(grpc.RpcError) as caught:
        list(generate(request))
    fields = [violation.field for violation in details_of(caught.value)["BadRequest"].field_violations]
    assert fields == ["messages[0].role", "inference_config.max_tokens", "inference_config.temperature"]


def test_fields_from_a_newer_caller_are_tolerated(server):
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_stream(f"/{SERVICE}/Generate", lambda data: data, lambda data: data)
        # prompt = "hi", and field 1000 = 1, which no proto of today has.
        assert list(call(b"\x12\x02hi" + b"\xc0\x3e\x01", timeout=20))


def test_a_deadline_ends_the_call(server, generate):
    with pytest.raises(grpc.RpcError) as caught:
        channel = grpc.insecure_channel(server.address)
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        request_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("outcrop.v1.GenerateRequest"))
        call = channel.unary_stream(f"/{SERVICE}/Generate", request_class.SerializeToString, lambda data: data)
        list(call(request_class(model="emulator.endless", prompt="hi"), timeout=1))
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_gzip_requests_are_accepted(generate):
    chunks = list(generate({"prompt": "hi " * 1000}, compression=grpc.Compression.Gzip))
    assert "finish" in chunks[-1]


def test_a_watch_of_an_unknown_service_is_service_unknown(server):
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_the_metadata_says_which_call_it_was_and_when_to_retry(generate):
    with pytest.raises(grpc.RpcError) as caught:
        list(generate({"model": "emulator.throttle-first", "prompt": "hi"}))
    metadata = dict([*caught.value.initial_metadata(), *caught.value.trailing_metadata()])
    assert len(metadata["outcrop-generation-id"]) == 36
    delay = details_of(caught.value)["RetryInfo"].retry_delay.ToMilliseconds()
    assert int(metadata["grpc-retry-pushback-ms"]) == delay


def test_health(server):
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ["", SERVICE]:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
