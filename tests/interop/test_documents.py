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

import pytest

from conftest import ROOT, TARGET

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
    (r"outcrop-client -- .*\"hi\"", "“hi”"),
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


@pytest.mark.parametrize("document", ["README.md", "docs/requests.md", "docs/native.md", "docs/serving.md", "docs/conversations.md", "docs/lab.md", "docs/page.md", "docs/security.md", "docs/configuration.md", "emulator/README.md"])
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
