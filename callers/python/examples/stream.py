"""Prints the text of an answer as it arrives, and then why it ended."""

import sys

from common import endpoint

from outcrop import Client, v1

with Client(**endpoint()) as client:
    with client.generate(prompt=" ".join(sys.argv[1:]) or "hi") as stream:
        for text in stream.text():
            print(text, end="", flush=True)
        answer = stream.answer()
    print()
    print(v1.StopReason.Name(answer.finish.stop_reason), answer.finish.usage.output_tokens, "output tokens")
