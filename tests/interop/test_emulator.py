"""boto3 as a second, independent decoder of the emulator's frames, for both streaming operations and the rest."""

import concurrent.futures
import itertools
import json
import subprocess
import time

import boto3
import botocore.config
import botocore.exceptions
import h2.exceptions
import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

from conftest import TARGET, Program

# The emulator takes any credentials. One attempt, so that an error is what the emulator sent.
KEYS = {
    "aws_access_key_id": "emulator",
    "aws_secret_access_key": "emulator",
    "config": botocore.config.Config(retries={"total_max_attempts": 1}),
}

PROMPT = [{"role": "user", "content": [{"text": "hi"}]}]


def client_of(endpoint, service="bedrock-runtime", read_timeout=60, **options):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
        **options,
    )


@pytest.fixture(scope="module")
def bedrock(emulator):
    return client_of(emulator.address)


def stats_of(emulator):
    return httpx.get(f"{emulator.address}/_emulator/stats").json()


def test_converse_stream_event_for_event(bedrock):
    events = list(bedrock.converse_stream(modelId="emulator.tools", messages=PROMPT)["stream"])
    tool = {"toolUseId": "tooluse_emulated1", "name": "get_weather"}
    delta = lambda index, delta: {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}
    assert events == [
        {"messageStart": {"role": "assistant"}},
        delta(0, {"text": "Let me look."}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": tool}}},
        delta(1, {"toolUse": {"input": ""}}),
        delta(1, {"toolUse": {"input": '{"city": "Pa'}}),
        delta(1, {"toolUse": {"input": 'ris"}'}}),
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "tool_use"}},
        {
            "metadata": {
                "usage": {"inputTokens": 60, "outputTokens": 20, "totalTokens": 80},
                "metrics": {"latencyMs": 42},
            }
        },
    ]


def test_invoke_stream_event_for_event(bedrock):
    body = json.dumps({"prompt": "hi", "stream": True})
    answer = bedrock.invoke_model_with_response_stream(modelId="cohere.command-text-v14", body=body)
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert all(chunk["is_finished"] is False for chunk in chunks[:-1])
    assert "“hi”" in "".join(chunk["text"] for chunk in chunks[:-1])
    assert chunks[-1]["finish_reason"] == "COMPLETE"
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == len(chunks) - 1


def test_the_other_operations(emulator, bedrock):
    answer = bedrock.converse(modelId="a.model", messages=PROMPT)
    assert "“hi”" in answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] == "end_turn"
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": "hi"}]})
    native = json.loads(bedrock.invoke_model(modelId="anthropic.claude-v2", body=body)["body"].read())
    assert "“hi”" in native["content"][0]["text"]
    counted = bedrock.count_tokens(modelId="a.model", input={"converse": {"messages": PROMPT}})
    assert counted["inputTokens"] == 1
    listed = client_of(emulator.address, "bedrock").list_foundation_models()["modelSummaries"]
    assert "emulator.default" in [model["modelId"] for model in listed]


def converse_of(stream):
    """The answer of Converse that these events of ConverseStream add up to, made without the emulator's code."""
    blocks, answer = {}, {}
    for event in stream:
        ((kind, payload),) = event.items()
        if kind == "messageStart":
            role = payload["role"]
        elif kind == "contentBlockStart":
            (tool,) = payload["start"].values()
            blocks[payload["contentBlockIndex"]] = {"toolUse": {**tool, "input": ""}}
        elif kind == "contentBlockDelta":
            block = blocks.setdefault(payload["contentBlockIndex"], {})
            ((name, value),) = payload["delta"].items()
            if name == "text":
                block["text"] = block.get("text", "") + value
            elif name == "toolUse":
                block["toolUse"]["input"] += value["input"]
            elif "redactedContent" in value:
                block["reasoningContent"] = value
            else:
                reasoning = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
                for member, text in value.items():
                    reasoning[member] = reasoning.get(member, "") + text
        elif kind != "contentBlockStop":
            answer.update(payload)
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    content = [blocks[index] for index in sorted(blocks)]
    return {**answer, "output": {"message": {"role": role, "content": content}}}


def whole_of(bedrock, model, **request):
    answer = bedrock.converse(modelId=model, messages=PROMPT, **request)
    del answer["ResponseMetadata"]
    return answer


