"""Every SDK gets the whole answer or the right typed error through Outcrop, whatever becomes of the answer of Bedrock, and leaves it at will."""

import json
from dataclasses import dataclass, field

import httpx
import pytest

from cases import FAULTS, TEXT, TOOL, Case, departures, matrix
from outcomes import WHOLE
from table import written

# The emulator takes any.
ANY = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}

# What becomes of a fault through Outcrop: of a stream, and of a whole answer.
THROUGH = {
    "text": (WHOLE, WHOLE),
    "tools": (WHOLE, WHOLE),
    "refused": ("AccessDeniedException", "AccessDeniedException"),
    "before": ("ThrottlingException", "ThrottlingException"),
    "after": ("ThrottlingException", "ThrottlingException"),
    "cut": ("ModelStreamErrorException", "ServiceUnavailableException"),
    "end": ("ModelStreamErrorException", "ServiceUnavailableException"),
    "failover": (WHOLE, WHOLE),
}

# The attempts of each SDK, as in docs/sdks.md.
ATTEMPTS = 3

# The faults that come after the first words of a stream.
AFTER_CONTENT = ["after", "cut", "end"]


def requests(emulator):
    return httpx.get(f"{emulator.address}/_emulator/requests", verify=False).json()["requests"]


def forget(emulator):
    httpx.delete(f"{emulator.address}/_emulator/requests", verify=False).raise_for_status()


@dataclass
class Results:
    """What the SDKs made of the matrix without TLS and over TLS, and the requests that the emulator got in each."""

    outcomes: dict = field(default_factory=dict)
    seen: dict = field(default_factory=dict)

    def each(self):
        for name, of_sdks in self.outcomes.items():
            for cases in of_sdks.values():
                yield from ((name, case, outcome) for case, outcome in cases)

    def regions(self, name, case):
        """The regions to which the requests of a case went, with what became of each."""
        return [(one["region"], one["outcome"]) for one in self.seen[name] if case.prompt in json.dumps(one["body"])]


@pytest.fixture(scope="module")
def alone(programs, setting):
    """The emulator alone."""
    results = Results()
    for name, place in setting.alone.items():
        forget(setting.emulators[name])
        results.outcomes[name] = programs.run(matrix, place, ANY)
        results.seen[name] = requests(setting.emulators[name])
    return results


@pytest.fixture(scope="module")
def through(programs, setting):
    """Through Outcrop, without TLS with signatures and over TLS with a Bedrock API key."""
    results = Results()
    for name, identity in {"clear": setting.signing, "tls": {"AWS_BEARER_TOKEN_BEDROCK": setting.api_key}}.items():
        forget(setting.emulator)
        results.outcomes[name] = programs.run(matrix, setting.through[name], identity)
        results.seen[name] = requests(setting.emulator)
    return results


def classes(case):
    """The class of a typed error in the language of an SDK. boto3 has one class for all exceptions within a stream."""
    name = THROUGH[case.fault][not case.is_stream]
    if case.sdk == "boto3" and case.is_stream and case.fault in AFTER_CONTENT:
        return "EventStreamError"
    return f"types.{name}" if case.sdk == "go" else name


@pytest.mark.parametrize("fault", FAULTS)
def test_every_sdk_gets_the_whole_answer_or_the_right_error(through, fault):
    checked = 0
    for name, case, outcome in through.each():
        if case.fault != fault:
            continue
        checked += 1
        of_case = f"{case.sdk}, {name}, {case.name}: {outcome}"
        assert outcome.result == THROUGH[fault][not case.is_stream], of_case
        if outcome.result == WHOLE:
            expected = ("", TOOL) if fault == "tools" else (TEXT, None)
            assert (outcome.text, outcome.tool) == expected, of_case
            continue
        assert outcome.error["class"] == classes(case), of_case
        assert outcome.error["message"], of_case
        if case.is_stream and fault in AFTER_CONTENT:
            assert outcome.text and TEXT.startswith(outcome.text), of_case
        else:
            assert not outcome.text and outcome.error["status"] in [403, 429, 503], of_case
    assert checked


