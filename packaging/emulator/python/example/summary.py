"""The code under test: it knows nothing of the emulator."""

import boto3
from botocore.exceptions import ClientError

MODEL = "us.amazon.nova-lite-v1:0"


class Incomplete(Exception):
    """The answer ended before its end. boto3 raises nothing then."""


def summary(text):
    """A summary by the model, or `None` if Bedrock has no capacity now."""
    client = boto3.client("bedrock-runtime")
    try:
        answer = client.converse_stream(modelId=MODEL, messages=[{"role": "user", "content": [{"text": f"Summarize: {text}"}]}])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ThrottlingException":
            return None
        raise
    parts, reason = [], None
    for event in answer["stream"]:
        parts.append(event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""))
        reason = event.get("messageStop", {}).get("stopReason", reason)
    if reason is None:
        raise Incomplete("".join(parts))
    return "".join(parts)