def test_converse_tells_what_converse_stream_tells(bedrock):
    for model in ["emulator.tools", "emulator.reasoning", "a.model"]:
        stream = bedrock.converse_stream(modelId=model, messages=PROMPT)["stream"]
        assert whole_of(bedrock, model) == converse_of(stream), model
    everything = whole_of(bedrock, "emulator.everything")
    content = everything["output"]["message"]["content"]
    kinds = ["reasoningContent", "reasoningContent", "citationsContent", "toolUse", "toolResult", "image"]
    assert [kind for block in content for kind in block] == kinds
    assert content[3]["toolUse"]["input"] == {"query": "cats", "limit": 3}
    assert (everything["stopReason"], everything["usage"]["totalTokens"]) == ("end_turn", 70)
    assert everything["trace"]["guardrail"]["actionReason"] == "No action."
    assert everything["performanceConfig"] == {"latency": "standard"}


def test_a_recorded_stream_is_told_as_a_whole_too(bedrock, recordings):
    told = 0
    for path in sorted(recordings.glob("*/*.json")):
        recording = json.loads(path.read_text())
        events = recording["events"]
        if recording["operation"] != "ConverseStream" or "event_type" not in (events or [{}])[-1]:
            continue
        texts = [event["payload"].get("delta", {}).get("text", "") for event in events]
        answer = whole_of(bedrock, f"recording.{path.relative_to(recordings).with_suffix('')}")
        assert sum(len(block.get("text", "")) for block in answer["output"]["message"]["content"]) <= len("".join(texts))
        stopped = [event["payload"]["stopReason"] for event in events if event["event_type"] == "messageStop"]
        assert answer["stopReason"] == stopped[0], path
        told += 1
    assert told > 0


def test_a_fault_of_a_script_is_a_fault_of_the_whole_answer(emulator):
    impatient = client_of(emulator.address, read_timeout=1)
    before = stats_of(emulator)
    for model, error in [
        ("reset", botocore.exceptions.ConnectionClosedError),
        ("stall", botocore.exceptions.ReadTimeoutError),
        ("oversized", botocore.exceptions.ReadTimeoutError),
        ("corrupt", UnicodeDecodeError),
    ]:
        with pytest.raises(error):
            print(model, impatient.converse(modelId=f"emulator.{model}", messages=PROMPT))
    # botocore takes the start of a body for an answer without members.
    for model in ["cut", "end", "undersized"]:
        assert whole_of(impatient, f"emulator.{model}") == {}, model
    after = stats_of(emulator)
    assert after["faulted"] - before["faulted"] == 5, (before, after)
    # The two that hang are those that the client left.
    assert after["abandoned"] - before["abandoned"] == 2, (before, after)


def test_a_short_body_is_noticed_by_http(emulator):
    for model, version in itertools.product(["cut", "end"], [False, True]):
        with httpx.Client(http1=not version, http2=version) as client:
            url = f"{emulator.address}/model/emulator.{model}/converse"
            with client.stream("POST", url, json={"messages": PROMPT}) as answer:
                assert answer.status_code == 200
                assert int(answer.headers["content-length"]) > 0
                with pytest.raises((httpx.RemoteProtocolError, h2.exceptions.ProtocolError)):
                    answer.read()


def test_an_exception_of_a_script_is_the_error_of_the_whole_answer(bedrock):
    with pytest.raises(bedrock.exceptions.ThrottlingException) as caught:
        bedrock.converse(modelId="emulator.throttle-first", messages=PROMPT)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    with pytest.raises(bedrock.exceptions.ModelErrorException, match="The model stopped unexpectedly.") as caught:
        bedrock.converse(modelId="emulator.exception", messages=PROMPT)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_a_whole_answer_takes_the_time_of_its_stream(emulator):
    impatient = client_of(emulator.address, read_timeout=0.2)
    before = stats_of(emulator)
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        impatient.converse(modelId="emulator.slow", messages=PROMPT)
    deadline = time.monotonic() + 10
    while stats_of(emulator)["abandoned"] == before["abandoned"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stats_of(emulator)["abandoned"] == before["abandoned"] + 1


MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}

