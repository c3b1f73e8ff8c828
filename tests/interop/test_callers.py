"""The packages for callers in other languages, installed from their artefacts: each runs the same examples with the same output, against an open
server, against one with TLS and API keys, and against one whose requests to Bedrock are counted."""

import functools
import os
import re
import shutil
import subprocess
import sys

import httpx
import pytest

from conftest import ROOT, TARGET, Program, outcrop
from languages import LANGUAGES, made


class Example:
    """The examples of a language, built from its artefact."""

    def __init__(self, language, folder):
        self.command = language(folder)
        self.examples = language.examples

    def started(self, endpoint, name, *arguments, key="", ca=""):
        program, environment = self.command(name)
        kept = {name: os.environ[name] for name in ["PATH", "HOME"] if name in os.environ}
        environment |= {**kept, "OUTCROP_ENDPOINT": endpoint, "OUTCROP_API_KEY": key, "OUTCROP_CA": str(ca)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*map(str, program), *arguments], text=True, env=environment, **pipes)

    def __call__(self, *arguments, fails=False, **security):
        """Runs an example against a server and returns the lines that it prints, or what it says on standard error if it is to fail."""
        with self.started(*arguments, **security) as program:
            try:
                out, err = program.communicate(timeout=60)
            finally:
                program.kill()
        assert (program.returncode != 0) == fails, f"{program.args}: {out} {err}"
        return err if fails else out.splitlines()


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The examples of a language. Each is built once, in whatever order the tests run."""
    return functools.cache(lambda language: Example(language, tmp_path_factory.mktemp(language.__name__)))


@pytest.fixture(scope="session", params=LANGUAGES, ids=lambda language: language.__name__)
def example(request, built):
    missing = [name for name in getattr(request.param, "programs", []) if not shutil.which(name)]
    if missing and "CI_REQUIRE_JAVA" not in os.environ:
        pytest.skip(f"not installed: {missing}")
    return built(request.param)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A server with TLS, two callers with API keys, a quota and a budget: its endpoint, the keys, and the authority."""
    folder = tmp_path_factory.mktemp("guarded")
    program = TARGET / "outcrop"
    subprocess.run([program, "tls", "self-signed", "--out", folder / "tls"], check=True, capture_output=True)
    keys, config = {}, 'quota_queue_time = "0s"\n[[quota]]\nmodel = "emulator.reasoning"\ntokens_per_minute = 70\nmax_tokens = 60\nburst_percent = 100\n'
    for name, more in {"ample": "", "small": "[caller.budget]\ntokens_per_day = 10\n"}.items():
        new = subprocess.run([program, "keys", "new", "--caller", name], check=True, capture_output=True, text=True)
        keys[name] = new.stdout.strip()
        line = re.search(r"\{ id = .* \}", new.stderr).group()
        config += f'[[caller]]\nname = "{name}"\nkeys = [{line}]\n{more}'
    (folder / "outcrop.toml").write_text(config)
    flags = ["--tls-cert", folder / "tls/cert.pem", "--tls-key", folder / "tls/key.pem", "--config", folder / "outcrop.toml"]
    server = outcrop("--local", *map(str, flags))
    yield f"https://localhost:{server.address.rpartition(':')[2]}", keys, folder / "tls/cert.pem"
    server.stop()


@pytest.fixture(scope="session", params=["open", "guarded"])
def place(request):
    """An endpoint with what a caller needs there: an open server, and one with TLS and API keys."""
    if request.param == "open":
        return request.getfixturevalue("server").address, {}
    endpoint, keys, ca = request.getfixturevalue("guarded")
    return endpoint, {"key": keys["ample"], "ca": ca}


@pytest.fixture(scope="session")
def counted():
    """A server that makes one attempt for each call, and the emulator that counts them."""
    emulator = Program(["bedrock-emulator", "--listen", "127.0.0.1:0"])
    environment = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address,
    }
    server = outcrop("--region", "us-east-1", "--attempts", "1", "--default-model", "emulator.default", "--conversations", "memory", environment=environment)
    late = {"steps": [{"wait_ms": 1000}, {"exception": {"type": "throttlingException", "message": "later"}}]}
    httpx.put(f"{emulator.address}/_emulator/scripts/callers.late", json=late).raise_for_status()
    yield server.address, emulator.address
    server.stop()
    emulator.stop()


