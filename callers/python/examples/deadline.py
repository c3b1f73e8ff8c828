"""A deadline for the whole stream."""

from common import endpoint, show

from outcrop import Client, OutcropError

with Client(**endpoint()) as client:
    try:
        with client.generate(model="emulator.endless", prompt="hi", timeout=1) as stream:
            stream.answer()
    except OutcropError as error:
        show(error)