# A model of each native format, a request to it, and where its whole answer has the text.
FAMILIES = {
    "anthropic.claude-3-haiku-20240307-v1:0": (
        {**MESSAGES, "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9},
        lambda answer: answer["content"][0]["text"],
        lambda chunk: chunk.get("delta", {}).get("text"),
    ),
    "anthropic.claude-v2": (
        {"prompt": "\n\nHuman: hi\n\nAssistant:", "max_tokens_to_sample": 9},
        lambda answer: answer["completion"],
        lambda chunk: chunk["completion"],
    ),
    "amazon.nova-lite-v1:0": (
        {"schemaVersion": "messages-v1", "messages": PROMPT},
        lambda answer: answer["output"]["message"]["content"][0]["text"],
        lambda chunk: chunk.get("contentBlockDelta", {}).get("delta", {}).get("text"),
    ),
    "amazon.titan-text-express-v1": (
        {"inputText": "hi"},
        lambda answer: answer["results"][0]["outputText"],
        lambda chunk: chunk["outputText"],
    ),
    "cohere.command-text-v14": (
        {"prompt": "hi", "stream": True},
        lambda answer: answer["generations"][0]["text"],
        lambda chunk: chunk.get("text"),
    ),
    "cohere.command-r-v1:0": ({"message": "hi"}, lambda answer: answer["text"], lambda chunk: chunk.get("text")),
    "meta.llama3-8b-instruct-v1:0": (
        {"prompt": "hi"},
        lambda answer: answer["generation"],
        lambda chunk: chunk["generation"],
    ),
    "mistral.mistral-7b-instruct-v0:2": (
        {"prompt": "<s>[INST] hi [/INST]"},
        lambda answer: answer["outputs"][0]["text"],
        lambda chunk: chunk["outputs"][0]["text"],
    ),
    "ai21.j2-ultra-v1": (
        {"prompt": "hi"},
        lambda answer: answer["completions"][0]["data"]["text"],
        lambda chunk: chunk["completions"][0]["data"]["text"],
    ),
    "ai21.jamba-1-5-mini-v1:0": (
        MESSAGES,
        lambda answer: answer["choices"][0]["message"]["content"],
        lambda chunk: chunk["choices"][0]["delta"].get("content"),
    ),
    "deepseek.r1-v1:0": (
        {"prompt": "<｜User｜>hi<｜Assistant｜>"},
        lambda answer: answer["choices"][0]["text"],
        lambda chunk: chunk["choices"][0]["text"],
    ),
}


def test_each_family_answers_in_its_own_format(bedrock):
    def asked(family):
        model, (body, text_of, part_of) = family
        answer = bedrock.invoke_model(modelId=model, body=json.dumps(body))
        whole = text_of(json.loads(answer["body"].read()))
        assert "Bedrock emulator answering" in whole, model
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["x-amzn-bedrock-output-token-count"]) == len(whole.split()), model
        stream = bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]
        chunks = [json.loads(event["chunk"]["bytes"]) for event in stream]
        assert "".join(part_of(chunk) or "" for chunk in chunks) == whole, model
        assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == len(whole.split()), model
        return model

    with concurrent.futures.ThreadPoolExecutor(len(FAMILIES)) as pool:
        assert list(pool.map(asked, FAMILIES.items())) == list(FAMILIES)


def test_a_script_is_told_in_the_format_of_the_request(bedrock):
    body = json.dumps(FAMILIES["anthropic.claude-3-haiku-20240307-v1:0"][0])
    answer = json.loads(bedrock.invoke_model(modelId="emulator.tools", body=body)["body"].read())
    tool = {"type": "tool_use", "id": "tooluse_emulated1", "name": "get_weather", "input": {"city": "Paris"}}
    assert answer["content"] == [{"type": "text", "text": "Let me look."}, tool]
    assert answer["stop_reason"] == "tool_use"
    stream = bedrock.invoke_model_with_response_stream(modelId="emulator.tools", body=body)["body"]
    chunks = [json.loads(event["chunk"]["bytes"]) for event in stream]
    assert [chunk["type"] for chunk in chunks[:3]] == ["message_start", "content_block_start", "content_block_delta"]
    arguments = "".join(chunk.get("delta", {}).get("partial_json", "") for chunk in chunks)
    assert json.loads(arguments) == {"city": "Paris"}
    assert chunks[-1]["type"] == "message_stop"
    with pytest.raises(botocore.exceptions.EventStreamError, match="modelStreamErrorException"):
        list(bedrock.invoke_model_with_response_stream(modelId="emulator.exception", body=body)["body"])
    with pytest.raises(bedrock.exceptions.ModelErrorException):
        bedrock.invoke_model(modelId="emulator.exception", body=body)
    with pytest.raises(bedrock.exceptions.ValidationException, match="native format"):
        bedrock.invoke_model(modelId="emulator.tools", body="{}")