@pytest.mark.parametrize("fault", ["text", "tools"])
def test_the_emulator_alone_answers_whole(alone, fault):
    for name, case, outcome in alone.each():
        if case.fault == fault:
            assert outcome.result == WHOLE and (outcome.text, outcome.tool) in [("", TOOL), (TEXT, None)], (name, case, outcome)


def test_outcrop_fails_over_and_the_sdk_makes_no_retry(through):
    for name, case, outcome in through.each():
        if case.fault == "failover":
            expected = [("us-east-1", "refused"), ("us-west-2", "completed")]
            assert through.regions(name, case) == expected, (name, case)


def test_without_outcrop_the_sdk_retries_in_vain(alone):
    for name, case, outcome in alone.each():
        if case.fault == "failover":
            assert outcome.result == "ThrottlingException", (case, outcome)
            assert alone.regions(name, case) == [("us-east-1", "refused")] * ATTEMPTS, (name, case)


@pytest.mark.parametrize("name", ["clear", "tls"])
def test_leaving_a_stream_reaches_bedrock(programs, setting, name):
    """Each in the way of its SDK. The SDK for JavaScript keeps the stream open if its loop is left and nothing is aborted."""
    identity = setting.signing if name == "clear" else {"AWS_BEARER_TOKEN_BEDROCK": setting.api_key}

    def check(sdk):
        left = [case for case in departures(sdk) if case.leave != "loop"]
        query = {"model": left[0].model, "outcome": "abandoned", "wait": len(left)}
        answer = httpx.get(f"{setting.emulator.address}/_emulator/requests", params=query, timeout=20)
        abandoned = answer.json()["requests"]
        assert answer.status_code == 200, (sdk, name, requests(setting.emulator))
        assert all(any(case.prompt in json.dumps(one["body"]) for one in abandoned) for case in left), (sdk, abandoned)
        looped = [one["outcome"] for one in requests(setting.emulator) if "loop: [emulator.sdk-endless]" in json.dumps(one["body"])]
        assert sdk != "javascript" or looped == ["running", "running"], looped

    forget(setting.emulator)
    for cases in programs.run(departures, setting.through[name], identity, while_running=check).values():
        for case, outcome in cases:
            assert outcome.error is None and (outcome.text.startswith("Every") or case.operation != "ConverseStream"), (case, outcome)


def one_call(sdk):
    return [Case(sdk, "Converse", "claude", "text")]


def test_a_wrong_identity_is_a_typed_error(programs, setting):
    key, secret = setting.signing["AWS_ACCESS_KEY_ID"], setting.signing["AWS_SECRET_ACCESS_KEY"]
    wrong = [
        ("clear", {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "x" * len(secret)}, "InvalidSignatureException"),
        ("clear", {**ANY}, "UnrecognizedClientException"),
        ("tls", {"AWS_BEARER_TOKEN_BEDROCK": setting.api_key[:-4] + "xxxx"}, "UnrecognizedClientException"),
    ]
    forget(setting.emulator)
    for name, identity, expected in wrong:
        for [(case, outcome)] in programs.run(one_call, setting.through[name], identity).values():
            assert (outcome.result, outcome.error["status"]) == (expected, 403), (case, outcome)
    assert requests(setting.emulator) == []


def test_the_sdk_signs_over_tls_too(programs, setting):
    for [(case, outcome)] in programs.run(one_call, setting.through["tls"], setting.signing).values():
        assert (outcome.result, outcome.text) == (WHOLE, TEXT), (case, outcome)


def test_no_secret_and_no_prompt_is_written(through, setting):
    written = "".join(log.read_text() for log in setting.logs)
    assert "ConverseStream" in written or "Generate" in written
    for secret in [setting.api_key, setting.signing["AWS_SECRET_ACCESS_KEY"], " asks ConverseStream", TEXT]:
        assert secret not in written


def test_the_document_has_the_table(programs, alone, through, request):
    if len(programs.sdks) < 4:
        pytest.skip(f"only {programs.sdks} can be built here, and the table has all")
    document, expected = written(programs.versions, list(alone.each()), list(through.each()))
    if request.config.getoption("--write"):
        document.write_text(expected)
    assert document.read_text() == expected, "docs/sdks.md differs. `pytest tests/sdks --write` writes its tables"
