"""A real Prometheus scrapes a server under traffic, answers the questions of docs/observe.md, and evaluates the alerts."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import grpc
import pytest

from conftest import ROOT, Program

RULES = ROOT / "deploy/prometheus/outcrop.rules.yml"
QUESTION = re.compile(r"^### (\d+)\. .*?(?=^##)", re.M | re.S)
QUERY = re.compile(r"```promql\n(.+?)\n```", re.S)
THROTTLE = {"steps": [{"exception": {"type": "throttlingException", "message": "slow down"}}]}
WORD = {"event": {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "word "}}}}
START = {"event": {"type": "messageStart", "payload": {"role": "assistant"}}}
ENDLESS = {"steps": [START, {"repeat": {"times": 1_000_000, "steps": [WORD]}}], "pace": {"first_ms": 0, "gap_ms": 50}}


def questions():
    """The queries of each question."""
    text = (ROOT / "docs/observe.md").read_text()
    found = {match.group(1): QUERY.findall(match.group(0)) for match in QUESTION.finditer(text)}
    assert list(found) == [str(number) for number in range(1, 11)]
    return [(number, query) for number, queries in found.items() for query in queries]


def page(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A server with a route whose first target always fails, and its metrics."""
    scripts = tmp_path_factory.mktemp("scripts")
    (scripts / "broken.json").write_text(json.dumps(THROTTLE))
    (scripts / "endless.json").write_text(json.dumps(ENDLESS))
    flags = ["--local", "--scripts", str(scripts), "--metrics-listen", "127.0.0.1:0", "--abandonment", "drain"]
    routes = ["--route", "smart=emulator.broken,emulator.tools", "--max-streams", "50"]
    program = Program(["outcrop", "serve", "--listen", "127.0.0.1:0", *flags, *routes])
    line = program.process.stdout.readline()
    program.metrics = re.fullmatch(r"metrics on (\S+)\n", line).group(1)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def prometheus(serving, tmp_path_factory):
    """A Prometheus that scrapes the server every second."""
    if not shutil.which("prometheus"):
        pytest.skip("there is no prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [{"job_name": "outcrop", "static_configs": [{"targets": [serving.metrics]}]}],
    }
    # The same alerts, which wait for a second in place of minutes.
    (folder / "rules.yml").write_text(re.sub(r"\bfor: \w+", "for: 1s", RULES.read_text()))
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    flags = ["--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"]
    with open(folder / "log", "w") as log:
        command = ["prometheus", *map(str, flags), "--web.listen-address", address]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"http://{address}"
    process.terminate()
    process.wait()


def generate(channel, model, timeout=None):
    """A call of this model. The message is written by hand: `model` and `prompt`."""
    message = b"\x0a" + bytes([len(model)]) + model.encode() + b"\x12\x02hi"
    method = "/outcrop.v1.GenerationService/Generate"
    return channel.unary_stream(method, request_serializer=None, response_deserializer=None)(message, timeout=timeout)


def ask(channel, model, left_after=None):
    """How a call of this model ends, whose caller leaves after so many chunks."""
    call = generate(channel, model, timeout=20)
    try:
        for number, _ in enumerate(call):
            if left_after is not None and number >= left_after:
                call.cancel()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def traffic(address):
    """Success, failover, failure in mid-stream, abandonment and refusal."""
    with grpc.insecure_channel(address) as channel:
        assert ask(channel, "smart") == grpc.StatusCode.OK
        assert ask(channel, "emulator.default") == grpc.StatusCode.OK
        assert ask(channel, "emulator.exception") != grpc.StatusCode.OK
        assert ask(channel, "emulator.slow", left_after=2) == grpc.StatusCode.CANCELLED
        assert ask(channel, "nothing at all") == grpc.StatusCode.INVALID_ARGUMENT


def results(prometheus, query):
    query = urllib.parse.urlencode({"query": query})
    return json.loads(page(f"{prometheus}/api/v1/query?{query}"))["data"]["result"]


def number_of(results):
    return [float(one["value"][1]) for one in results if one["value"][1] != "NaN"]


@pytest.fixture(scope="module")
def running(serving):
    """A stream that runs whenever Prometheus looks: those of the traffic may all have ended just then."""
    with grpc.insecure_channel(serving.address) as channel:
        call = generate(channel, "emulator.endless")
        next(call)
        yield
        call.cancel()


@pytest.fixture(scope="module")
def measured(serving, prometheus, running):
    """A Prometheus that has seen all of the traffic."""
    deadline = time.monotonic() + 90
    # What comes last: the drain of an abandoned call, and the fifth failure in a row of a target.
    spent = "sum(rate(outcrop_abandoned_tokens_total[30s])) > 0"
    fires = 'ALERTS{alertname="OutcropCircuitBreakerOpen", alertstate="firing"}'
    runs = "sum(outcrop_streams_running) > 0"
    while time.monotonic() < deadline:
        traffic(serving.address)
        try:
            if all(results(prometheus, query) for query in (spent, fires, runs)):
                return prometheus
        except OSError:
            pass
        time.sleep(0.5)
    pytest.fail("Prometheus has not seen the traffic")


@pytest.mark.parametrize("number, query", questions())
def test_the_ten_questions_have_answers(measured, number, query):
    numbers = number_of(results(measured, query.replace("$range", "1m")))
    assert numbers, f"question {number} has no answer: {query}"
    assert all(0 <= number < 1e6 for number in numbers) and any(number > 0 for number in numbers), numbers


def test_answers_tell_models_and_kinds_apart(measured):
    by_model = results(measured, "sum by (model, reason) (rate(outcrop_streams_failed_total[1m]))")
    assert {"model": "other", "reason": "MODEL_ERROR"} in [one["metric"] for one in by_model], by_model
    kinds = results(measured, "sum by (model, kind) (outcrop_tokens_total)")
    assert {"model": "smart", "kind": "output"} in [one["metric"] for one in kinds], kinds
    assert number_of(results(measured, "time() - process_start_time_seconds"))[0] < 600


def test_an_alert_fires_for_what_is_wrong_and_none_for_what_is_not(measured):
    alerts = {one["metric"]["alertname"] for one in results(measured, 'ALERTS{alertstate="firing"}')}
    assert "OutcropCircuitBreakerOpen" in alerts, alerts
    assert not alerts & {"OutcropDown", "OutcropAtCapacity", "OutcropStoreFails", "OutcropAuditLinesLost"}, alerts
    rules = json.loads(page(f"{measured}/api/v1/rules"))["data"]["groups"][0]["rules"]
    assert len(rules) > 8 and all(rule["health"] == "ok" for rule in rules), rules


def test_promtool_finds_nothing_wrong_with_the_metrics(measured, serving):
    request = urllib.request.Request(f"http://{serving.metrics}/metrics", headers={"accept": "text/plain"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
    wrong = subprocess.run(["promtool", "check", "metrics"], input=b"a_seconds_count_total 1\n", capture_output=True)
    assert wrong.returncode != 0