def test_the_tokens_of_a_native_body_are_counted(bedrock):
    def counted(body):
        return bedrock.count_tokens(modelId="a.model", input={"invokeModel": {"body": body}})["inputTokens"]

    assert counted(json.dumps({**MESSAGES, "system": "be brief"})) == 3
    assert counted(json.dumps({"inputText": "one two three"})) == 3
    with pytest.raises(bedrock.exceptions.ValidationException):
        counted("no JSON")


SCHEMA = {
    "type": "object",
    "required": ["city", "unit", "days", "rain"],
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 2},
        "rain": {"type": "boolean"},
        "note": {"type": "string"},
    },
}


def test_a_forced_tool_is_called_with_what_its_schema_asks_for(bedrock):
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    names = ["forecast", "finish"]
    tools = [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in names]
    expected = {"city": "emulated", "unit": "celsius", "days": 2, "rain": True}
    for choice, name in [({"any": {}}, "forecast"), ({"tool": {"name": "finish"}}, "finish")]:
        config = {"tools": tools, "toolChoice": choice}
        whole = whole_of(bedrock, model, toolConfig=config)
        stream = bedrock.converse_stream(modelId=model, messages=PROMPT, toolConfig=config)["stream"]
        assert whole == converse_of(stream)
        assert whole["stopReason"] == "tool_use"
        tool = whole["output"]["message"]["content"][0]["toolUse"]
        assert (tool["name"], tool["input"]) == (name, expected)
    native = {
        **FAMILIES[model][0],
        "tools": [{"name": name, "input_schema": SCHEMA} for name in names],
        "tool_choice": {"type": "tool", "name": "finish"},
    }
    answer = json.loads(bedrock.invoke_model(modelId=model, body=json.dumps(native))["body"].read())
    tool = {"type": "tool_use", "id": "tooluse_emulated1", "name": "finish", "input": expected}
    assert (answer["content"], answer["stop_reason"]) == ([tool], "tool_use")
    with pytest.raises(bedrock.exceptions.ValidationException, match="missing"):
        bedrock.converse(
            modelId=model, messages=PROMPT, toolConfig={"tools": tools, "toolChoice": {"tool": {"name": "missing"}}}
        )


def test_the_end_of_a_dialogue_is_answered(bedrock):
    dialogue = "A friendly conversation.\n\nHuman: hello\nAI: Hi!\nHuman: {}\nAI:"
    story = "Write a story about two cats that go on an adventure:"
    for words, wanted in [(story, "Pepper and Moss"), ("what now?", "“what now?”")]:
        body = json.dumps({"prompt": dialogue.format(words), "stream": True})
        answer = bedrock.invoke_model(modelId="cohere.command-text-v14", body=body)
        assert wanted in json.loads(answer["body"].read())["generations"][0]["text"]


def test_what_is_listed_is_answered(emulator, bedrock):
    account = client_of(emulator.address, "bedrock")
    models = [model["modelId"] for model in account.list_foundation_models()["modelSummaries"]]
    profiles = [one["inferenceProfileId"] for one in account.list_inference_profiles()["inferenceProfileSummaries"]]
    assert {"emulator.tools", *FAMILIES} <= {*models} and "us.amazon.nova-lite-v1:0" in profiles
    for model in [*models, *profiles]:
        if not model.startswith(("emulator.", "recording.")):
            bedrock.count_tokens(modelId=model, input={"converse": {"messages": PROMPT}})


def test_exceptions_are_exceptions(bedrock):
    with pytest.raises(bedrock.exceptions.ThrottlingException):
        bedrock.converse_stream(modelId="emulator.refuse-throttle", messages=PROMPT)
    with pytest.raises(botocore.exceptions.EventStreamError, match="modelStreamErrorException"):
        list(bedrock.converse_stream(modelId="emulator.exception", messages=PROMPT)["stream"])


def test_damage_is_noticed(bedrock):
    for model, error in [
        ("corrupt", botocore.eventstream.ChecksumMismatch),
        ("oversized", botocore.eventstream.InvalidPayloadLength),
    ]:
        with pytest.raises(error):
            list(bedrock.converse_stream(modelId=f"emulator.{model}", messages=PROMPT)["stream"])


