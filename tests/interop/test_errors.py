"""The error contract, row by row, as a Python client reads it. The rows are read from the document, so document and server
cannot differ.
"""

import base64
import json
import re
import struct

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from conftest import ROOT, SERVICE, outcrop

DOCUMENT = (ROOT / "docs/errors.md").read_text()

# reason -> (code, retry delay in milliseconds or None)
REASONS = {
    reason: (code, None if retry == "no" else int(retry.removesuffix(" ms")))
    for reason, code, retry in re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \|", DOCUMENT, re.MULTILINE)
}
EXCEPTIONS = re.findall(r"^\| ([A-Z]\w+) \| `(\w+)` \|$", DOCUMENT, re.MULTILINE)
STATUSES = re.findall(r"^\| (\d+) \| `(\w+)` \|$", DOCUMENT, re.MULTILINE)

# Reasons that other tests provoke, because they need more than one call.
ELSEWHERE = {
    "ORIGIN_NOT_ALLOWED": "tests/e2e/page.rs",
    "CREDENTIALS_MISSING": "tests/e2e/identity.rs",
    "CREDENTIALS_INVALID": "tests/e2e/identity.rs",
    "CREDENTIALS_EXPIRED": "tests/e2e/identity.rs",
    "CREDENTIALS_REVOKED": "tests/e2e/identity.rs",
    "AUTHENTICATION_THROTTLED": "tests/e2e/identity.rs",
    "IDENTITY_PROVIDER": "src/identity/jwt, tests/interop/test_oidc.py",
    "PERMISSION_DENIED": "tests/e2e/identity.rs",
    "AUDIT_LOG": "tests/e2e/audit.rs",
    "DRAINING": "test_grpcurl.py, tests/e2e/drain.rs",
    "UPSTREAM_UNREACHABLE": "tests/e2e/failures.rs",
    "CONNECT_TIMEOUT": "tests/e2e/timeouts.rs",
    "BODY_TIMEOUT": "tests/e2e/request_memory.rs, tests/e2e/ungated.rs",
    "LOCAL_LIMIT": "tests/e2e/limits.rs",
    "QUOTA_EXHAUSTED": "tests/e2e/quotas.rs",
    "BUDGET_EXHAUSTED": "tests/e2e/budgets.rs",
    "NO_CONVERSATIONS": "tests/e2e/conversations.rs",
    "CONVERSATION_BUSY": "tests/e2e/conversations.rs",
    "CONVERSATION_STORE": "tests/e2e/stores.rs",
    "CONVERSATION_CHANGED": "tests/e2e/conversations.rs",
    "CONVERSATION_TURN_STORED": "tests/e2e/conversations.rs",
    "CONVERSATION_OUTCOME_UNKNOWN": "tests/e2e/stores.rs, tests/e2e/turns.rs",
    "UNREAD_TIMEOUT": "tests/e2e/limits.rs",
    "CONVERSATION_LEASE_LOST": "tests/e2e/stores.rs",
    "CALLER_CANCELLED": "no caller is left to read it",
    "INTERNAL": "a defect of the server",
}

SCRIPTS = {
    **{f"http-{name}": {"refuse": {"status": 418, "exception": name, "message": "because"}} for name, _ in EXCEPTIONS},
    **{
        f"frame-{name}": {"steps": [{"exception": {"type": name[0].lower() + name[1:], "message": "because"}}]}
        for name, _ in EXCEPTIONS
    },
    **{
        f"after-{name}": {
            "steps": [
                {"event": {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "a"}}}},
                {"exception": {"type": name[0].lower() + name[1:], "message": "because"}},
            ]
        }
        for name, _ in EXCEPTIONS
    },
    **{f"status-{status}": {"refuse": {"status": int(status), "body": ""}} for status, _ in STATUSES},
    "teapot": {"refuse": {"status": 418, "body": "teapot"}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for name, script in SCRIPTS.items():
        (folder / f"{name}.json").write_text(json.dumps(script))
    server = outcrop("--local", "--scripts", str(folder), "--attempts", "1", "--max-request-bytes", "10000")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def failure(server):
    """The error of a call, and how many chunks came before it."""
    channel = grpc.insecure_channel(server.address)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    request_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("outcrop.v1.GenerateRequest"))
    call = channel.unary_stream(f"/{SERVICE}/Generate", request_class.SerializeToString, lambda data: data)

    def failure(**request):
        chunks = 0
        try:
            for _ in call(request_class(**request), timeout=20):
                chunks += 1
        except grpc.RpcError as error:
            return error, chunks
        raise AssertionError("the call is OK")

    yield failure
    channel.close()


def details_of(status):
    kinds = [error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.RequestInfo]
    found = {kind.DESCRIPTOR.name: kind.FromString(d.value) for d in status.details for kind in kinds if d.Is(kind.DESCRIPTOR)}
    return found


