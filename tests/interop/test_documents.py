"""The documents are true: their shell commands run as they are written, and their examples of chunks are what comes.

A command that serves is left running until the next one that serves. `cargo test` is not run again: `.ci/run` has just done so,
by the same words.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import boto3
import botocore.config
import pytest

from conftest import ROOT, SERVICE, TARGET, outcrop

SERVES = re.compile(r"cargo run (-- serve|-p bedrock-emulator)")

# What each kind of command must print, so that a command which does nothing is noticed.
EXPECTED = [
    (r"-- demo", "Pepper and Moss"),
    (r"keys new", r"oc_"),
    (r"-- config --sample", '#listen = "127.0.0.1:50051"'),
    (r"-- config --local", "local = true  # --local"),
    (r"-- check", "ok\nlistens on: 127.0.0.1:50051"),
    (r"tls self-signed", "server:  outcrop serve --local --tls-cert target/tls/cert.pem"),
    (r"grpcurl .* list$", "outcrop.v1.GenerationService"),
    (r"grpcurl .*heartbeat_interval.*/Generate$", '"heartbeat"'),
    (r"grpcurl .*\"best\".*/Generate$", '"reason": "BEDROCK_THROTTLED"'),
    (r"grpcurl .*/Generate$", '"finish"'),
    (r"grpcurl .*/CountTokens$", '"inputTokens": 3'),
    (r"grpcurl .*Check$", '"SERVING"'),
    (r"grpcurl .*/CreateConversation$", '"conversationId"'),
    (r"grpcurl .*/ListConversations$", '"conversations"'),
    (r"grpcurl .*/ListModels$", '"emulator.default"'),
    (r"outcrop-client -- models$", "emulator.default *"),
    (r"outcrop-client -- conversations list$", "My name is Ada."),
    (r"--conversation new", "“My name is Ada.”"),
    (r"--model emulator.cut .*echo \"exit code", "One\nexit code 7\n"),
    (r"outcrop-client -- .*\"hi\"", "“hi”"),
    (r"^curl .*/ListModels$", '"emulator.default"'),
    (r"^curl .*/CountTokens$", '"inputTokens":3'),
    (r"^curl .*/Check$", '{"status":"SERVING"}'),
    (r"^curl ", "<title>Response Streaming</title>"),
    (r"--json -$", '"sequence":0'),
    (r"--example tool_use", "It is sunny in Paris."),
    (r"--example lab", "Pepper and Moss"),
    (r"--example attachments", "Does the picture fit the text?"),
]


def blocks_of(document, language):
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands_of(document):
    """The commands of all shell blocks. One that opens a quotation goes on until it is closed."""
    commands = []
    for block in blocks_of(document, "sh"):
        command = ""
        for line in block.splitlines():
            command += line
            try:
                shlex.split(command)
            except ValueError:
                command += "\n"
                continue
            commands.append(command)
            command = ""
        assert not command, f"{document}: no end of {command}"
    return commands


def environment(emulator):
    """Nothing of AWS but what stands in for an account: credentials that mean nothing, and the emulator as the endpoint."""
    kept = {name: os.environ[name] for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"] if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address,
    }


class Background:
    """A command that serves."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().startswith("listening on "), command

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0


# Documents whose commands run elsewhere.
ELSEWHERE = {
    "docs/client.md": "the chat needs a terminal, which the tests of the client give it",
    "docs/conformance.md": "`.ci/run` runs the suites",
}


def documents_with_commands():
    paths = [ROOT / "README.md", ROOT / "emulator/README.md", *sorted((ROOT / "docs").glob("*.md"))]
    names = [str(path.relative_to(ROOT)) for path in paths]
    return [name for name in names if name not in ELSEWHERE and blocks_of(name, "sh")]


