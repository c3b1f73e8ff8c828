"""The proxies of deploy/proxies: chunks pass one by one, errors with their details, cancellation and deadlines pass, the page works under another
host and below a path, and heartbeats keep a stream that is silent for longer than the proxy allows.

With OUTCROP_TEST_LONG=1 the streams are silent for five minutes, and the timeouts are as they are shipped."""

import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from conftest import TARGET, Program, outcrop
from languages import python
from proxies import NAME, PAGE, PROXIES, behind, certificate, program
from stepped import Stepped
from ways import GENERATE, by_boto3, by_grpc, by_grpc_web, framed

LONG = os.environ.get("OUTCROP_TEST_LONG") == "1"
# The chunks of a stream, and the streams that are measured in turn, so that a busy machine slows all of them.
CHUNKS, ROUNDS = (200, 10) if LONG else (30, 3)
# The silence of a stream, the timeout of the proxy for it, and the interval of heartbeats, in seconds.
SILENCE, ALLOWED, HEARTBEAT = (310, 120, 20) if LONG else (6, 3, 1)
# The server pings connections that are silent for so many seconds.
PINGS = 20
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module", autouse=True)
def installed():
    """All proxies are there. In CI they must be."""
    missing = [name for name in PROXIES if not program(name)]
    if missing:
        assert os.environ.get("CI_REQUIRE_PROXIES") != "1", f"there is no {missing}"
        pytest.skip(f"there is no {missing}: .ci/run installs them")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Python package for callers."""
    _, environment = python(tmp_path_factory.mktemp("python"))("stream")
    sys.path.insert(0, environment["PYTHONPATH"])
    import outcrop as package

    yield package
    sys.path.remove(environment["PYTHONPATH"])


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def resolved():
    """The name of the page leads here."""
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *more, **named: resolve("127.0.0.1" if host in (PAGE, PAGE.encode()) else host, *more, **named)
    yield
    socket.getaddrinfo = resolve


def served(bedrock, *more):
    flags = ["--region", "us-east-1", "--attempts", "1", "--default-model", "emulator.default", "--idle-timeout", "10m"]
    limits = ["--first-content-timeout", "10m", "--allowed-host", PAGE, "--trusted-proxy", "127.0.0.0/8", "--bedrock-api"]
    return outcrop(*flags, *limits, *more, environment={**KEYS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.address})


@pytest.fixture(scope="module")
def emulated():
    """The emulator, and a server in front of it."""
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0"])
    server = served(emulator)
    yield emulator, server
    server.stop()
    emulator.stop()


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request, emulated, tls):
    """The port of each proxy, with the configuration as it is shipped."""
    with behind(request.param, emulated[1], tls) as port:
        yield port


def client(package, tls, port, **options):
    return package.Client(f"https://{NAME}:{port}", ca=(tls / "cert.pem").read_bytes(), **options)


def script(emulator, name, *steps):
    httpx.put(f"{emulator.address}/_emulator/scripts/{name}", json={"steps": [*steps]}).raise_for_status()


def failure(package, caller, **request):
    with pytest.raises(package.OutcropError) as failed, caller.generate(prompt="hi", **request) as stream:
        stream.answer()
    return failed.value


def test_chunks_arrive_one_by_one(package, tls, capsys):
    """The next chunk is sent when the one before has arrived: a proxy that waits for more stops the stream. The delays are printed."""
    stepped = Stepped(CHUNKS)
    server = served(stepped)
    authority = ssl.create_default_context(cafile=tls / "cert.pem")
    delays = {}

    def measured(way, call, *arguments, **options):
        call(*arguments, stepped.arrived, **options)
        # The first chunks find nothing ready.
        delays.setdefault(way, []).extend(stepped.all()[5:])

    with ExitStack() as running:
        running.callback(stepped.stop)
        running.callback(server.stop)
        direct, url = running.enter_context(package.Client(server.address)), f"http://{server.address}"
        ports = {name: running.enter_context(behind(name, server, tls)) for name in PROXIES}
        callers = {name: running.enter_context(client(package, tls, port, retries=False)) for name, port in ports.items()}
        for _ in range(ROUNDS):
            measured("direct, gRPC", by_grpc, package, direct)
            measured("direct, gRPC-Web", by_grpc_web, package, url, True)
            measured("direct, boto3", by_boto3, url, True)
            for name, port in ports.items():
                page = f"https://{PAGE}:{port}"
                measured(f"{name}, gRPC", by_grpc, package, callers[name])
                measured(f"{name}, gRPC-Web", by_grpc_web, package, page, authority)
                measured(f"{name}, gRPC-Web below a path", by_grpc_web, package, f"{page}/outcrop", authority, http2=True)
                measured(f"{name}, boto3", by_boto3, page, str(tls / "cert.pem"))
    medians = {way: statistics.median(all_of_way) / 1e3 for way, all_of_way in delays.items()}
    with capsys.disabled():
        print(f"\nmedian delay of {len(delays['direct, gRPC'])} chunks, from Bedrock to the caller, and its ratio to the direct one:")
        for way, median in medians.items():
            baseline = medians["direct, " + way.split(", ")[1].removesuffix(" below a path")]
            print(f"  {way:32} {median:7.0f} µs  {median / baseline:5.2f}")


def test_the_details_of_errors_pass_before_and_after_content(package, emulated, tls, proxy):
    with client(package, tls, proxy, retries=False) as caller:
        after = failure(package, caller, model="emulator.exception")
        assert (after.reason, after.code.name, after.phase, after.is_retryable) == ("MODEL_ERROR", "UNAVAILABLE", "after_content", True)
        assert after.generation_id and after.request_id and after.metadata["model_id"] == "emulator.exception"
        cut = failure(package, caller, model="emulator.cut")
        assert (cut.reason, cut.phase) == ("UPSTREAM_TRUNCATED", "after_content")
        before = failure(package, caller, model="emulator.refuse-access")
        assert (before.reason, before.code.name, before.phase) == ("BEDROCK_ACCESS_DENIED", "PERMISSION_DENIED", "before_content")
        invalid = failure(package, caller, inference_config={"temperature": 3, "max_tokens": 0})
        assert [violation.field for violation in invalid.violations] == ["inference_config.max_tokens", "inference_config.temperature"]
        # The largest status that there is.
        largest = failure(package, caller, messages=[package.v1.Message(role=1, content=[package.v1.ContentBlock()] * 5000)])
        assert largest.reason == "INVALID_REQUEST" and len(largest.violations) > 5


def test_a_cancellation_reaches_bedrock_before_and_after_content(package, emulated, tls, proxy):
    emulator, _ = emulated
    script(emulator, "proxies.mute", {"wait_ms": 60_000}, {"reply": "Too late."})
    httpx.delete(f"{emulator.address}/_emulator/requests").raise_for_status()

    def requests(**query):
        return httpx.get(f"{emulator.address}/_emulator/requests", params=query, timeout=30).raise_for_status().json()["requests"]

    with client(package, tls, proxy) as caller:
        with caller.generate(model="emulator.endless", prompt="hi") as stream:
            next(stream.text())
        requests(outcome="abandoned", wait=1)
        mute = caller.generate(model="proxies.mute", prompt="hi")
        requests(model="proxies.mute", wait=1)
        mute.cancel()
        requests(outcome="abandoned", wait=2)
    # A browser that leaves, before content and after it.
    for model, expected in [("proxies.mute", 3), ("emulator.endless", 4)]:
        with ssl.create_default_context(cafile=tls / "cert.pem").wrap_socket(
            socket.create_connection(("127.0.0.1", proxy)), server_hostname=PAGE
        ) as browser:
            body = framed(package.v1.GenerateRequest(model=model, prompt="hi"))
            head = f"POST {GENERATE} HTTP/1.1\r\nhost: {PAGE}:{proxy}\r\ncontent-length: {len(body)}\r\n"
            browser.sendall(f"{head}content-type: application/grpc-web+proto\r\n\r\n".encode() + body)
            requests(model=model, outcome="running", wait=1)
            if model == "emulator.endless":
                assert b" 200 " in browser.recv(1000)
        assert len(requests(outcome="abandoned", wait=expected)) == expected


def test_a_deadline_passes(package, emulated, tls, proxy):
    emulator, _ = emulated
    httpx.delete(f"{emulator.address}/_emulator/requests").raise_for_status()
    with client(package, tls, proxy) as caller, pytest.raises(package.OutcropError) as failed:
        with caller.generate(model="emulator.endless", prompt="hi", timeout=1) as stream:
            stream.answer()
    assert (failed.value.reason, failed.value.phase) == ("CALLER_DEADLINE", "after_content")
    query = {"outcome": "abandoned", "wait": 1}
    assert httpx.get(f"{emulator.address}/_emulator/requests", params=query, timeout=30).json()["requests"]


def test_large_requests_pass_and_those_that_are_too_large_are_refused_by_the_server(package, tls, proxy):
    with client(package, tls, proxy, retries=False) as caller:
        with caller.generate(model="emulator.reasoning", prompt="word " * ((20 << 20) // 5)) as stream:
            assert stream.answer().finish.usage.input_tokens
        with pytest.raises(package.OutcropError) as failed, caller.generate(prompt="x" * (33 << 20)) as stream:
            stream.answer()
        assert failed.value.reason == "MESSAGE_TOO_LARGE"


def test_the_page_is_served_under_another_host_and_below_a_path(emulated, tls, proxy):
    _, server = emulated
    authority = ssl.create_default_context(cafile=tls / "cert.pem")
    same = {"sec-fetch-site": "same-origin"}
    for http2 in [False, True]:
        with httpx.Client(http2=http2, verify=authority) as http:
            for file in ["", "page.js", "page.css"]:
                direct = httpx.get(f"http://{server.address}/{file}").raise_for_status()
                for base in [f"https://{PAGE}:{proxy}", f"https://{PAGE}:{proxy}/outcrop"]:
                    proxied = http.get(f"{base}/{file}", headers=same).raise_for_status()
                    assert proxied.content == direct.content and proxied.headers["content-type"] == direct.headers["content-type"]
            below = http.get(f"https://{PAGE}:{proxy}/outcrop")
            assert below.status_code == 308 and httpx.URL(below.headers["location"]).path == "/outcrop/"
            # The server sees the host that the browser names, and the proxy passes on no call of a page of another host.
            call = {"content-type": "application/grpc-web+proto", "origin": "https://other.example", "sec-fetch-site": "cross-site"}
            refused = http.post(f"https://{PAGE}:{proxy}{GENERATE}", content=b"\0\0\0\0\0", headers=call)
            assert refused.headers["grpc-status"] == "7" and "cross-site" in refused.headers["grpc-message"]


@pytest.mark.parametrize("name", PROXIES)
def test_a_browser_signs_in_although_the_proxy_calls_without_tls(package, emulated, tls, tmp_path, name):
    new = subprocess.run([TARGET / "outcrop", "keys", "new", "--caller", "ada"], check=True, capture_output=True, text=True)
    line = re.search(r"\{ id = .* \}", new.stderr).group()
    (tmp_path / "outcrop.toml").write_text(f'[[caller]]\nname = "ada"\nkeys = [{line}]\n')
    server = served(emulated[0], "--config", str(tmp_path / "outcrop.toml"))
    authority, same = ssl.create_default_context(cafile=tls / "cert.pem"), {"sec-fetch-site": "same-origin"}
    try:
        with behind(name, server, tls) as port, httpx.Client(verify=authority, base_url=f"https://{PAGE}:{port}/outcrop", headers=same) as http:
            signed_in = http.post("/session", json={"credential": new.stdout.strip()}).raise_for_status()
            assert signed_in.headers["set-cookie"].startswith("__Host-outcrop=") and "; Secure" in signed_in.headers["set-cookie"]
            # By gRPC-Web and by JSON, with the cookie.
            head = {"content-type": "application/grpc-web+proto"}
            listed = http.post("/outcrop.v1.GenerationService/ListModels", content=framed(package.v1.ListModelsRequest()), headers=head)
            assert b"emulator.default" in listed.raise_for_status().content
            assert http.get("/session").json()["caller"] == "ada"
    finally:
        server.stop()


def test_heartbeats_keep_a_silent_stream(package, emulated, tls, capsys):
    """Without heartbeats the proxy ends the call, and the caller gets an error and never OK. All proxies at the same time."""
    emulator, server = emulated
    text = {"event": {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "One"}}}}
    start = {"event": {"type": "messageStart", "payload": {"role": "assistant"}}}
    wait = {"wait_ms": SILENCE * 1000}
    script(emulator, "proxies.before", wait, {"reply": "At last."})
    script(emulator, "proxies.between", start, text, wait, {"event": {"type": "messageStop", "payload": {"stopReason": "end_turn"}}})
    beats, lock = {}, threading.Lock()

    def kept(name, caller, model):
        with caller.generate(model=model, prompt="hi", heartbeat_interval={"seconds": HEARTBEAT}) as stream:
            kinds = [chunk.WhichOneof("event") for chunk in stream]
        assert kinds[-1] == "finish", (name, kinds)
        with lock:
            beats[name, model] = kinds.count("heartbeat")

    def ended(name, caller, model, phase):
        if (name, phase) == ("nginx", "after_content") and ALLOWED > PINGS:
            # The pings of the server are enough for it, once the answer has begun.
            with caller.generate(model=model, prompt="hi") as stream:
                return stream.answer()
        with pytest.raises(package.OutcropError) as failed, caller.generate(model=model, prompt="hi") as stream:
            stream.answer()
        assert (failed.value.phase, failed.value.reason) == (phase, "TRANSPORT"), (name, failed.value)

    with ExitStack() as running:
        pool = running.enter_context(ThreadPoolExecutor(4 * len(PROXIES)))
        calls = []
        for name in PROXIES:
            port = running.enter_context(behind(name, server, tls, f"{ALLOWED}s"))
            caller = running.enter_context(client(package, tls, port, retries=False))
            for model, phase in [("proxies.before", "before_content"), ("proxies.between", "after_content")]:
                calls += [pool.submit(kept, name, caller, model), pool.submit(ended, name, caller, model, phase)]
        failed = [error for call in calls if (error := call.exception())]
        assert not failed, failed
    assert all(count >= SILENCE // HEARTBEAT - 2 for count in beats.values()), beats
    with capsys.disabled():
        print(f"\nheartbeats in a silence of {SILENCE} s, behind proxies that allow {ALLOWED} s: {beats}")
