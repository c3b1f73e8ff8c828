"""Tests with the fixture `bedrock`, which `pip install 'bedrock-emulator[boto3]'` brings."""

import bedrock_emulator
import pytest
from summary import MODEL, Incomplete, summary


def test_a_summary(bedrock):
    bedrock.script(MODEL, "Two cats see the sea.")
    assert summary("a long story") == "Two cats see the sea."
    (request,) = bedrock.requests()
    assert request.operation == "ConverseStream"
    assert request.body["messages"][0]["content"] == [{"text": "Summarize: a long story"}]


def test_an_ordinary_model_quotes_the_prompt(bedrock):
    assert "a long story" in summary("a long story")


def test_no_capacity(bedrock, monkeypatch):
    # Without the retries of the SDK.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    bedrock.faults(throttle=1)
    assert summary("a long story") is None


def test_the_sdk_retries(bedrock):
    bedrock.script(MODEL, [bedrock_emulator.refuse("ThrottlingException"), "At last."])
    assert summary("a long story") == "At last."
    assert [request.status for request in bedrock.requests()] == [429, 200]


def test_an_answer_that_ends_early(bedrock):
    bedrock.script(MODEL, bedrock_emulator.fault("end", "Two cats see the sea.", after=3))
    with pytest.raises(Incomplete, match="^Two cats$"):
        summary("a long story")


def test_a_tool_loop(bedrock):
    bedrock.script(MODEL, bedrock_emulator.tool_use("get_weather", {"city": "Paris"}, then="It rains in Paris."))
    client = bedrock.client()
    tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}}]}
    messages = [{"role": "user", "content": [{"text": "Does it rain in Paris?"}]}]
    first = client.converse(modelId=MODEL, messages=messages, toolConfig=tools)
    use = first["output"]["message"]["content"][0]["toolUse"]
    assert (first["stopReason"], use["input"]) == ("tool_use", {"city": "Paris"})
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "rain"}]}}
    messages += [first["output"]["message"], {"role": "user", "content": [result]}]
    second = client.converse(modelId=MODEL, messages=messages, toolConfig=tools)
    assert second["output"]["message"]["content"] == [{"text": "It rains in Paris."}]


def test_the_quota_of_a_model(bedrock, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    bedrock.quota(MODEL, requests=1)
    assert summary("one") is not None
    assert summary("two") is None
    assert bedrock.quotas()[0]["usage"]["requests"] == 1


def test_no_test_sees_what_another_has_set(bedrock):
    assert bedrock.requests() == [] and bedrock.quotas() == []