def requests_of(emulator, **query):
    return httpx.get(f"{emulator}/_emulator/requests", params=query, timeout=30).raise_for_status().json()["requests"]


def test_the_common_files_are_generated():
    subprocess.run([sys.executable, ROOT / "callers/generate.py", "--check"], check=True)


def test_the_code_of_the_go_module_is_what_the_proto_files_generate(tmp_path):
    tools = tmp_path / "tools"
    made("go", "build", "-o", f"{tools}/", "tool", folder=ROOT / "callers/go/tools")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    buf = os.environ.get("BUF", "buf")
    template = ROOT / "callers/go/buf.gen.yaml"
    made(buf, "generate", ROOT / "proto", "--template", template, "--output", tmp_path, folder=ROOT, env=environment)
    committed = {path.name: path.read_text() for path in (ROOT / "callers/go/outcropv1").iterdir()}
    generated = {path.name: path.read_text() for path in (tmp_path / "outcropv1").iterdir()}
    stale = [name for name in committed.keys() | generated.keys() if committed.get(name) != generated.get(name)]
    assert not stale, f"in callers/go: buf generate ../../proto, with the programs of tools/go.mod: {stale}"


def test_text_arrives_and_the_answer_says_why_it_ended(place, example):
    endpoint, security = place
    for name in [one for one in example.examples if one.startswith("stream")]:
        *text, end = example(endpoint, name, "Say", "hi", **security)
        assert "“Say hi”" in "\n".join(text)
        assert re.fullmatch(r"STOP_REASON_END_TURN \d+ output tokens", end)


def test_who_has_no_key_or_does_not_trust_the_server_is_told(guarded, example):
    endpoint, keys, ca = guarded
    assert example(endpoint, "errors", ca=ca)[0] == "CREDENTIALS_MISSING UNAUTHENTICATED before_content no retry"
    wrong = keys["ample"][:-1] + ("A" if keys["ample"][-1] != "A" else "B")
    assert example(endpoint, "errors", key=wrong, ca=ca)[0] == "CREDENTIALS_INVALID UNAUTHENTICATED before_content no retry"
    assert "UNAVAILABLE" in example(endpoint, "errors", "--no-retries", key=keys["ample"])[0], "the authority of the server is not trusted"


def test_an_api_key_is_not_sent_where_others_can_read_it(guarded, example):
    key = guarded[1]["ample"]
    for endpoint in ["http://outcrop.example:50051", "http://192.0.2.1"]:
        error = example(endpoint, "stream", key=key, fails=True)
        assert "not encrypted" in error and key not in error


def test_a_tool_loop(place, example):
    endpoint, security = place
    assert example(endpoint, "tools", **security) == ["tool get_weather", "answer 4 true"]


def test_an_invalid_request_has_its_violations(place, example):
    endpoint, security = place
    assert example(endpoint, "errors", **security) == [
        "INVALID_REQUEST INVALID_ARGUMENT before_content no retry",
        "  field inference_config.max_tokens",
        "  field inference_config.temperature",
        "  correct the request",
    ]


def test_quotas_and_budgets_say_what_is_used_up(guarded, example):
    endpoint, keys, ca = guarded
    # The first call uses up the quota of a minute, unless another language has.
    assert example(endpoint, "errors", "--no-retries", "emulator.reasoning", "emulator.reasoning", key=keys["ample"], ca=ca)[-3:] == [
        "QUOTA_EXHAUSTED RESOURCE_EXHAUSTED before_content retry",
        "  quota model:emulator.reasoning@us-east-1",
        "  try again later",
    ]
    assert example(endpoint, "errors", "--no-retries", "emulator.default", key=keys["small"], ca=ca) == [
        "BUDGET_EXHAUSTED RESOURCE_EXHAUSTED before_content no retry",
        "  quota caller:small",
        "  wait for the next day or month, or ask for more",
    ]


