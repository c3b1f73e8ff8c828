"""LiteLLM as a library. It has no agent, so the tool loop is written by hand, as its documentation does."""

import json
import os

# It would ask the network for prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from cases import DESCRIPTION, MODEL, SCHEMA, find_island, run

TOOLS = [{"type": "function", "function": {"name": "find_island", "description": DESCRIPTION, "parameters": SCHEMA}}]


def stream(prompt, on_piece):
    reason = None
    for chunk in litellm.completion(model=f"bedrock/{MODEL}", messages=[{"role": "user", "content": prompt}], stream=True):
        on_piece(chunk.choices[0].delta.content)
        reason = chunk.choices[0].finish_reason or reason
    return reason


def loop(prompt):
    messages = [{"role": "user", "content": prompt}]
    while True:
        answer = litellm.completion(model=f"bedrock/{MODEL}", messages=messages, tools=TOOLS).choices[0].message
        messages.append(answer)
        if not answer.tool_calls:
            return answer.content
        for call in answer.tool_calls:
            result = find_island(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


run("litellm", {"LiteLLM": (stream, loop)})
