"""The cases that every framework runs, at every address, in one process, because frameworks import slowly.

The program of a framework gives two functions: `stream(prompt, on_piece)` streams an answer, calls `on_piece` with each text and returns
what the framework says of the end; `loop(prompt)` lets the framework call the tool `find_island` and returns its final text. They make
their clients anew, with the arguments that an application has: the address and the credentials come from environment variables.

The first argument is a JSON object: `ways` has the environment variables of each address, and its cases if they are not all; `history` is
the address of the emulator, which knows the answers that are running. Each result is a line of JSON.
"""

import gc
import json
import logging
import os
import sys
import traceback
import urllib.request
from importlib.metadata import version
from typing import Literal

# Frameworks judge ids, so it is that of a real model.
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

FAULTS = ["end", "cut", "reset", "corrupt", "exception"]

# For frameworks that take a JSON schema rather than a function.
DESCRIPTION = "Tells where an island is."
SCHEMA = {
    "type": "object",
    "properties": {"island": {"type": "string", "enum": ["Skye", "Iona"]}},
    "required": ["island"],
}

# What the tool was called with, in this case.
CALLS = []


def find_island(island: Literal["Skye", "Iona"]) -> str:
    """Tells where an island is.

    Args:
        island: Its name.
    """
    CALLS.append(island)
    return f"{island} lies in the Inner Hebrides."


def is_running(history, prompt):
    """Whether the emulator is still sending the answer to this prompt."""
    with urllib.request.urlopen(f"{history}/_emulator/requests?outcome=running") as answer:
        return prompt in answer.read().decode()


def streamed(stream, history, prompt):
    pieces, early = [], []

    def on_piece(text):
        if text:
            if not pieces:
                early.append(is_running(history, prompt))
            pieces.append(text)

    try:
        reason = stream(prompt, on_piece)
    except Exception as error:
        return {"pieces": pieces, "error": type(error).__name__, "message": str(error)[:1000]}
    return {"pieces": pieces, "reason": reason, "early": early == [True]}


def looped(loop, prompt):
    CALLS.clear()
    try:
        text = loop(prompt)
    except Exception:
        return {"error": traceback.format_exc()[-2000:]}
    return {"text": text, "calls": list(CALLS)}


def run(package, functions):
    """Runs the cases of each name of `functions`, which are clients of this package."""
    logging.disable(logging.ERROR)
    asked = json.loads(sys.argv[1])
    marks = {"text": "", "loop": " [emulator.call]", **{fault: f" [emulator.{fault}]" for fault in FAULTS}}
    for way, given in asked["ways"].items():
        os.environ.update(given["variables"])
        for name, (stream, loop) in functions.items():
            for case in given.get("cases", marks):
                # The history of the emulator finds a request by its prompt, and no two requests are the same.
                prompt = f"Tell {name} {way} the {case} of the voyage to the islands, with all winds and all harbours, please{marks[case]}"
                result = looped(loop, prompt) if case == "loop" else streamed(stream, asked["history"], prompt)
                line = {"name": name, "version": version(package), "way": way, "case": case, "prompt": prompt, **result}
                print(json.dumps(line), flush=True)
                # LiteLLM does not close a stream that failed. If the collector closes it while the next request holds the lock of httpcore's pool,
                # that request waits forever.
                gc.collect()
