"""TLS and client certificates with clients that other people wrote: grpcurl, grpcio and grpc-go; and with the client of the project."""

import json
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import ROOT, SERVICE, TARGET, outcrop

NAME = "spiffe://example.org/interop"
REQUEST = b"\x12\x02hi"  # prompt = "hi"


def run(*command, check=True, environment=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, timeout=120, env=environment)
    assert not check or done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The certificate of a server, an authority of clients, and certificates of clients by their URIs."""
    folder = tmp_path_factory.mktemp("tls")
    run(TARGET / "outcrop", "tls", "self-signed", "--out", folder / "server")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"]
    run(*new, "-subj", "/CN=clients", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-addext", "keyUsage=keyCertSign")
    for name, uris in {"known": [NAME], "unknown": ["spiffe://example.org/else"], "two": [NAME, "spiffe://example.org/else"]}.items():
        names = ",".join(f"URI:{uri}" for uri in uris)
        extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
        issued = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-subj", "/CN=client", *extensions]
        run(*new, *issued, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
    return folder


def tls(folder):
    return ["--tls-cert", folder / "server/cert.pem", "--tls-key", folder / "server/key.pem"]


@pytest.fixture(scope="module")
def encrypted(certificates):
    """A server with TLS, open to all."""
    program = outcrop("--local", *map(str, tls(certificates)))
    yield program
    program.stop()


@pytest.fixture(scope="module")
def guarded(certificates):
    """A server that knows one caller, by its certificate."""
    config = certificates / "outcrop.toml"
    config.write_text(f'[[caller]]\nname = "interop"\ncertificates = ["{NAME}"]\n')
    flags = [*tls(certificates), "--tls-client-ca", certificates / "ca.pem", "--config", config]
    program = outcrop("--local", *map(str, flags))
    yield program
    program.stop()


@pytest.fixture(scope="session")
def go_client(tmp_path_factory):
    """The client in grpc-go, built."""
    program = tmp_path_factory.mktemp("go") / "go-client"
    subprocess.run(["go", "build", "-o", program, "."], cwd=ROOT / "tests/interop/go-client", check=True, timeout=600)
    return program


def localhost(program):
    return f"localhost:{program.address.rsplit(':', 1)[1]}"


def secure_channel(program, folder, client=None):
    read = lambda name: (folder / name).read_bytes()
    pair = {"private_key": read(f"{client}.key"), "certificate_chain": read(f"{client}.pem")} if client else {}
    credentials = grpc.ssl_channel_credentials(root_certificates=read("server/cert.pem"), **pair)
    return grpc.secure_channel(localhost(program), credentials)


def generate(channel):
    """The chunks of an answer, as bytes."""
    call = channel.unary_stream(f"/{SERVICE}/Generate", lambda data: data, lambda data: data)
    return list(call(REQUEST, timeout=20))


def test_grpcurl(encrypted, certificates, grpcurl):
    trusting = ["-cacert", certificates / "server/cert.pem"]
    listed = grpcurl(*trusting, localhost(encrypted), "list").stdout.split()
    assert SERVICE in listed
    chunks = grpcurl(*trusting, "-d", '{"prompt":"hi"}', localhost(encrypted), f"{SERVICE}/Generate").stdout
    assert '"finish"' in chunks
    # By address too, and not without trust.
    grpcurl(*trusting, encrypted.address, "list")
    refused = grpcurl(localhost(encrypted), "list", check=False)
    assert refused.returncode != 0 and "certificate" in refused.stderr
    # Without TLS, grpcurl shows what the server answers.
    plain = grpcurl("-plaintext", "-connect-timeout", "5", "-max-time", "5", localhost(encrypted), "list", check=False)
    assert plain.returncode != 0


def test_grpcurl_with_client_certificates(guarded, certificates, grpcurl):
    def call(client):
        pair = ["-cert", certificates / f"{client}.pem", "-key", certificates / f"{client}.key"] if client else []
        files = ["-cacert", certificates / "server/cert.pem", *pair, "-import-path", "proto"]
        proto = ["-proto", "outcrop/v1/generation_service.proto", "-d", '{"prompt":"hi"}']
        return grpcurl(*files, *proto, localhost(guarded), f"{SERVICE}/Generate", check=False)

    assert '"finish"' in call("known").stdout
    for client, said in [("unknown", "the client certificate is not valid at this server"), ("two", "has 2 URI SANs; exactly one is needed")]:
        refused = call(client)
        assert refused.returncode != 0 and "Unauthenticated" in refused.stderr and said in refused.stderr, refused.stderr
    assert call(None).returncode != 0


def test_grpcio(encrypted, certificates):
    with secure_channel(encrypted, certificates) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert len(generate(channel)) > 2
    with grpc.secure_channel(localhost(encrypted), grpc.ssl_channel_credentials()) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            generate(channel)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_grpcio_with_client_certificates(guarded, certificates):
    with secure_channel(guarded, certificates, "known") as channel:
        assert len(generate(channel)) > 2
    for client, code in [
        ("unknown", grpc.StatusCode.UNAUTHENTICATED),
        ("two", grpc.StatusCode.UNAUTHENTICATED),
        (None, grpc.StatusCode.UNAVAILABLE),
    ]:
        with secure_channel(guarded, certificates, client) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                generate(channel)
            assert caught.value.code() == code, (client, caught.value.details())


def test_grpc_go(encrypted, guarded, certificates, go_client):
    def call(server, client=None):
        pair = ["-cert", certificates / f"{client}.pem", "-key", certificates / f"{client}.key"] if client else []
        trusting = ["-ca", certificates / "server/cert.pem"]
        return run(go_client, "-address", localhost(server), *trusting, *pair, check=False)

    for done in [call(encrypted), call(guarded, "known")]:
        assert done.returncode == 0, done.stderr
        health, chunks = done.stdout.splitlines()
        assert health == "health SERVING" and int(chunks.removeprefix("chunks ")) > 2
    # Health is open to all who may connect.
    refused = call(guarded, "two")
    assert "health SERVING" in refused.stdout and "exactly one is needed" in refused.stderr, refused.stderr
    assert call(guarded).returncode != 0


def test_the_client_of_the_project(encrypted, guarded, certificates):
    def call(server, *flags, environment=None):
        endpoint = ["--endpoint", f"https://{localhost(server)}", "--ca", certificates / "server/cert.pem"]
        return run(TARGET / "outcrop-client", *endpoint, *flags, "--json", "hi", check=False, environment=environment or {})

    pair = lambda name: ["--cert", certificates / f"{name}.pem", "--key", certificates / f"{name}.key"]
    for done in [call(encrypted), call(guarded, *pair("known"))]:
        assert done.returncode == 0, done.stderr
        assert "finish" in json.loads(done.stdout.splitlines()[-1])
    refused = call(guarded, *pair("two"))
    assert refused.returncode == 5 and "exactly one is needed" in refused.stderr, refused.stderr
    without = call(guarded)
    assert "the server needs a client certificate" in without.stderr, without.stderr


def test_an_api_key_over_tls(certificates, go_client):
    made = run(TARGET / "outcrop", "keys", "new", "--caller", "interop", "--out", certificates / "api-key")
    line = made.stderr.splitlines()[-1].strip()
    config = certificates / "keys.toml"
    config.write_text(f'[[caller]]\nname = "interop"\nkeys = [\n{line}\n]\n')
    server = outcrop("--local", *map(str, tls(certificates)), "--config", str(config))
    try:
        key = (certificates / "api-key").read_text().strip()
        trusting = ["-address", localhost(server), "-ca", certificates / "server/cert.pem"]
        assert "chunks" in run(go_client, *trusting, environment={"OUTCROP_API_KEY": key}).stdout
        client = [TARGET / "outcrop-client", "--endpoint", f"https://{localhost(server)}", "--ca", certificates / "server/cert.pem"]
        assert "“hi”" in run(*client, "--api-key-file", certificates / "api-key", "hi", environment={}).stdout
        refused = run(*client, "hi", check=False, environment={})
        assert refused.returncode == 5 and "CREDENTIALS_MISSING" in refused.stderr, refused.stderr
    finally:
        server.stop()
