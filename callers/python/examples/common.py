"""Where the server is: OUTCROP_ENDPOINT, OUTCROP_API_KEY, and OUTCROP_CA with the authorities to trust."""

import os
from pathlib import Path


def endpoint():
    """The arguments of a client."""
    security = {}
    if key := os.environ.get("OUTCROP_API_KEY"):
        security["api_key"] = key
    if ca := os.environ.get("OUTCROP_CA"):
        security["ca"] = Path(ca).read_bytes()
    return {"endpoint": os.environ.get("OUTCROP_ENDPOINT", "localhost:50051"), **security}


def show(error):
    """Prints what a program can decide by."""
    retry = "no retry" if error.retry_delay is None else "retry"
    print(error.reason, error.code.name, error.phase, retry)
    for violation in error.violations:
        print("  field", violation.field)
    for violation in error.quota_violations:
        print("  quota", violation.subject)