def test_every_recorded_stream_is_the_recorded_one(emulator, bedrock, recordings):
    replayed = 0
    for path in sorted(recordings.glob("*/*.json")):
        recording = json.loads(path.read_text())
        if recording["response"]["status"] != 200 or "Stream" not in recording["operation"]:
            continue
        model = f"recording.{path.relative_to(recordings).with_suffix('')}"
        if recording["operation"] == "ConverseStream":
            stream = bedrock.converse_stream(modelId=model, messages=PROMPT)["stream"]
        else:
            stream = bedrock.invoke_model_with_response_stream(modelId=model, body="{}")["body"]
        buffer = EventStreamBuffer()
        for part in stream._raw_stream.stream():
            buffer.add_data(part)
        events = [event.to_response_dict() for event in buffer]
        assert len(events) == len(recording["events"]), path
        for event, expected in zip(events, recording["events"]):
            kind = event["headers"].get(":event-type") or event["headers"].get(":exception-type")
            assert kind == (expected.get("event_type") or expected.get("exception_type")), path
            assert json.loads(event["body"]) == expected["payload"], path
        replayed += 1
    print(f"{replayed} recorded streams decoded by botocore")
    assert replayed > 0


def test_a_reader_who_leaves_is_counted(emulator):
    before = stats_of(emulator)
    url = f"{emulator.address}/model/emulator.endless/converse-stream"
    with httpx.stream("POST", url, json={"messages": PROMPT}) as answer:
        next(answer.iter_bytes())
    deadline = time.monotonic() + 10
    while stats_of(emulator)["abandoned"] == before["abandoned"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stats_of(emulator)["abandoned"] == before["abandoned"] + 1
    last = httpx.get(f"{emulator.address}/_emulator/last-request").json()
    assert (last["operation"], last["modelId"]) == ("ConverseStream", "emulator.endless")
    assert last["body"] == {"messages": PROMPT}


def test_http2_in_the_clear(emulator):
    with httpx.Client(http1=False, http2=True) as client:
        url = f"{emulator.address}/model/emulator.tools/converse-stream"
        answer = client.post(url, json={"messages": PROMPT})
    assert answer.http_version == "HTTP/2"
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    assert len(list(buffer)) == 10


def test_tls_with_a_throw_away_certificate(tmp_path):
    certificate = tmp_path / "emulator.pem"
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--tls-certificate", str(certificate)])
    try:
        bedrock = client_of(emulator.address, verify=str(certificate))
        assert len(list(bedrock.converse_stream(modelId="emulator.tools", messages=PROMPT)["stream"])) == 10
        with httpx.Client(http2=True, verify=str(certificate)) as client:
            answer = client.get(f"{emulator.address}/_emulator/stats")
        assert answer.http_version == "HTTP/2"
    finally:
        emulator.stop()


def test_a_script_file_becomes_a_model(tmp_path):
    (tmp_path / "mine.json").write_text('{"steps": [{"reply": "my own words"}]}')
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--scripts", str(tmp_path)])
    try:
        answer = client_of(emulator.address).converse(modelId="emulator.mine", messages=PROMPT)
        assert answer["output"]["message"]["content"] == [{"text": "my own words"}]
    finally:
        emulator.stop()


def refused_flags(*flags):
    """What the emulator says about flags that it does not take."""
    command = [str(TARGET / "bedrock-emulator"), *flags]
    free_port = {"BEDROCK_EMULATOR_LISTEN": "127.0.0.1:0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=free_port)
    assert done.returncode != 0, flags
    return done.stderr


def test_a_quota_is_enforced_and_counted():
    model = "anthropic.claude-sonnet-4-20250514-v1:0"
    quota = f"{model}@us-east-1=1000,burndown=5,retry-after"
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--quota", quota, "--quota", "a.model=requests=1"])
    try:
        bedrock = client_of(emulator.address)
        asked = {"modelId": model, "messages": PROMPT}
        stream = bedrock.converse_stream(**asked, inferenceConfig={"maxTokens": 400})["stream"]
        (usage,) = [event["metadata"]["usage"] for event in stream if "metadata" in event]
        with pytest.raises(bedrock.exceptions.ThrottlingException, match="Too many tokens, please wait") as caught:
            bedrock.converse(**asked, inferenceConfig={"maxTokens": 1000})
        assert int(caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
        bedrock.converse(modelId="a.model", messages=PROMPT)
        with pytest.raises(bedrock.exceptions.ThrottlingException, match="Too many requests, please wait"):
            bedrock.converse(modelId="a.model", messages=PROMPT)
        quotas = {one["model_id"]: one for one in httpx.get(f"{emulator.address}/_emulator/quotas").json()}
        counts = quotas[model]["usage"]
        assert (counts["requests"], counts["settled"], counts["throttled_by_tokens"]) == (1, 1, 1)
        assert counts["tokens_charged"] == usage["inputTokens"] + 5 * usage["outputTokens"]
        assert counts["highest_admitted_level"] == 1 + 400
        assert (quotas[model]["region"], quotas[model]["quota"]["burndown"]) == ("us-east-1", 5)
        # Without a limit of its own a request reserves the maximum of the model.
        httpx.put(f"{emulator.address}/_emulator/quotas/{model}", json={"tokens": 5000, "max_tokens": 6000}).raise_for_status()
        west = boto3.client("bedrock-runtime", region_name="us-west-2", endpoint_url=emulator.address, **KEYS)
        with pytest.raises(west.exceptions.ThrottlingException):
            west.converse(**asked)
    finally:
        emulator.stop()


def test_a_wrong_quota_is_told():
    assert "tokens is 0" in refused_flags("--quota", "a.model=0")
    assert "there are two quotas for a.model" in refused_flags("--quota", "a.model=1", "--quota", "a.model=2")


def in_session(bedrock, name):
    """Sends the header that separates the tests that share an emulator."""
    add = lambda request, **_: request.headers.add_header("x-emulator-session", name)
    bedrock.meta.events.register("before-sign.bedrock-runtime", add)
    return bedrock


def test_a_real_model_has_the_script_of_a_session(emulator):
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    scripts = f"{emulator.address}/_emulator/scripts"
    said = {}
    for session in ["one", "two"]:
        header = {"x-emulator-session": session}
        httpx.put(f"{scripts}/{model}", json={"steps": [{"reply": session}]}, headers=header).raise_for_status()
        bedrock = in_session(client_of(emulator.address), session)
        answer = bedrock.converse(modelId=model, messages=PROMPT)
        said[session] = answer["output"]["message"]["content"][0]["text"]
        found = httpx.get(f"{emulator.address}/_emulator/requests", params={"wait": 1}, headers=header).json()["requests"]
        assert [(one["modelId"], one["outcome"], one["body"]) for one in found] == [(model, "completed", {"messages": PROMPT})]
        httpx.post(f"{emulator.address}/_emulator/reset", headers=header).raise_for_status()
        assert httpx.get(f"{emulator.address}/_emulator/requests", headers=header).json() == {"requests": []}
    assert said == {"one": "one", "two": "two"}


def test_an_arn_and_a_mark_choose_a_script(bedrock):
    arn = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/emulator.tools"
    assert bedrock.converse(modelId=arn, messages=PROMPT)["stopReason"] == "tool_use"
    marked = [{"role": "user", "content": [{"text": "What is the weather? [emulator.tools]"}]}]
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    first = bedrock.converse(modelId=model, messages=marked)
    assert first["stopReason"] == "tool_use"
    result = {"toolResult": {"toolUseId": "tooluse_emulated1", "content": [{"text": "sunny"}]}}
    loop = [*marked, first["output"]["message"], {"role": "user", "content": [result]}]
    second = bedrock.converse(modelId=model, messages=loop)
    assert second["output"]["message"]["content"] == [{"text": "It is sunny in Paris."}]


def test_answers_keep_the_limits_of_a_request(bedrock):
    limits = {"maxTokens": 3, "stopSequences": ["answering"]}
    answer = bedrock.converse(modelId="a.model", messages=PROMPT, inferenceConfig=limits)
    assert answer["output"]["message"]["content"] == [{"text": "This is the"}]
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 3)
    answer = bedrock.converse(modelId="a.model", messages=PROMPT, inferenceConfig={**limits, "maxTokens": 99})
    assert answer["output"]["message"]["content"] == [{"text": "This is the Bedrock emulator "}]
    assert answer["stopReason"] == "stop_sequence"


def test_pace_and_faults_come_from_the_seed():
    def outcomes():
        flags = ["--pace", "0/1,0", "--faults", "throttle=30%,unavailable=10%", "--seed", "7"]
        emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", *flags])
        try:
            bedrock = client_of(emulator.address)
            for _ in range(100):
                try:
                    yield bedrock.converse(modelId="a.model", messages=PROMPT)["ResponseMetadata"]["HTTPStatusCode"]
                except botocore.exceptions.ClientError as error:
                    yield error.response["ResponseMetadata"]["HTTPStatusCode"]
        finally:
            emulator.stop()

    first = list(outcomes())
    assert first == list(outcomes())
    assert 15 <= first.count(429) <= 45 and 2 <= first.count(503) <= 20, first


def test_a_wrong_pace_or_fault_is_told():
    assert "is not FIRST[/P99],GAP[/P99]" in refused_flags("--pace", "fast")
    assert "Faults: throttle" in refused_flags("--faults", "explode=5%")


def test_embeddings_and_rerankings(emulator, bedrock):
    def invoked(model, **body):
        return json.loads(bedrock.invoke_model(modelId=model, body=json.dumps(body))["body"].read())

    def nearness(one, other):
        return sum(a * b for a, b in zip(one, other))

    texts = ["two cats on an adventure", "an adventure of two cats", "quarterly revenue"]
    titan = [invoked("amazon.titan-embed-text-v2:0", inputText=text)["embedding"] for text in texts]
    cohere = invoked("cohere.embed-english-v3", texts=texts, input_type="search_document")["embeddings"]
    for vectors in [titan, cohere]:
        assert nearness(vectors[0], vectors[1]) > 0.6 > 0.3 > nearness(vectors[0], vectors[2])
    runtime = client_of(emulator.address, "bedrock-agent-runtime")
    source = lambda text: {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
    arn = "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"
    ranked = runtime.rerank(
        queries=[{"type": "TEXT", "textQuery": {"text": "cats"}}],
        sources=[source(text) for text in reversed(texts)],
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"numberOfResults": 2, "modelConfiguration": {"modelArn": arn}},
        },
    )["results"]
    assert sorted(result["index"] for result in ranked) == [1, 2]
    invoke = invoked("cohere.rerank-v3-5:0", query="cats", documents=texts[::-1], top_n=2, api_version=2)["results"]
    assert [(one["index"], one["relevanceScore"]) for one in ranked] == [(one["index"], one["relevance_score"]) for one in invoke]


def test_a_guardrail_is_applied(bedrock):
    def applied(text):
        content = [{"text": {"text": text}}]
        return bedrock.apply_guardrail(guardrailIdentifier="gr", guardrailVersion="1", source="INPUT", content=content)

    assert applied("hello")["action"] == "NONE"
    blocked = applied("hello [emulator.block]")
    assert blocked["action"] == "GUARDRAIL_INTERVENED"
    assert blocked["assessments"][0]["wordPolicy"]["customWords"][0]["action"] == "BLOCKED"


def test_the_control_plane_knows_models_profiles_and_the_caller(emulator):
    account = client_of(emulator.address, "bedrock")
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    details = account.get_foundation_model(modelIdentifier=model)["modelDetails"]
    assert (details["modelId"], details["providerName"], details["responseStreamingSupported"]) == (model, "Anthropic", True)
    assert account.get_foundation_model(modelIdentifier=details["modelArn"])["modelDetails"] == details
    embedding = account.get_foundation_model(modelIdentifier="amazon.titan-embed-text-v2:0")["modelDetails"]
    assert embedding["outputModalities"] == ["EMBEDDING"]
    profile = account.get_inference_profile(inferenceProfileIdentifier="eu." + model)
    assert [one["modelArn"] for one in profile["models"]] == [details["modelArn"]]
    # What LangChain asks to find the model behind an ARN.
    arn = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/emulator.tools"
    profile = account.get_inference_profile(inferenceProfileIdentifier=arn)
    assert (profile["type"], profile["inferenceProfileArn"]) == ("APPLICATION", arn)
    assert "anthropic.claude" in profile["models"][0]["modelArn"]
    with pytest.raises(account.exceptions.ResourceNotFoundException):
        account.get_foundation_model(modelIdentifier="gpt-4")
    with pytest.raises(account.exceptions.ResourceNotFoundException):
        account.get_inference_profile(inferenceProfileIdentifier=model)
    sts = client_of(emulator.address, "sts")
    assert sts.get_caller_identity()["Account"] == "000000000000"
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidAction"):
        sts.get_session_token()


def test_what_is_recorded_is_replayed(emulator, tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-recorder"}
    folder = tmp_path / "recordings"
    flags = ["--listen", "127.0.0.1:0", "--upstream", emulator.address, "--region", "us-east-1", "--into", str(folder)]
    recorder = Program(["bedrock-emulator", "record", *flags], keys)
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    body = json.dumps(FAMILIES[model][0])

    def conversation(bedrock):
        for text in ["hello", "good bye", "hello"]:
            messages = [{"role": "user", "content": [{"text": text}]}]
            yield list(bedrock.converse_stream(modelId=model, messages=messages)["stream"])
        answer = bedrock.converse(modelId=model, messages=PROMPT)
        yield answer["output"], answer["usage"]
        yield json.loads(bedrock.invoke_model(modelId=model, body=body)["body"].read())

    recorded = list(conversation(client_of(recorder.address)))
    names = [recorder.process.stdout.readline().removeprefix("saved ").strip() for _ in recorded]
    recorder.terminate()
    assert recorder.process.wait(timeout=30) == 0
    plain = model.replace(":", "-")
    expected = [f"converse-stream/{plain}-00{number}.json" for number in [1, 2, 3]]
    expected += [f"converse/{plain}-001.json", f"invoke/{plain}-001.json"]
    assert sorted(names) == sorted(str(folder / name) for name in expected)
    for path in folder.glob("*/*.json"):
        assert not any(secret in path.read_text() for secret in keys.values()), path
    # Without the upstream, and with the same model id.
    replaying = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--replay", str(folder)])
    try:
        bedrock = client_of(replaying.address)
        assert list(conversation(bedrock)) == recorded
        with pytest.raises(bedrock.exceptions.ResourceNotFoundException, match="no recording of this request"):
            bedrock.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "something else"}]}])
    finally:
        replaying.stop()


