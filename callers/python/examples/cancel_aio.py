"""As cancel.py, with asyncio. Cancelling the task that reads cancels the call too."""

import asyncio
import sys

from common import endpoint, show

from outcrop import OutcropError, aio


async def main():
    async with aio.Client(**endpoint()) as client:
        async with client.generate(model="emulator.endless", prompt="hi") as stream:
            async for text in stream.text():
                break
            if "--wait" in sys.argv:
                await asyncio.to_thread(input, "left the loop, and the call goes on\n")
            stream.cancel()
            try:
                await stream.answer()
            except OutcropError as error:
                show(error)
        task = asyncio.create_task(read(client))
        await asyncio.sleep(0.5)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("left")


async def read(client):
    async with client.generate(model="emulator.endless", prompt="hi") as stream:
        await stream.answer()


asyncio.run(main())
