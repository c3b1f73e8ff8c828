"""pydantic-ai: its agent streams, and calls the tool."""

import asyncio

from pydantic_ai import Agent

from cases import MODEL, find_island, run


def stream(prompt, on_piece):
    async def streamed():
        async with Agent(f"bedrock:{MODEL}").run_stream(prompt) as answer:
            async for text in answer.stream_text(delta=True, debounce_by=None):
                on_piece(text)
            return answer.response.finish_reason

    return asyncio.run(streamed())


def loop(prompt):
    return Agent(f"bedrock:{MODEL}", tools=[find_island]).run_sync(prompt).output


run("pydantic-ai-slim", {"pydantic-ai": (stream, loop)})
