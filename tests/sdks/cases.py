"""What each SDK is asked: the scripts of the emulator, and the matrix of operations, formats and faults."""

import itertools
import json
from dataclasses import dataclass

TEXT = "Every word of this answer arrives."
TOOL = {"name": "get_weather", "input": {"city": "Paris", "days": 3}}
SAID = "Too many tokens, please wait before trying again."


def event(kind, **payload):
    return {"event": {"type": kind, "payload": payload}}


START = event("messageStart", role="assistant")
WORDS = [event("contentBlockDelta", contentBlockIndex=0, delta={"text": word}) for word in TEXT.split(" ")]
WORDS[1:] = [event("contentBlockDelta", contentBlockIndex=0, delta={"text": f" {word}"}) for word in TEXT.split(" ")[1:]]
USAGE = event("metadata", usage={"inputTokens": 9, "outputTokens": 7, "totalTokens": 16}, metrics={"latencyMs": 5})
ENDING = [event("contentBlockStop", contentBlockIndex=0), event("messageStop", stopReason="end_turn"), USAGE]
WHOLE = [START, *WORDS, *ENDING]


def tool_call():
    """The events of a tool call, with its input in pieces that are not JSON."""
    text = json.dumps(TOOL["input"])
    start = {"toolUse": {"toolUseId": "tooluse_1", "name": TOOL["name"]}}
    pieces = [event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": text[at : at + 7]}}) for at in range(0, len(text), 7)]
    ending = [event("contentBlockStop", contentBlockIndex=0), event("messageStop", stopReason="tool_use"), USAGE]
    return [START, event("contentBlockStart", contentBlockIndex=0, start=start), *pieces, *ending]


def throttled_after(steps):
    return {"steps": [*steps, {"exception": {"type": "throttlingException", "message": SAID}}]}


# By file name in the emulator's folder of scripts. Those with a region are what the emulator answers there.
SCRIPTS = {
    "sdk-text": {"steps": WHOLE},
    "sdk-tools": {"steps": tool_call()},
    "sdk-refused": {"refuse": {"status": 403, "exception": "AccessDeniedException", "message": "No access to this model."}},
    "sdk-before": throttled_after([]),
    "sdk-after": throttled_after(WHOLE[:4]),
    "sdk-cut": {"steps": WHOLE, "fault": {"kind": "cut", "at": {"event": 4}}},
    # All of the text, and then the end of the body without a stop reason. Cohere's stream has no frames but those of its words before.
    "sdk-end": {"steps": WHOLE, "fault": {"kind": "end", "at": {"event": len(WHOLE) - 2}}},
    "sdk-end-cohere": {"steps": WHOLE, "fault": {"kind": "end", "at": {"event": len(WORDS)}}},
    "sdk-failover": {"steps": WHOLE},
    "sdk-failover@us-east-1": {"refuse": {"status": 429, "exception": "ThrottlingException", "message": SAID}},
    "sdk-endless": {"steps": [START, {"repeat": {"times": 1_000_000, "steps": [WORDS[0]]}}], "pace": {"first_ms": 0, "gap_ms": 50}},
}

FAULTS = ["text", "tools", "refused", "before", "after", "cut", "end", "failover"]

STREAMS = ["ConverseStream", "InvokeModelWithResponseStream"]
OPERATIONS = ["ConverseStream", "Converse", "InvokeModelWithResponseStream", "InvokeModel"]

# A model of each format for each SDK, because the circuit breaker of a target opens after five failures in a row.
MODELS = {
    "boto3": ("anthropic.claude-3-haiku-20240307-v1:0", "cohere.command-text-v14"),
    "javascript": ("anthropic.claude-3-5-haiku-20241022-v1:0", "cohere.command-text-v14"),
    "go": ("anthropic.claude-3-sonnet-20240229-v1:0", "cohere.command-light-text-v14"),
    "java": ("anthropic.claude-3-opus-20240229-v1:0", "cohere.command-light-text-v14"),
}


@dataclass(frozen=True)
class Case:
    """A request of an SDK, and the script that answers it."""

    sdk: str
    operation: str
    format: str
    fault: str
    leave: str = ""

    @property
    def name(self):
        return " ".join([self.operation, self.format, self.fault, self.leave]).strip()

    @property
    def model(self):
        return MODELS[self.sdk][self.format == "cohere"]

    @property
    def is_stream(self):
        return self.operation in STREAMS

    def body(self):
        if self.format == "cohere":
            return {"prompt": self.prompt, "max_tokens": 100, **({"stream": True} if self.is_stream else {})}
        messages = [{"role": "user", "content": self.prompt}]
        return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages}

    @property
    def prompt(self):
        """Names the case, and the script that answers it."""
        script = self.fault + ("-cohere" if (self.fault, self.format) == ("end", "cohere") else "")
        return f"{self.sdk} asks {self.name}: [emulator.sdk-{script}]"

    def asked(self, has_routes):
        """The case for a program. The SDK makes its own retries where a region throttles."""
        is_routed = has_routes and self.fault == "failover"
        return {
            "case": self.name,
            "operation": self.operation,
            "model": route(self.sdk, self.format) if is_routed else self.model,
            "prompt": self.prompt,
            "body": json.dumps(self.body()),
            "leave": self.leave,
            "once": self.fault != "failover",
        }


def route(sdk, format):
    return f"{sdk}-{format}"


def routes():
    """The routes of Outcrop: a model in its own region, and then in another."""
    for (sdk, models), at in itertools.product(MODELS.items(), [0, 1]):
        yield f"{route(sdk, ['claude', 'cohere'][at])}={models[at]},{models[at]}@us-west-2"


def matrix(sdk):
    """The cases of an SDK. Cohere's format has no tool calls."""
    for operation, format, fault in itertools.product(OPERATIONS, ["claude", "cohere"], FAULTS):
        is_native = operation.startswith("Invoke")
        if format == "claude" or (is_native and fault != "tools"):
            yield Case(sdk, operation, format, fault)


def departures(sdk):
    """The cases in which the application leaves a stream that does not end, in each way that the SDK has."""
    for operation in STREAMS:
        for leave in ["abort", "loop"] if sdk == "javascript" else ["close"]:
            yield Case(sdk, operation, "claude", "endless", leave)
