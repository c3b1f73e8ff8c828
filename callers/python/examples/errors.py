"""Calls that fail, before and after content: `errors.py [--heartbeats] [--no-retries] MODEL...`. Without a model, an invalid request."""

import sys

from common import endpoint, show

from outcrop import Client, OutcropError, Reason

models = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
fields = {}
if "--heartbeats" in sys.argv:
    fields["heartbeat_interval"] = {"nanos": 100_000_000}

with Client(**endpoint(), retries="--no-retries" not in sys.argv) as client:
    for model in models or [""]:
        invalid = {} if model else {"inference_config": {"temperature": 3, "max_tokens": 0}}
        try:
            with client.generate(model=model, prompt="hi", **invalid, **fields) as stream:
                stream.answer()
            print("OK")
        except OutcropError as error:
            show(error)
            match error.reason:
                case Reason.INVALID_REQUEST:
                    print("  correct the request")
                case Reason.QUOTA_EXHAUSTED | Reason.BEDROCK_THROTTLED:
                    print("  try again later")
                case Reason.BUDGET_EXHAUSTED:
                    print("  wait for the next day or month, or ask for more")
                case _ if error.phase == "after_content":
                    print("  discard what has arrived")
