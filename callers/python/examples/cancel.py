"""Cancels after the first text. Leaving the loop alone does not cancel: `with` or `cancel` does. `--wait` waits for a line in between."""

import sys

from common import endpoint, show

from outcrop import Client, OutcropError

with Client(**endpoint()) as client:
    with client.generate(model="emulator.endless", prompt="hi") as stream:
        for text in stream.text():
            break
        if "--wait" in sys.argv:
            input("left the loop, and the call goes on\n")
        stream.cancel()
        try:
            stream.answer()
        except OutcropError as error:
            show(error)
    with client.generate(model="emulator.endless", prompt="hi") as stream:
        for text in stream.text():
            break
print("left")
