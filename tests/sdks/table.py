"""The tables of docs/sdks.md: each fault, by what the application sees of it alone and through Outcrop."""

import re
from pathlib import Path

from cases import FAULTS, STREAMS
from outcomes import SILENT, WHOLE

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/sdks.md"

NAMES = {"boto3": "boto3", "javascript": "JavaScript", "go": "Go", "java": "Java"}

FAULT_NAMES = {
    "text": "text",
    "tools": "tool call",
    "refused": "HTTP error",
    "before": "exception before content",
    "after": "exception after content",
    "cut": "connection cut",
    "end": "end without a stop reason",
    "failover": "region throttled",
}


WORDS = {WHOLE: "whole answer", SILENT: "**no error**"}


def cell(outcomes):
    """What an application sees. Of errors that are not of the service the class depends on where the connection broke."""
    operations = {}
    for operation, result in outcomes:
        is_of_client = result.startswith("(") or result == "Error"
        words = "error of the client" if is_of_client else WORDS.get(result, result)
        if operation not in operations.setdefault(words, []):
            operations[words].append(operation)
    if len(operations) == 1:
        return next(iter(operations))
    return ", ".join(f"{words} ({' and '.join(of)})" for words, of in operations.items())


def rows(alone, through, operations):
    """The rows of a table: SDKs with the same cells share one."""
    for fault in FAULTS:
        cells = {}
        for sdk in NAMES:
            of = lambda results, place: cell(
                (case.operation, outcome.result)
                for name, case, outcome in results
                if (name, case.sdk, case.fault) == (place, sdk, fault) and case.operation in operations
            )
            columns = of(alone, "clear"), of(alone, "tls"), of(through, "tls")
            assert columns[2] == of(through, "clear"), (sdk, fault)
            cells.setdefault(columns, []).append(NAMES[sdk])
        for columns, sdks in cells.items():
            names = "all" if len(sdks) == len(NAMES) else ", ".join(sdks)
            yield f"| {FAULT_NAMES[fault]} | {names} | {' | '.join(columns)} |"


def table(alone, through, operations):
    head = ["| the answer of Bedrock | SDK | alone, without TLS | alone, over TLS | through Outcrop |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows(alone, through, operations)])


def written(versions, alone, through):
    """The document, and its text with the tables of these results."""
    whole = ["Converse", "InvokeModel"]
    made = {
        "versions": f"With {', '.join(versions[sdk] for sdk in NAMES)}, all with their defaults.",
        "streams": table(alone, through, STREAMS),
        "whole": table(alone, through, whole),
    }
    text = DOCUMENT.read_text()
    for name, content in made.items():
        pattern = rf"(<!-- {name}: made by tests/sdks -->\n\n).*?(\n\n<!-- end -->)"
        text, count = re.subn(pattern, lambda found: f"{found[1]}{content}{found[2]}", text, flags=re.S)
        assert count == 1, f"docs/sdks.md has {count} places for {name}"
    return DOCUMENT, text