@pytest.mark.parametrize("document", documents_with_commands())
def test_every_command_does_what_it_says(document, emulator):
    commands = commands_of(document)
    assert commands
    env, background = environment(emulator), None
    # A certificate is not overwritten.
    shutil.rmtree(ROOT / "target/tls", ignore_errors=True)
    try:
        for command in commands:
            if command.startswith("cargo test"):
                assert f"\n{command}\n" in (ROOT / ".ci/run").read_text()
                continue
            if SERVES.match(command):
                if background:
                    background.stop()
                background = Background(command, env)
                continue
            done = subprocess.run(
                ["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            wanted = [text for pattern, text in EXPECTED if re.search(pattern, command, re.DOTALL)]
            assert wanted, f"nothing is expected of: {command}"
            assert wanted[0] in done.stdout, f"{command}: {done.stdout}"
    finally:
        if background:
            background.stop()


def test_the_output_in_the_readme_is_what_comes():
    block = blocks_of("README.md", "text")[0]
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    shown = [line for line in block.splitlines() if not line.startswith("$ ")]
    server = outcrop("--local")
    environment = {"PATH": f"{TARGET}:{os.environ['PATH']}", "OUTCROP_ENDPOINT": f"http://{server.address}"}
    try:
        script = "exec 2>&1\n" + "\n".join(commands)
        said = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60).stdout
    finally:
        server.stop()
    # The time differs from run to run.
    plain = lambda lines: [re.sub(r"\d+\.\d s\]", "… s]", line) for line in lines]
    assert plain(said.splitlines()) == plain(shown)


@pytest.mark.parametrize(
    "model, raised, reason",
    [
        ("emulator.throttle-first", "EventStreamError", "BEDROCK_THROTTLED"),
        ("emulator.exception", "EventStreamError", "MODEL_ERROR"),
        ("emulator.end", None, "UPSTREAM_TRUNCATED"),
        ("emulator.reset", "ProtocolError", "UPSTREAM_TRUNCATED"),
    ],
)
def test_the_comparison_with_boto3_is_true(emulator, server, grpcurl, model, raised, reason):
    row = re.search(r"^\| \| Outcrop \| boto3 (\S+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row.group(1) == boto3.__version__
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    client = boto3.client("bedrock-runtime", endpoint_url=emulator.address, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret", config=config)
    asked = {"modelId": model, "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    events, error = [], None
    try:
        for event in client.converse_stream(**asked)["stream"]:
            events.extend(event)
    except Exception as problem:
        error = type(problem).__name__
    assert error == raised
    assert "messageStop" not in events
    done = grpcurl("-plaintext", "-d", json.dumps({"model": model, "prompt": "hi"}), server.address, f"{SERVICE}/Generate", check=False)
    assert done.returncode != 0
    assert f'"reason": "{reason}"' in done.stderr
    assert '"finish"' not in done.stdout


def test_every_example_of_a_chunk_is_one(server):
    def chunks(model):
        command = [TARGET / "outcrop-client", "--endpoint", f"http://{server.address}", "--json", "--model", model, "hi"]
        if model == "emulator.slow":
            command += ["--heartbeat", "400ms"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def comparable(chunk):
        for name in ["generationId", "requestId"]:
            if name in chunk.get("start", {}):
                chunk["start"][name] = "…"
        return chunk

    real = [comparable(chunk) for model in ["emulator.everything", "emulator.newer", "emulator.slow"] for chunk in chunks(model)]
    examples = [json.loads(line) for block in blocks_of("docs/chunks.md", "json") for line in block.splitlines()]
    assert len(examples) >= 18
    for example in examples:
        assert example in real, example
    # And there is an example of each kind.
    kinds = lambda these: {name for chunk in these for name in chunk} - {"sequence", "contentBlockIndex"}
    assert kinds(examples) == kinds(real)


def test_every_link_leads_somewhere():
    for document in ROOT.glob("**/*.md"):
        if {"target", "node_modules", ".ci"} & set(document.relative_to(ROOT).parts):
            continue
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            assert target.startswith("https://") or (document.parent / target).exists(), f"{document}: {target}"
