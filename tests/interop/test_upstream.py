"""`outcrop serve` without `--local`: the standard chain of AWS, pointed at the emulator by the environment."""

import httpx
import pytest

from conftest import SERVICE, Program, outcrop


def generate(grpcurl, server):
    call = grpcurl("-plaintext", "-d", '{"model":"a.model","prompt":"hi"}', server.address, f"{SERVICE}/Generate")
    assert '"finish"' in call.stdout
    return call.stdout


@pytest.mark.parametrize(
    "credentials, scheme",
    [
        ({"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}, "AWS4-HMAC-SHA256"),
        ({"AWS_BEARER_TOKEN_BEDROCK": "key"}, "Bearer"),
    ],
)
def test_credentials_of_the_environment(emulator, grpcurl, credentials, scheme):
    environment = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address, **credentials}
    server = outcrop(environment=environment)
    try:
        assert '"region": "eu-west-1"' in generate(grpcurl, server)
        last = httpx.get(f"{emulator.address}/_emulator/last-request").json()
        assert last["authorization"] == scheme
    finally:
        server.stop()


def test_over_tls_and_http2(tmp_path, grpcurl):
    certificate = tmp_path / "emulator.pem"
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--tls-certificate", str(certificate)])
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address,
        "SSL_CERT_FILE": str(certificate),
    }
    server = outcrop(environment=environment)
    try:
        generate(grpcurl, server)
    finally:
        server.stop()
        emulator.stop()
