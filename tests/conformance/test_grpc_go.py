"""The interop clients of grpc-go against grpc.testing.TestService in the edge."""

import pytest

from conftest import FIGURES, documented, serving, suite

CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
]

# The cases of interop/http2 for which a server need not break the protocol: GOAWAY, a limit of streams and pings.
HTTP2 = [("goaway", ["--max-age", 300]), ("max_streams", ["--max-streams", 1]), ("ping", [])]


@pytest.fixture(scope="module")
def port():
    with serving("conformance-server", "interop") as port:
        yield port


def check(program, port, case):
    done = suite(program, "-server_host", "127.0.0.1", "-server_port", port, "-test_case", case, timeout=30)
    assert done.returncode == 0, f"{case}: {done.stdout} {done.stderr}"
    return done


@pytest.mark.parametrize("case", CASES)
def test_interop(port, case):
    check("client", port, case)


@pytest.mark.parametrize("case, flags", HTTP2)
def test_http2(case, flags):
    with serving("conformance-server", "interop", *flags) as port:
        check("http2", port, case)


def test_a_client_that_expects_something_else_fails(port):
    done = suite("client", "-server_host", "127.0.0.1", "-server_port", port, "-test_case", "orca_per_rpc", timeout=60)
    assert done.returncode != 0, "the interop client finds nothing wrong with a server that has no ORCA"
    FIGURES.append(f"grpc-go: {len(CASES)} cases of interop/client and {len(HTTP2)} of interop/http2")
    documented(f"| grpc-go, interop/client | {len(CASES)} | {len(CASES)} | 0 | 0 |")
    documented(f"| grpc-go, interop/http2 | {len(HTTP2)} | {len(HTTP2)} | 0 | 0 |")