def check(status, reason, phase, called):
    code, retry = REASONS[reason]
    details = details_of(status)
    info = details["ErrorInfo"]
    assert (info.reason, info.domain, info.metadata["phase"]) == (reason, "outcrop", phase)
    assert grpc.StatusCode[code].value[0] == status.code
    delay = details["RetryInfo"].retry_delay.ToMilliseconds() if "RetryInfo" in details else None
    assert delay == retry
    assert bool("RequestInfo" in details and details["RequestInfo"].request_id) == called
    return info


@pytest.mark.parametrize("name, reason", EXCEPTIONS)
def test_exceptions(failure, name, reason):
    for kind, phase, chunks in [("http", "before_content", 0), ("frame", "before_content", 0), ("after", "after_content", 2)]:
        error, seen = failure(model=f"emulator.{kind}-{name}", prompt="hi")
        info = check(rpc_status.from_call(error), reason, phase, called=True)
        assert info.metadata["exception"].lower() == name.lower()
        assert (info.metadata["region"], info.metadata["attempts"]) == ("us-east-1", "1")
        assert seen == chunks


@pytest.mark.parametrize("status, reason", STATUSES)
def test_statuses(failure, status, reason):
    error, seen = failure(model=f"emulator.status-{status}", prompt="hi")
    check(rpc_status.from_call(error), reason, "before_content", called=True)
    assert seen == 0


def limited(model, clock):
    """A request in which one of the clocks fires soon."""
    return {"model": model, "prompt": "hi", "time_limits": {clock: {"nanos": 300_000_000}}}


@pytest.mark.parametrize(
    "reason, phase, called, request_",
    [
        ("INVALID_REQUEST", "before_content", False, {}),
        ("MESSAGE_TOO_LARGE", "before_content", False, {"prompt": "x" * 20_000}),
        ("BEDROCK_UNKNOWN", "before_content", True, {"model": "emulator.teapot", "prompt": "hi"}),
        ("CONVERSATION_NOT_FOUND", "before_content", False, {"conversation_id": "x", "prompt": "hi"}),
        ("FIRST_CONTENT_TIMEOUT", "before_content", True, limited("emulator.slow", "first_content")),
        ("IDLE_TIMEOUT", "after_content", True, limited("emulator.stall", "idle")),
        ("TOTAL_TIMEOUT", "after_content", True, limited("emulator.endless", "total")),
        ("UPSTREAM_TRUNCATED", "after_content", True, {"model": "emulator.end", "prompt": "hi"}),
        ("UPSTREAM_CORRUPT", "after_content", True, {"model": "emulator.corrupt", "prompt": "hi"}),
    ],
)
def test_other_reasons(failure, reason, phase, called, request_):
    error, _ = failure(**request_)
    check(rpc_status.from_call(error), reason, phase, called)


def raw(server, path, message=b"", times=1, **headers):
    """A call without a gRPC library, so that nothing on the caller's side gets in before the server."""
    framed = (b"\x00" + struct.pack(">I", len(message)) + message) * times
    with httpx.Client(http1=False, http2=True, timeout=20) as client:
        headers = {"content-type": "application/grpc", "te": "trailers", **headers}
        answer = client.post(f"http://{server.address}{path}", content=framed, headers=headers)
    encoded = answer.headers["grpc-status-details-bin"]
    return status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))


def test_reasons_that_a_library_would_not_let_through(server):
    generate = f"/{SERVICE}/Generate"
    check(raw(server, "/outcrop.v1.Nothing/Here"), "UNKNOWN_METHOD", "before_content", False)
    check(raw(server, generate, b"\x12\x02\xff\xfe"), "MALFORMED_REQUEST", "before_content", False)
    for times in [0, 2]:
        check(raw(server, generate, times=times), "CARDINALITY_VIOLATION", "before_content", False)
    silent = b"\x0a" + bytes([len("emulator.slow")]) + b"emulator.slow\x12\x02hi"
    check(raw(server, generate, silent, **{"grpc-timeout": "300m"}), "CALLER_DEADLINE", "before_content", True)
    details = details_of(raw(server, "/grpc.health.v1.Health/Check", b"\x0a\x06nobody"))
    assert details["ErrorInfo"].reason == "TRANSPORT"


def test_every_reason_is_provoked_somewhere():
    here = {"INVALID_REQUEST", "MESSAGE_TOO_LARGE", "BEDROCK_UNKNOWN", "UPSTREAM_TRUNCATED", "UPSTREAM_CORRUPT"}
    here |= {"CONVERSATION_NOT_FOUND", "FIRST_CONTENT_TIMEOUT", "IDLE_TIMEOUT", "TOTAL_TIMEOUT", "UNKNOWN_METHOD", "MALFORMED_REQUEST", "CARDINALITY_VIOLATION", "CALLER_DEADLINE", "TRANSPORT"}
    here |= {reason for _, reason in EXCEPTIONS} | {reason for _, reason in STATUSES}
    assert here | set(ELSEWHERE) == set(REASONS)
