"""What a real collector receives from the real program, by the names of the conventions of OpenTelemetry."""

import subprocess
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from collector import Collector
from conftest import SERVICE, TARGET, outcrop
from provider import certificates

METHOD = f"{SERVICE}/Generate"
PROMPT = "two cats that go on an adventure"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"

SERVER, CLIENT = 2, 3
ERROR = 2

ROUTE = "failing-over=emulator.refuse-throttle,emulator.default"


@pytest.fixture(scope="module")
def start():
    """Starts collectors and servers, and ends them also if a test fails."""
    ends = []

    def started(program, end):
        ends.append(end)
        return program

    def collector(folder, tls=None):
        program = Collector(folder, tls)
        return started(program, program.kill)

    def server(*flags, environment=None):
        program = outcrop("--local", *flags, environment=environment)
        return started(program, program.stop)

    yield SimpleNamespace(collector=collector, server=server)
    for end in ends:
        end()


@pytest.fixture(scope="module")
def observed(start, tmp_path_factory):
    """A collector that has received one call of every kind, and how the calls ended."""
    collector = start.collector(tmp_path_factory.mktemp("otelcol"))
    environment = {"OTEL_SERVICE_NAME": "checkout", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    server = start.server("--otlp-endpoint", collector.endpoint, "--route", ROUTE, environment=environment)
    calls = Caller(server.address)
    ended = {
        "success": calls.ended("emulator.default", [("traceparent", f"00-{TRACE}-{PARENT}-01")]),
        "failover": calls.ended("failing-over"),
        "failure": calls.ended("emulator.exception"),
        "abandonment": calls.left("emulator.endless"),
        "refusal": calls.ended("emulator.default", prompt=""),
        "count": calls.count("emulator.default"),
        "log": server.log,
    }
    stop(server)
    collector.stop()
    return collector, ended


class Caller:
    """Calls a server."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        service = pool.FindServiceByName(SERVICE)
        self.types = {name: service.FindMethodByName(name) for name in ["Generate", "CountTokens"]}

    def request(self, method, fields):
        return json_format.ParseDict(fields, message_factory.GetMessageClass(self.types[method].input_type)())

    def call(self, model, metadata=(), prompt=PROMPT):
        answer = message_factory.GetMessageClass(self.types["Generate"].output_type)
        request = self.request("Generate", {"model": model, "prompt": prompt, "inferenceConfig": {"maxTokens": 100}})
        method = self.channel.unary_stream(f"/{METHOD}", lambda message: message.SerializeToString(), answer.FromString)
        return method(request, metadata=metadata, timeout=60)

    def ended(self, model, metadata=(), prompt=PROMPT):
        """The status code of a call."""
        call = self.call(model, metadata, prompt)
        try:
            list(call)
        except grpc.RpcError:
            pass
        return call.code().name

    def left(self, model):
        """Leaves a call in the middle."""
        call = self.call(model)
        next(call)
        call.cancel()
        return call.code().name

    def count(self, model):
        answer = message_factory.GetMessageClass(self.types["CountTokens"].output_type)
        path = f"/{SERVICE}/CountTokens"
        method = self.channel.unary_unary(path, lambda message: message.SerializeToString(), answer.FromString)
        return method(self.request("CountTokens", {"model": model, "prompt": PROMPT}), timeout=60).input_tokens


def stop(server):
    """Ends a server, which sends what waits."""
    server.terminate()
    assert server.process.wait(timeout=60) == 0


def below(spans, parent):
    return [span for span in spans if span.get("parentSpanId") == parent["spanId"]]


def tree(collector, model):
    """The server span, the inference and the attempts of the call of this model."""
    spans = collector.spans()
    (inference,) = [span for span in spans if span["name"] == f"chat {model}"]
    (server,) = [span for span in spans if span["spanId"] == inference["parentSpanId"]]
    attempts = sorted(below(spans, inference), key=lambda span: int(span["startTimeUnixNano"]))
    assert {span["traceId"] for span in attempts} == {inference["traceId"]} == {server["traceId"]}
    return server, inference, attempts


def status(span):
    return span.get("status", {}).get("code", 0)


def test_a_success(observed):
    collector, ended = observed
    assert ended["success"] == "OK"
    server, inference, (attempt,) = tree(collector, "emulator.default")
    assert (server["traceId"], server["parentSpanId"]) == (TRACE, PARENT), "the trace of the caller goes on"
    assert [span["kind"] for span in (server, inference, attempt)] == [SERVER, CLIENT, CLIENT]
    assert [status(span) for span in (server, inference, attempt)] == [0, 0, 0]
    assert f'trace_id="{TRACE}"' in ended["log"].read_text(), "the event of the call in the log"
    assert server["name"] == METHOD
    assert server["resource"]["service.name"] == "checkout"
    assert server["resource"]["deployment.environment.name"] == "test"
    assert server["scope"]["name"] == "outcrop"
    expected = {"rpc.system.name": "grpc", "rpc.method": METHOD, "rpc.status_code": "OK", "server.address": "127.0.0.1"}
    assert expected.items() <= server["attributes"].items()
    assert "error.type" not in server["attributes"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "emulator.default",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": "emulator.default",
        "gen_ai.response.finish_reasons": ["end_turn"],
    }
    assert expected.items() <= inference["attributes"].items()
    assert inference["attributes"]["gen_ai.usage.input_tokens"] > 0
    assert inference["attributes"]["gen_ai.usage.output_tokens"] > 0
    assert inference["attributes"]["gen_ai.response.time_to_first_chunk"] > 0
    assert attempt["name"] == "BedrockRuntime.ConverseStream"
    assert attempt["attributes"]["http.response.status_code"] == 200
    assert attempt["attributes"]["cloud.region"] and attempt["attributes"]["aws.request_id"]


def test_a_failover(observed):
    collector, ended = observed
    assert ended["failover"] == "OK"
    server, inference, (first, second) = tree(collector, "failing-over")
    assert (status(server), status(inference), status(first), status(second)) == (0, 0, ERROR, 0)
    assert first["attributes"]["error.type"] == "BEDROCK_THROTTLED"
    assert first["attributes"]["http.response.status_code"] == 429
    assert second["attributes"]["http.request.resend_count"] == 1
    assert inference["attributes"]["gen_ai.response.model"] == "emulator.default"


def test_a_failure_in_the_middle(observed):
    collector, ended = observed
    server, inference, (attempt,) = tree(collector, "emulator.exception")
    assert ended["failure"] == server["attributes"]["rpc.status_code"] != "OK"
    reason = server["attributes"]["outcrop.reason"]
    for span in (inference, attempt):
        assert (status(span), span["attributes"]["error.type"]) == (ERROR, reason)
    assert inference["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert "gen_ai.response.time_to_first_chunk" in inference["attributes"], "there was content"


def test_an_abandonment(observed):
    collector, ended = observed
    assert ended["abandonment"] == "CANCELLED"
    server, inference, (attempt,) = tree(collector, "emulator.endless")
    assert server["attributes"]["rpc.status_code"] == "CANCELLED"
    assert [status(span) for span in (server, inference, attempt)] == [0, 0, 0]


def test_a_refusal(observed):
    collector, ended = observed
    assert ended["refusal"] == "INVALID_ARGUMENT"
    spans = collector.spans()
    (refused,) = [span for span in spans if span["attributes"].get("rpc.status_code") == "INVALID_ARGUMENT"]
    assert (status(refused), below(spans, refused)) == (0, [])
    assert refused["attributes"]["outcrop.reason"] == "INVALID_REQUEST"


def test_a_count_of_tokens(observed):
    collector, ended = observed
    assert ended["count"] > 0
    spans = collector.spans()
    (server,) = [span for span in spans if span["name"] == f"{SERVICE}/CountTokens"]
    (attempt,) = below(spans, server)
    assert (attempt["name"], attempt["kind"]) == ("BedrockRuntime.CountTokens", CLIENT)


def test_metrics(observed):
    collector, _ = observed
    metrics = collector.metrics()

    def total(name, **wanted):
        points = [point for point in metrics[name]["points"] if wanted.items() <= point["attributes"].items()]
        return sum(int(point.get("count", 0)) or int(point.get("asInt", 0)) for point in points)

    assert metrics["rpc.server.call.duration"]["unit"] == "s"
    assert total("rpc.server.call.duration", **{"rpc.method": METHOD}) == 5
    assert total("rpc.server.call.duration", **{"rpc.status_code": "CANCELLED"}) == 1
    assert total("gen_ai.client.inference.duration") == 4, "a refused call is no inference"
    for model in ["emulator.default", "failing-over"]:
        assert total("gen_ai.client.inference.duration", **{"gen_ai.request.model": model}) == 1
    assert total("gen_ai.client.inference.time_to_first_chunk") == 4
    assert total("gen_ai.client.inference.time_per_output_chunk") > 4
    for name in ["input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens"]:
        assert metrics[f"gen_ai.client.inference.usage.{name}"]["unit"] == "{token}"
    assert total("gen_ai.client.inference.usage.output_tokens") > 0
    models = {point["attributes"]["gen_ai.request.model"] for point in metrics["gen_ai.client.inference.duration"]["points"]}
    assert models == {"emulator.default", "failing-over", "other"}, "no name of a caller"
    bounds = metrics["gen_ai.client.inference.duration"]["points"][0]["explicitBounds"]
    assert bounds == [round(0.01 * 2**power, 2) for power in range(14)], "those of the conventions"


def test_no_prompt_leaves(observed):
    collector, _ = observed
    received = collector.file.read_text()
    assert PROMPT not in received and "two cats" not in received


def test_a_call_without_credentials_over_tls_and_with_a_header(start, tmp_path):
    certificates(tmp_path)
    tls = {"cert_file": str(tmp_path / "server.pem"), "key_file": str(tmp_path / "server.key")}
    collector = start.collector(tmp_path, tls)
    headers = tmp_path / "headers"
    headers.write_text("x-tenant: acme\n")
    headers.chmod(0o600)
    file = tmp_path / "outcrop.toml"
    digits = "0" * 64
    file.write_text(f'[[caller]]\nname = "ada"\nkeys = [{{ id = "abcdefghjkmn", sha256 = "{digits}" }}]\n')
    server = start.server(
        *["--config", str(file), "--otlp-endpoint", collector.endpoint],
        *["--otlp-ca", str(tmp_path / "ca.pem"), "--otlp-headers-file", str(headers)],
    )
    channel = grpc.insecure_channel(server.address)
    method = channel.unary_stream(f"/{METHOD}", lambda message: message, lambda message: message)
    with pytest.raises(grpc.RpcError) as raised:
        list(method(b"", timeout=60))
    assert raised.value.code().name == "UNAUTHENTICATED"
    stop(server)
    collector.stop()
    (span,) = collector.spans()
    assert span["attributes"]["rpc.status_code"] == "UNAUTHENTICATED"
    assert span["attributes"]["outcrop.reason"] == "CREDENTIALS_MISSING"
    assert (span["name"], status(span)) == (METHOD, 0)


def test_the_check_connects_to_the_collector(start, tmp_path):
    collector = start.collector(tmp_path)

    def check():
        command = [str(TARGET / "outcrop"), "check", "--local", "--otlp-endpoint", collector.endpoint]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert f"traces and metrics: {collector.endpoint}" in check().stdout
    collector.stop()
    done = check()
    assert done.returncode == 1 and f"the collector at {collector.endpoint} cannot be reached" in done.stderr, done


def test_the_environment_alone_turns_it_on_and_off(start, tmp_path):
    collector = start.collector(tmp_path)
    # The filter of the log does not change spans.
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OUTCROP_LOG": "off"}
    for further in [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}, {}]:
        server = start.server(environment={**environment, "OTEL_METRICS_EXPORTER": "none", **further})
        assert Caller(server.address).ended("emulator.default") == "OK"
        stop(server)
    collector.stop()
    assert len(collector.spans()) == 3, "of the last server alone"
    assert collector.metrics() == {}
