"""LlamaIndex: its client of Converse, and its agent for functions."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.bedrock_converse import BedrockConverse

from cases import MODEL, find_island, run


def stream(prompt, on_piece):
    reason = None
    for answer in BedrockConverse(model=MODEL).stream_complete(prompt):
        on_piece(answer.delta)
        reason = (answer.raw or {}).get("messageStop", {}).get("stopReason", reason)
    return reason


def loop(prompt):
    async def looped():
        return str(await FunctionAgent(tools=[find_island], llm=BedrockConverse(model=MODEL)).run(prompt))

    return asyncio.run(looped())


run("llama-index-llms-bedrock-converse", {"LlamaIndex, BedrockConverse": (stream, loop)})
