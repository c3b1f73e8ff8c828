"""Each framework streams an answer, finishes a tool loop, and reports every answer that is not whole, through the emulator and through
Outcrop. It gets the address and the credentials by environment variables alone.
"""

import json
import os
import re
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import HERE, PYTHON, ROOT, outcrop, serving

# The programs, and the variable that gives each the address.
ADDRESS = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
PROGRAMS = {
    "use_langchain.py": ADDRESS,
    "use_litellm.py": "AWS_BEDROCK_RUNTIME_ENDPOINT",
    "use_pydantic_ai.py": ADDRESS,
    "use_strands.py": ADDRESS,
    "use_llama_index.py": ADDRESS,
    "use_anthropic.py": "ANTHROPIC_BEDROCK_BASE_URL",
    "use_anthropic.mjs": "ANTHROPIC_BEDROCK_BASE_URL",
    "use_vercel.mjs": ADDRESS,
}
CLIENTS = [
    "langchain-aws, ChatBedrockConverse",
    "langchain-aws, ChatBedrock",
    "LiteLLM",
    "pydantic-ai",
    "strands-agents",
    "LlamaIndex, BedrockConverse",
    "anthropic, AnthropicBedrock",
    "anthropic, AnthropicBedrock (JavaScript)",
    "Vercel AI SDK, amazon-bedrock",
]
WAYS = ["emulator", "outcrop"]
FAULTS = ["end", "cut", "reset", "corrupt", "exception"]


def missing():
    lacks = [str(path) for path in [PYTHON, HERE / "node_modules/ai"] if not path.exists()]
    if lacks and os.environ.get("CI_REQUIRE_FRAMEWORKS") == "1":
        raise FileNotFoundError(f"CI_REQUIRE_FRAMEWORKS=1, and there is no {lacks}")
    return lacks


pytestmark = pytest.mark.skipif(bool(missing()), reason=f"SKIPPED: the frameworks are not installed: {missing()}")


