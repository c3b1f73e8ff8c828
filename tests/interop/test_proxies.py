"""The configuration of nginx in docs/proxies.md: chunks, errors and cancellation pass, and heartbeats keep a stream that is silent for longer than its
timeout."""

import shutil
import socket
import subprocess
import time

import httpx
import pytest

from conftest import ROOT, Program, outcrop
from languages import python
from test_documents import blocks_of

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """The endpoint of nginx with its timeout lowered to a second, its authority, and the emulator behind the server."""
    assert NGINX, "there is no nginx: install nginx-light"
    folder = tmp_path_factory.mktemp("nginx")
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0"])
    environment = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address}
    flags = ["--region", "us-east-1", "--attempts", "1", "--default-model", "emulator.default"]
    server = outcrop(*flags, environment=environment)
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"]
    subprocess.run([*new, *names, *key], check=True, capture_output=True)
    port = free_port()
    [block] = blocks_of("docs/proxies.md", "nginx")
    for documented, here in [
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/nginx/tls", str(folder)),
        ("127.0.0.1:50051", server.address.removeprefix("http://")),
        ("grpc_read_timeout 120s", "grpc_read_timeout 1s"),
    ]:
        assert documented in block
        block = block.replace(documented, here)
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    config = f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{temporary}{block} }}\n"
    (folder / "nginx.conf").write_text(config)
    with open(folder / "log", "w") as log:
        nginx = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=log)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert nginx.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    yield f"https://localhost:{port}", folder / "cert.pem", emulator.address
    nginx.kill()
    nginx.wait()
    server.stop()
    emulator.stop()


@pytest.fixture(scope="module")
def run(proxied, tmp_path_factory):
    """Runs an example of Python through nginx."""
    command = python(tmp_path_factory.mktemp("python"))
    endpoint, ca, _ = proxied

    def run(name, *arguments):
        program, environment = command(name)
        environment |= {"OUTCROP_ENDPOINT": endpoint, "OUTCROP_CA": str(ca)}
        done = subprocess.run([*map(str, program), *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def script(emulator, name, *steps):
    httpx.put(f"{emulator}/_emulator/scripts/{name}", json={"steps": [*steps]}).raise_for_status()


def test_answers_and_the_details_of_errors_pass(run):
    assert run("stream")[-1].startswith("STOP_REASON_END_TURN")
    assert run("errors", "emulator.exception", "emulator.refuse-access")[::2] == [
        "MODEL_ERROR UNAVAILABLE after_content retry",
        "BEDROCK_ACCESS_DENIED PERMISSION_DENIED before_content no retry",
    ]
    assert run("errors")[1:3] == ["  field inference_config.max_tokens", "  field inference_config.temperature"]


def test_heartbeats_keep_a_silent_stream(proxied, run):
    script(proxied[2], "callers.thinking", {"wait_ms": 3000}, {"reply": "At last."})
    assert run("errors", "--heartbeats", "callers.thinking") == ["OK"]
    [failed] = run("errors", "--no-retries", "callers.thinking")
    assert failed.startswith("TRANSPORT ") and failed.endswith("before_content no retry")


def test_a_cancellation_reaches_bedrock(proxied, run):
    httpx.delete(f"{proxied[2]}/_emulator/requests").raise_for_status()
    run("cancel")
    query = {"outcome": "abandoned", "wait": 2}
    assert len(httpx.get(f"{proxied[2]}/_emulator/requests", params=query, timeout=30).json()["requests"]) == 2
