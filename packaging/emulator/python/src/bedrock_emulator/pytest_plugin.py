"""The fixture `bedrock` for pytest.

The process is started for the session, when a test first asks for it; with pytest-xdist each worker has its own. Each test gets it in the state of its
start, and an environment in which SDKs of AWS call nothing else.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator

import pytest

from ._emulator import REGION
from ._process import Process, start

# What would lead an SDK elsewhere, or have it ask for other credentials.
REMOVED = (
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("bedrock_emulator_args", "flags of bedrock-emulator for the fixture `bedrock`", default="")
    parser.addini("bedrock_emulator_pace", "the pauses of ordinary models, FIRST,GAP in milliseconds", default="0,0")


@pytest.fixture(scope="session")
def bedrock_process(pytestconfig: pytest.Config) -> Iterator[Process]:
    """The emulator of this session, or of this worker of pytest-xdist. Tests use `bedrock`."""
    arguments = shlex.split(pytestconfig.getini("bedrock_emulator_args"))
    with start(arguments, pytestconfig.getini("bedrock_emulator_pace")) as process:
        yield process


@pytest.fixture
def bedrock(bedrock_process: Process, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Amazon Bedrock for this test: an emulator in the state of its start, which SDKs call that are configured by the environment."""
    bedrock_process.check()
    bedrock_process.reset()
    for name in REMOVED:
        monkeypatch.delenv(name, raising=False)
    for name, value in bedrock_process.environment(REGION).items():
        monkeypatch.setenv(name, value)
    # Files of the user can have endpoints and credentials too.
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1"])))
    if boto3 := sys.modules.get("boto3"):
        # It keeps credentials and configuration from before.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return bedrock_process