def test_a_recorder_that_cannot_be_used_does_not_start(tmp_path):
    def refused(*flags):
        return refused_flags("record", "--into", str(tmp_path), *flags)

    assert "set --region or AWS_REGION" in refused()
    assert "is not a loopback address" in refused("--region", "us-east-1", "--listen", "0.0.0.0:0")
    assert "is neither `bedrock` nor a URL" in refused("--upstream", "nowhere", "--region", "us-east-1")


def test_requests_are_validated_as_bedrock_does():
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0", "--validate", "--pace", "0,0"])
    try:
        bedrock = client_of(emulator.address)
        refused = lambda match: pytest.raises(bedrock.exceptions.ValidationException, match=match)
        with refused("must alternate between user and assistant roles"):
            bedrock.converse(modelId="a.model", messages=[*PROMPT, *PROMPT])
        with refused("at messages.0.content.0 is blank"):
            bedrock.converse(modelId="a.model", messages=[{"role": "user", "content": [{"text": " "}]}])
        call = bedrock.converse(modelId="emulator.tools", messages=PROMPT)["output"]["message"]
        with refused("The toolConfig field must be defined"):
            bedrock.converse(modelId="a.model", messages=[*PROMPT, call, *PROMPT])
        tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}}]}
        with refused("Expected toolResult blocks at messages.2.content for the following Ids: tooluse_emulated1"):
            bedrock.converse(modelId="a.model", messages=[*PROMPT, call, *PROMPT], toolConfig=tools)
        result = {"toolResult": {"toolUseId": "tooluse_emulated1", "content": [{"text": "sunny"}]}}
        loop = [*PROMPT, call, {"role": "user", "content": [result]}]
        bedrock.converse(modelId="emulator.tools", messages=loop, toolConfig=tools)
    finally:
        emulator.stop()


