"""Unmodified AWS SDKs in four languages, against the emulator alone and through Outcrop. `.ci/run` runs `pytest tests/sdks`.

OUTCROP_TARGET names the folder that cargo built into, SDK_PROGRAMS the one that `programs.py` built into; otherwise they are built here. With `--write` the tests write docs/sdks.md instead of comparing it.
"""

import json
import os
import re
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from cases import SCRIPTS, routes
from programs import TOOLS, Programs, build_all, do, missing

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
UPSTREAM = {"AWS_ACCESS_KEY_ID": "upstream", "AWS_SECRET_ACCESS_KEY": "upstream"}

def pytest_addoption(parser):
    parser.addoption("--write", action="store_true", help="write docs/sdks.md")

@dataclass
class Server:
    """A running program."""

    process: subprocess.Popen
    address: str

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

def start(program, *arguments, log, environment=None):
    quiet = {"PATH": os.environ["PATH"], "OUTCROP_LOG": "debug", "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
    with open(log, "w") as written:
        command = [str(part) for part in [TARGET / program, *arguments]]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True, env={**quiet, **(environment or {})})
    line = process.stdout.readline()
    match = re.fullmatch(r"listening on (\S+)\n", line)
    assert match, f"{command} printed {line!r}: {Path(log).read_text()}"
    return Server(process, match[1])

@dataclass
class Place:
    """Where the SDKs send their calls, and what they trust."""

    endpoint: str
    authority: Path | None
    # The emulator has none.
    has_routes: bool = True

@dataclass
class Setting:
    """The emulator alone and Outcrop in front of it, each in the clear and over TLS, and the keys of a caller."""

    # The one behind Outcrop.
    emulator: Server
    # The same, and one with TLS.
    emulators: dict
    alone: dict
    through: dict
    api_key: str
    signing: dict
    # What the servers have written.
    logs: list

@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    absent = {sdk: missing(sdk) for sdk in TOOLS if missing(sdk)}
    if absent and os.environ.get("CI_REQUIRE_SDKS"):
        pytest.fail(f"CI_REQUIRE_SDKS is set, and there are no tools for {absent}")
    if absent:
        print(f"skipped, because these are not installed: {absent}")
    folder = Path(os.environ.get("SDK_PROGRAMS") or tmp_path_factory.mktemp("programs"))
    sdks = [sdk for sdk in TOOLS if sdk not in absent] if "SDK_PROGRAMS" in os.environ else build_all(folder)
    return Programs(sdks, folder, tmp_path_factory.mktemp("logs") / "stderr.log")

def certificates(folder):
    """An authority, and a certificate of it for the loopback address."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"]
    do(*new, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-addext", "keyUsage=critical,keyCertSign")
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    issued = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-subj", "/CN=server", *names]
    do(*new, *issued, "-keyout", folder / "server.key", "-out", folder / "server.pem")
    (folder / "server.key").chmod(0o600)

def new_key(folder):
    """A caller with a key: the configuration with it, the API key, and its key pair."""
    command = [TARGET / "outcrop", "keys", "new", "--caller", "ada", "--sigv4", folder / "sigv4"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    line = re.search(r"^\s*(\{ id = .* \}),$", made.stderr, re.M)[1]
    (folder / "outcrop.toml").write_text(f'[[caller]]\nname = "ada"\nkeys = [{line}]\nnative_bodies = true\n')
    pair = dict(re.findall("^(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=(.*)$", made.stdout, re.M))
    api_key = re.search(r"^oc_\S+$", made.stdout, re.M)[0]
    return api_key, pair

@pytest.fixture(scope="session")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    (folder / "scripts").mkdir()
    for name, script in SCRIPTS.items():
        (folder / "scripts" / f"{name}.json").write_text(json.dumps(script))
    certificates(folder)
    api_key, signing = new_key(folder)
    emulated = ["--listen", "127.0.0.1:0", "--scripts", folder / "scripts"]
    flags = ["--bedrock-api", "--attempts", "2", "--config", folder / "outcrop.toml", "--sigv4-keys", folder / "sigv4"]
    flags += [part for route in routes() for part in ["--route", route]]
    tls = ["--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key"]
    with ExitStack() as stack:
        begin = lambda *arguments, **options: stack.enter_context(start(*arguments, **options))
        emulator = begin("bedrock-emulator", *emulated, log=folder / "emulator.log")
        own = folder / "emulator.pem"
        secure = begin("bedrock-emulator", *emulated, "--tls-certificate", own, log=folder / "emulator-tls.log")
        upstream = {**UPSTREAM, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.address}
        serve = ["outcrop", "serve", "--listen", "127.0.0.1:0", *flags]
        plain = begin(*serve, log=folder / "outcrop.log", environment=upstream)
        encrypted = begin(*serve, *tls, log=folder / "outcrop-tls.log", environment=upstream)
        yield Setting(
            emulator,
            {"clear": emulator, "tls": secure},
            {"clear": Place(emulator.address, None, False), "tls": Place(secure.address, own, False)},
            {"clear": Place(f"http://{plain.address}", None), "tls": Place(f"https://{encrypted.address}", folder / "ca.pem")},
            api_key,
            signing,
            [folder / "outcrop.log", folder / "outcrop-tls.log"],
        )
