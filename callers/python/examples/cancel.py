"""Cancels after the first text. Leaving the loop alone would not cancel: `with` or `cancel` does."""

from common import endpoint, show

from outcrop import Client, OutcropError

with Client(**endpoint()) as client:
    with client.generate(model="emulator.endless", prompt="hi") as stream:
        for text in stream.text():
            break
        stream.cancel()
        try:
            stream.answer()
        except OutcropError as error:
            show(error)
    with client.generate(model="emulator.endless", prompt="hi") as stream:
        for text in stream.text():
            break
print("left")
