"""As stream.py, with asyncio."""

import asyncio
import sys

from common import endpoint

from outcrop import aio, v1


async def main():
    async with aio.Client(**endpoint()) as client:
        async with client.generate(prompt=" ".join(sys.argv[1:]) or "hi") as stream:
            async for text in stream.text():
                print(text, end="", flush=True)
            answer = await stream.answer()
        print()
        print(v1.StopReason.Name(answer.finish.stop_reason), answer.finish.usage.output_tokens, "output tokens")


asyncio.run(main())
