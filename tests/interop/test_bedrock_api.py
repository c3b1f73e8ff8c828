"""boto3 against the Bedrock API of the server, in front of the emulator: whole answers, typed errors, key pairs of the server."""

import re
import subprocess

import boto3
import botocore.config
import botocore.exceptions
import pytest

from conftest import TARGET, outcrop

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
PROMPT = [{"role": "user", "content": [{"text": "hi"}]}]
BODY = '{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}'


def client(server, key="anything", secret="anything", service="bedrock-runtime"):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://{server.address}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def open_server():
    program = outcrop("--local", "--bedrock-api")
    yield program
    program.stop()


def streamed(runtime, model):
    stream = runtime.converse_stream(modelId=model, messages=PROMPT)["stream"]
    events = list(stream)
    return events


def test_an_answer_arrives_whole_and_streamed(open_server):
    runtime = client(open_server)
    events = streamed(runtime, "emulator.default")
    text = "".join(event.get("contentBlockDelta", {}).get("delta", {}).get("text", "") for event in events)
    assert text and [name for event in events for name in event][-2:] == ["messageStop", "metadata"]
    whole = runtime.converse(modelId="emulator.default", messages=PROMPT)
    assert whole["stopReason"] == "end_turn" and whole["usage"]["outputTokens"] > 0
    assert whole["output"]["message"]["content"][0]["text"] == text
    assert runtime.invoke_model(modelId=CLAUDE, body=BODY)["body"].read().startswith(b"{")
    assert list(runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=BODY)["body"])
    counted = runtime.count_tokens(modelId=CLAUDE, input={"converse": {"messages": PROMPT}})
    assert counted["inputTokens"] > 0
    listed = client(open_server, service="bedrock").list_foundation_models()["modelSummaries"]
    assert "emulator.default" in [model["modelId"] for model in listed]


def test_an_answer_that_is_not_complete_raises(open_server):
    runtime = client(open_server)
    for model in ["emulator.cut", "emulator.end", "emulator.corrupt", "emulator.exception"]:
        with pytest.raises(botocore.exceptions.EventStreamError) as raised:
            streamed(runtime, model)
        assert raised.value.response["Error"]["Code"] == "modelStreamErrorException"
        with pytest.raises(botocore.exceptions.ClientError):
            runtime.converse(modelId=model, messages=PROMPT)
    with pytest.raises(runtime.exceptions.ThrottlingException):
        streamed(runtime, "emulator.throttle-first")


def test_boto3_signs_with_a_key_pair_of_the_server(tmp_path):
    command = [TARGET / "outcrop", "keys", "new", "--caller", "ada", "--sigv4", tmp_path / "sigv4"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "sigv4").stat().st_mode & 0o777 == 0o600
    key, secret = (re.search(f"^{name}=(.*)$", made.stdout, re.M)[1] for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    line = re.search(r"^\s*(\{ id = .* \}),$", made.stderr, re.M)[1]
    config = tmp_path / "outcrop.toml"
    config.write_text(f'[[caller]]\nname = "ada"\nkeys = [{line}]\n')
    server = outcrop("--local", "--bedrock-api", "--config", str(config), "--sigv4-keys", str(tmp_path / "sigv4"))
    try:
        runtime = client(server, key, secret)
        assert runtime.converse(modelId="emulator.default", messages=PROMPT)["stopReason"] == "end_turn"
        assert streamed(runtime, "emulator.default")
        refused = [
            (client(server, key, "x" * 43), "InvalidSignatureException"),
            (client(server), "UnrecognizedClientException"),
        ]
        for wrong, code in refused:
            with pytest.raises(botocore.exceptions.ClientError) as raised:
                wrong.converse(modelId="emulator.default", messages=PROMPT)
            assert raised.value.response["Error"]["Code"] == code
    finally:
        server.stop()