def test_any_tool_is_called_where_it_is_asked_for(bedrock):
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    words = "How is the weather? [emulator.call]"
    tools = {"tools": [{"toolSpec": {"name": "forecast", "inputSchema": {"json": SCHEMA}}}]}
    messages = [{"role": "user", "content": [{"text": words}]}]
    first = bedrock.converse(modelId=model, messages=messages, toolConfig=tools)
    call = first["output"]["message"]["content"][0]["toolUse"]
    assert (first["stopReason"], call["name"], call["input"]["unit"]) == ("tool_use", "forecast", "celsius")
    result = {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "sunny"}]}}
    messages += [first["output"]["message"], {"role": "user", "content": [result]}]
    last = bedrock.converse(modelId=model, messages=messages, toolConfig=tools)
    assert (last["stopReason"], words in last["output"]["message"]["content"][0]["text"]) == ("end_turn", True)
    native = {**FAMILIES[model][0], "max_tokens": 99, "tools": [{"name": "forecast", "input_schema": SCHEMA}]}
    native["messages"] = [{"role": "user", "content": words}]
    invoked = lambda: json.loads(bedrock.invoke_model(modelId=model, body=json.dumps(native))["body"].read())
    first = invoked()
    result = {"type": "tool_result", "tool_use_id": first["content"][0]["id"], "content": "sunny"}
    native["messages"] += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    assert (first["stop_reason"], invoked()["stop_reason"]) == ("tool_use", "end_turn")


def test_a_schema_for_the_answer_is_kept(bedrock):
    fields = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    answer = bedrock.converse(modelId="a.model", messages=PROMPT, additionalModelRequestFields=fields)
    value = json.loads(answer["output"]["message"]["content"][0]["text"])
    assert value == {"city": "emulated", "unit": "celsius", "days": 2, "rain": True}