def run(program, ways, variables):
    """The results of a program, by client, way and case."""
    interpreter = [PYTHON] if program.endswith(".py") else ["node"]
    spaces = {name: os.environ[name] for name in ["PATH", "HOME"]}
    done = subprocess.run(
        [*interpreter, HERE / "programs" / program, json.dumps(ways)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**spaces, **variables},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
    return {(line["name"], line["way"], line["case"]): line for line in lines}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A caller with a key and a key pair, and a certificate."""
    folder = tmp_path_factory.mktemp("frameworks")
    outcrop("tls", "self-signed", "--out", folder / "tls")
    made = outcrop("keys", "new", "--caller", "frameworks", "--sigv4", folder / "pairs")
    (folder / "key").write_text(made.stdout.splitlines()[0])
    key = re.search(r"^\s*(\{ id = .* \}),$", made.stderr, re.MULTILINE)[1]
    (folder / "outcrop.toml").write_text(f'[[caller]]\nname = "frameworks"\nkeys = [{key}]\nnative_bodies = true\n')
    pair = {name: re.search(f"^{name}=(.*)$", made.stdout, re.MULTILINE)[1] for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]}
    (folder / "pair.json").write_text(json.dumps(pair))
    return folder


@pytest.fixture(scope="module")
def seen(folder):
    """The results of all programs, and the requests that the emulator got."""
    pair = json.loads((folder / "pair.json").read_text())
    key = {"AWS_BEARER_TOKEN_BEDROCK": (folder / "key").read_text()}
    certificate = folder / "tls/cert.pem"
    # Beside the address, what an application has in its environment. One attempt, so that an error is what was sent.
    common = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
    trusted = {name: str(certificate) for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]}
    with serving("bedrock-emulator", "--listen", "127.0.0.1:0", "--pace", "0,25") as emulator:
        account = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", ADDRESS: f"http://{emulator}"}
        front = ["serve", "--listen", "127.0.0.1:0", "--bedrock-api", "--config", folder / "outcrop.toml"]
        tls = ["--tls-cert", certificate, "--tls-key", folder / "tls/key.pem"]
        with (
            serving("outcrop", *front, "--sigv4-keys", folder / "pairs", **account) as signed,
            serving("outcrop", *front, *tls, **account) as encrypted,
            ThreadPoolExecutor(2) as pool,
        ):

            def results(program):
                variable = PROGRAMS[program]
                # The emulator takes any credentials. The server with the key does not know the key pair.
                ways = {
                    "emulator": {"variables": {variable: f"http://{emulator}", **pair}},
                    "outcrop": {"variables": {variable: f"http://{signed}", **pair}},
                    "key": {"variables": {variable: f"https://{encrypted}", **key}, "cases": ["text"]},
                }
                return run(program, {"history": f"http://{emulator}", "ways": ways}, {**common, **trusted})

            found = {key: line for lines in pool.map(results, PROGRAMS) for key, line in lines.items()}
        with urllib.request.urlopen(f"http://{emulator}/_emulator/requests") as answer:
            return found, json.load(answer)["requests"]


def of(seen, client, way, case):
    """A result, and the requests that belong to it."""
    found, requests = seen
    result = found[(client, way, case)]
    return result, [request for request in requests if result["prompt"] in json.dumps(request["body"], ensure_ascii=False)]


def told(prompt):
    """The answer of an ordinary model of the emulator."""
    end = "Point the server at AWS to hear what a model makes of that."
    return f"This is the Bedrock emulator answering, not a model. You wrote: “{prompt}” {end}"


def test_all_clients_ran_all_cases(seen):
    cases = ["text", "loop", *FAULTS]
    expected = {(client, way, case) for client in CLIENTS for way in WAYS for case in cases}
    assert set(seen[0]) == expected | {(client, "key", "text") for client in CLIENTS}


@pytest.mark.parametrize("way", [*WAYS, "key"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_is_streamed(seen, client, way):
    result, requests = of(seen, client, way, "text")
    assert "error" not in result, result
    assert "".join(result["pieces"]) == told(result["prompt"])
    # A piece for each word, the first while the emulator was still sending.
    assert len(result["pieces"]) > 20 and result["early"]
    assert [request["outcome"] for request in requests] == ["completed"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_tool_loop_is_finished(seen, client, way):
    result, requests = of(seen, client, way, "loop")
    assert "error" not in result, result["error"]
    assert result["calls"] == ["Skye"]
    assert result["text"] == told(result["prompt"])
    assert len(requests) == 2
    assert "Skye lies in the Inner Hebrides." in json.dumps(requests[1]["body"])


@pytest.mark.parametrize("client", CLIENTS)
def test_through_outcrop_every_answer_that_is_not_whole_is_an_error(seen, client):
    for fault in FAULTS:
        result, requests = of(seen, client, "outcrop", fault)
        assert requests and "error" in result, result
        # It is Outcrop's.
        reason = {"exception": "The model stopped unexpectedly.", "corrupt": "the stream from Bedrock is damaged"}
        assert reason.get(fault, "the stream from Bedrock ended before the message was complete") in result["message"]


@pytest.mark.parametrize("client", CLIENTS)
def test_without_outcrop_reset_corrupt_and_exception_are_errors(seen, client):
    for fault in ["reset", "corrupt", "exception"]:
        assert "error" in of(seen, client, "emulator", fault)[0]


def outcome(seen, client, way, fault):
    result = of(seen, client, way, fault)[0]
    if "error" in result:
        return f"`{result['error']}`"
    # What a client does not tell of a whole answer either is not missing.
    tells = of(seen, client, way, "text")[0]["reason"]
    reason = f", reason `{result['reason']}`" if result["reason"] else ", no reason"
    return f"**no error**{reason if tells else ''}"


def tables(seen):
    rows = ["| client | address | operation | `end` alone | `end` through Outcrop | `cut` alone | `cut` through Outcrop |", "|---" * 7 + "|"]
    variables = {}
    for program, variable in PROGRAMS.items():
        source = (HERE / "programs" / program).read_text()
        variables.update({client: variable for client in CLIENTS if f'"{client}"' in source})
    for client in CLIENTS:
        result, requests = of(seen, client, "emulator", "text")
        outcomes = [outcome(seen, client, way, fault) for fault in ["end", "cut"] for way in WAYS]
        row = [f"{client} {result['version']}", f"`{variables[client]}`", requests[0]["operation"], *outcomes]
        rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows) + "\n"


def test_the_table_in_the_documents_is_what_was_seen(seen, request):
    path = ROOT / "docs/frameworks.md"
    before, begin, rest = path.read_text().partition("<!-- What follows is written by tests/frameworks. -->\n")
    written, end, after = rest.partition("<!-- The end of what is written. -->\n")
    document = before + begin + tables(seen) + end + after
    if request.config.getoption("--write"):
        path.write_text(document)
    assert path.read_text() == document, "run pytest tests/frameworks --write"
