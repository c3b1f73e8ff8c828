"""grpcurl, with reflection and with the proto files, and the health service while the server drains."""

import json
import os
import re
import socket
import subprocess
import time

from conftest import SERVICE, outcrop

PROTO = ["-import-path", "proto", "-proto", "outcrop/v1/generation_service.proto"]


def messages(output):
    """The JSON messages that grpcurl prints one after another."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(output.rstrip()):
        message, at = decoder.raw_decode(output, at)
        found.append(message)
        at = re.compile(r"\s*").match(output, at).end()
    return found


def text_of(chunks):
    return "".join(chunk.get("text", "") for chunk in chunks)


def test_reflection_lists_and_describes(server, grpcurl):
    listed = grpcurl("-plaintext", server.address, "list").stdout.split()
    assert {SERVICE, "grpc.health.v1.Health"} <= set(listed)
    described = grpcurl("-plaintext", server.address, "describe", SERVICE).stdout
    assert "rpc Generate ( .outcrop.v1.GenerateRequest ) returns ( stream .outcrop.v1.Chunk )" in described
    chunk = grpcurl("-plaintext", server.address, "describe", "outcrop.v1.Chunk").stdout
    assert "sequence = 1" in chunk and "finish = 23" in chunk


def test_streams_by_reflection_and_by_proto_alike(server, grpcurl):
    for flags in [[], PROTO]:
        call = grpcurl("-plaintext", *flags, "-d", '{"prompt":"hi"}', server.address, f"{SERVICE}/Generate")
        chunks = messages(call.stdout)
        assert [chunk["sequence"] for chunk in chunks] == list(range(len(chunks)))
        assert chunks[0]["start"]["modelId"] == "emulator.default"
        assert "“hi”" in text_of(chunks)
        assert chunks[-1]["finish"]["stopReason"] == "STOP_REASON_END_TURN"


def test_an_error_shows_its_details(server, grpcurl):
    request = '{"model":"emulator.throttle-first","prompt":"hi"}'
    call = grpcurl("-plaintext", "-d", request, server.address, f"{SERVICE}/Generate", check=False)
    assert call.returncode != 0
    for part in ["ResourceExhausted", "BEDROCK_THROTTLED", "before_content", "RetryInfo"]:
        assert part in call.stderr, call.stderr


def listens(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionError:
        return False
    return True


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_health_stops_serving_before_the_listener_closes_and_streams_run_on(grpcurl):
    server = outcrop("--local", "--lame-duck", "3s", "--grace", "20s")
    try:
        check = lambda service: grpcurl(
            "-plaintext", "-d", json.dumps({"service": service}), server.address, "grpc.health.v1.Health/Check"
        ).stdout
        assert '"SERVING"' in check("") and '"SERVING"' in check(SERVICE)
        slow = json.dumps({"model": "emulator.endless", "prompt": "hi", "time_limits": {"total": "8s"}})
        call = [os.environ.get("GRPCURL", "grpcurl"), "-plaintext", "-d", slow, server.address, f"{SERVICE}/Generate"]
        running = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.stdout.read(1)
        server.terminate()
        until(lambda: '"NOT_SERVING"' in check(""))
        assert '"NOT_SERVING"' in check(SERVICE)
        until(lambda: not listens(server.address))
        # The stream ends by its own time limit, and not by the shutdown.
        _, problem = running.communicate(timeout=30)
        assert "the answer was not complete after 8s" in problem, problem
        assert server.process.wait(timeout=20) == 0
    finally:
        server.stop()