@pytest.mark.parametrize(
    "flags, model, attempts, first",
    [
        ([], "emulator.refuse-throttle", 4, "BEDROCK_THROTTLED RESOURCE_EXHAUSTED before_content retry"),
        (["--heartbeats"], "callers.late", 1, "BEDROCK_THROTTLED RESOURCE_EXHAUSTED before_content retry"),
        ([], "emulator.refuse-access", 1, "BEDROCK_ACCESS_DENIED PERMISSION_DENIED before_content no retry"),
        ([], "emulator.exception", 1, "MODEL_ERROR UNAVAILABLE after_content retry"),
        ([], "emulator.end", 1, "UPSTREAM_TRUNCATED UNAVAILABLE after_content retry"),
        ([], "emulator.corrupt", 1, "UPSTREAM_CORRUPT DATA_LOSS after_content retry"),
    ],
)
def test_only_what_failed_before_any_chunk_is_retried(counted, example, flags, model, attempts, first):
    address, emulator = counted
    httpx.delete(f"{emulator}/_emulator/requests").raise_for_status()
    assert example(address, "errors", *flags, model)[0] == first
    assert len(requests_of(emulator, model=model)) == attempts


def test_a_deadline_ends_the_call(place, example):
    endpoint, security = place
    assert example(endpoint, "deadline", **security) == ["CALLER_DEADLINE DEADLINE_EXCEEDED after_content no retry"]


def test_cancelling_reaches_bedrock(counted, example):
    address, emulator = counted
    for name in [one for one in example.examples if one.startswith("cancel")]:
        httpx.delete(f"{emulator}/_emulator/requests").raise_for_status()
        assert example(address, name) == ["CALLER_CANCELLED CANCELLED after_content no retry", "left"]
        assert len(requests_of(emulator, outcome="abandoned", wait=2)) == 2


def test_leaving_a_loop_does_not_cancel(counted, example):
    address, emulator = counted
    for name in [one for one in example.examples if one.startswith("cancel")]:
        httpx.delete(f"{emulator}/_emulator/requests").raise_for_status()
        with example.started(address, name, "--wait") as program:
            try:
                assert program.stdout.readline() == "left the loop, and the call goes on\n"
                query = {"outcome": "abandoned", "wait": 1, "timeout_ms": 1000}
                waited = httpx.get(f"{emulator}/_emulator/requests", params=query, timeout=30)
                assert waited.status_code == 408, f"{name}: {waited.text}"
                assert len(requests_of(emulator, outcome="running")) == 1
                out, err = program.communicate("\n", timeout=60)
            finally:
                program.kill()
        assert out.splitlines() == ["CALLER_CANCELLED CANCELLED after_content no retry", "left"], err
        assert len(requests_of(emulator, outcome="abandoned", wait=2)) == 2


def test_a_conversation_is_resumed_and_what_was_put_together_is_what_is_stored(place, example):
    endpoint, security = place
    assert example(endpoint, "conversation", **security) == [
        "revision 1",
        "same true 6 blocks",
        "included true",
        "CONVERSATION_TURN_STORED ALREADY_EXISTS before_content no retry",
        "CONVERSATION_CHANGED ABORTED before_content no retry",
        "CONVERSATION_NOT_FOUND NOT_FOUND before_content no retry",
    ]


def test_every_tool_input_is_put_together_as_the_server_stores_it(counted, example):
    address, emulator = counted
    deep = '{"a":' * 31 + "1" + "}" * 31
    long = '{"id": 123456789012345678901234567890, "next": 9007199254740993}'
    inputs = ['{"id": 9007199254740993, "t": "\\"1"}', '{"id": 9007199254740992, "x": 1.5}', long, deep, "", '{"text": "ma', "[1e3, null, true]"]
    steps = [{"event": {"type": "messageStart", "payload": {"role": "assistant"}}}]
    for index, text in enumerate(inputs):
        start = {"toolUse": {"toolUseId": f"t{index}", "name": "tool"}}
        steps.append({"event": {"type": "contentBlockStart", "payload": {"contentBlockIndex": index, "start": start}}})
        for piece in [text[: len(text) // 2], text[len(text) // 2 :]]:
            delta = {"toolUse": {"input": piece}}
            steps.append({"event": {"type": "contentBlockDelta", "payload": {"contentBlockIndex": index, "delta": delta}}})
        steps.append({"event": {"type": "contentBlockStop", "payload": {"contentBlockIndex": index}}})
    steps.append({"event": {"type": "messageStop", "payload": {"stopReason": "max_tokens"}}})
    httpx.put(f"{emulator}/_emulator/scripts/callers.inputs", json={"steps": steps}).raise_for_status()
    assert example(address, "conversation", "callers.inputs")[1:3] == [f"same true {len(inputs)} blocks", "included true"]
