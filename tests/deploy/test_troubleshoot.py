"""docs/troubleshoot.md quotes what the programs say: every text is in the sources, and the main ones come from a run."""

import re
import socket

import pytest

from conftest import ROOT, outcrop

DOCUMENT = (ROOT / "docs/troubleshoot.md").read_text()
# Each row, and the texts that it quotes in its first column.
QUOTED = [text for row in re.findall(r"^\| (`.*?) \| ", DOCUMENT, re.MULTILINE) for text in re.findall(r"`([^`]+)`", row)]


def flat(text):
    """Rust, with the texts that continue on the next line in one."""
    return re.sub(r"\s+", " ", re.sub(r"\\\n\s*", "", text))


def parts(text):
    """What is between the ellipses."""
    return [part.strip() for part in text.split("…") if len(part.strip()) > 3]


def test_every_text_is_in_the_sources():
    sources = "\n".join(flat(path.read_text()) for folder in ("src", "secret-file/src") for path in (ROOT / folder).rglob("*.rs"))
    # Constants, which the texts have in them.
    sources = sources.replace("{API_KEY}", "AWS_BEARER_TOKEN_BEDROCK")
    assert len(QUOTED) >= 20, QUOTED
    for text in QUOTED:
        assert parts(text), text
        for part in parts(text):
            assert part in sources, f"the programs do not say {part!r}"


def refusal(*arguments, **variables):
    done = outcrop(*arguments, check=False, **variables)
    assert done.returncode in (1, 2)
    return done.stderr


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_the_main_texts_come_from_a_run(folder, taken):
    password = folder / "password"
    password.write_text("swordfish\n")
    password.chmod(0o644)
    none = dict.fromkeys(["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    said = "\n".join([
        refusal("check", **none),
        refusal("check", "--listen", "0.0.0.0:0"),
        refusal("check", "--local"),
        refusal("check", "--conversations", "redis://localhost", "--conversations-password-file", password),
        refusal("check", "--conversations", "memory", "--conversations-password-file", password),
        refusal("serve", "--listen", taken),
        refusal("serve", "--listen", "127.0.0.1:0", "--audit-log", "/proc/audit"),
    ])
    produced = [text for text in QUOTED if all(part in said for part in parts(text))]
    # All texts about the start but that about missing authorities, which every machine with tests has.
    start = DOCUMENT.split("## The server starts")[0]
    expected = [text for text in QUOTED if f"`{text}`" in start and "certificates of authorities" not in text]
    assert sorted(produced) == sorted(expected)
