"""The operations of a running emulator, below `/_emulator/`."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ._errors import EmulatorError, RequestsMissing
from .scripts import reply

#: A text, a script as JSON, or a list of these for consecutive requests.
Script = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]

# The services that the emulator answers, as `AWS_ENDPOINT_URL_…` names them.
SERVICES = ("BEDROCK_RUNTIME", "BEDROCK", "BEDROCK_AGENT_RUNTIME", "SERVICE_QUOTAS", "STS")

REGION = "us-east-1"

# A proxy of the environment is not asked.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Quota(TypedDict, total=False):
    """The limits of a model for `Emulator.quota`."""

    tokens: int
    requests: int
    streams: int
    burndown: int
    max_tokens: int
    retry_after: bool
    minute_ms: int


@dataclass(frozen=True)
class Request:
    """A request that arrived, and what became of its answer."""

    number: int
    #: Such as `ConverseStream`.
    operation: str
    model_id: str
    #: The body as JSON. `None` if it is not JSON.
    body: Any
    #: The HTTP status of the answer. `None` before it.
    status: int | None
    #: `running`, `completed`, `faulted`, `abandoned` or `refused`.
    outcome: str
    #: The region for which it was signed.
    region: str
    #: Bedrock's headers and those of traces.
    headers: dict[str, str]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Request:
        """From the JSON of the emulator."""
        same = {name: data[name] for name in ("number", "operation", "body", "status", "outcome", "region", "headers")}
        return cls(model_id=data["modelId"], **same)

    def __str__(self) -> str:
        return f"{self.operation} {self.model_id}: {self.outcome}, status {self.status}"


class Emulator:
    """An emulator at an endpoint, wherever it runs."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint.rstrip("/")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    def environment(self, region: str = REGION) -> dict[str, str]:
        """The variables with which SDKs and frameworks of AWS call the emulator, and nothing else."""
        endpoints = {f"AWS_ENDPOINT_URL_{service}": self.endpoint for service in SERVICES}
        return {
            **endpoints,
            # LiteLLM and Anthropic's client have variables of their own.
            "AWS_BEDROCK_RUNTIME_ENDPOINT": self.endpoint,
            "ANTHROPIC_BEDROCK_BASE_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "emulator",
            "AWS_SECRET_ACCESS_KEY": "emulator",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "bedrock-runtime", **options: Any) -> Any:
        """A client of boto3 for this emulator. The options are those of `boto3.client`; a read timeout of botocore's `Config` bounds `stall`."""
        try:
            from boto3.session import Session  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise EmulatorError("client() needs boto3: pip install 'bedrock-emulator[boto3]'") from error
        session = Session(aws_access_key_id="emulator", aws_secret_access_key="emulator", region_name=REGION)
        return session.client(service, **{"endpoint_url": self.endpoint, **options})

    def script(self, model: str, script: Script, region: str | None = None) -> None:
        """Answers requests for this model id or ARN with a script, until `reset`. Of a list each request gets the next one, and the last one
        is repeated. With a region, only requests that were signed for it."""
        one = isinstance(script, (str, Mapping))
        scripts = [reply(part) if isinstance(part, str) else part for part in ([script] if one else script)]
        self._call("PUT", f"scripts/{_path(model, region)}", scripts)

    def remove_script(self, model: str, region: str | None = None) -> None:
        """Removes what `script` has set."""
        self._call("DELETE", f"scripts/{_path(model, region)}")

    def faults(self, **shares: float) -> None:
        """Gives this share of the requests a fault, from 0 to 1: `throttle`, `unavailable`, `internal`, `exception`, `end`, `cut`, `reset`, `stall`,
        `corrupt`. It replaces the shares that were set before; without any there are none."""
        self._call("PUT", "faults", shares)

    def quota(self, model: str, region: str | None = None, **limits: Any) -> None:
        """Enforces the quota of a model, with its counts at zero. The limits are those of `Quota`; without any the quota is removed."""
        path = f"quotas/{_path(model, region)}"
        self._call("PUT", path, limits) if limits else self._call("DELETE", path)

    def quotas(self) -> list[dict[str, Any]]:
        """The quotas and what was used of each."""
        return list(self._call("GET", "quotas"))

    def requests(self, *, operation: str | None = None, model: str | None = None, outcome: str | None = None) -> list[Request]:
        """The last 1,000 requests since the reset, from the oldest to the newest."""
        return self._requests({"operation": operation, "model": model, "outcome": outcome})

    def wait_for_requests(
        self, count: int = 1, *, operation: str | None = None, model: str | None = None, outcome: str | None = None, timeout: float = 10.0
    ) -> list[Request]:
        """Waits until there are so many requests, and returns them.

        Raises `RequestsMissing` after `timeout` seconds."""
        wanted = {"operation": operation, "model": model, "outcome": outcome}
        found = self._requests({**wanted, "wait": count, "timeout_ms": int(timeout * 1000)}, timeout + 10)
        if len(found) < count:
            which = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value)
            everything = "".join(f"\n  {request}" for request in self.requests()) or " none"
            raise RequestsMissing(f"{len(found)} of {count} requests came within {timeout} s ({which or 'any'}). All requests:{everything}")
        return found

    def reset(self) -> None:
        """The state at the start: no requests and no scripts, and the faults and quotas of the command line."""
        self._call("POST", "reset")

    def _requests(self, query: Mapping[str, Any], timeout: float = 30) -> list[Request]:
        given = {name: value for name, value in query.items() if value is not None}
        return [Request.of(one) for one in self._call("GET", f"requests?{urllib.parse.urlencode(given)}", timeout=timeout)["requests"]]

    def _call(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_emulator/{path}", data, {"content-type": "application/json"}, method=method)
        try:
            with _OPENER.open(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            # The requests so far, after the time to wait for more.
            if error.code != 408:
                raise EmulatorError(f"{method} /_emulator/{path}: {_message(text)}") from None
        except OSError as error:
            raise self._unreachable(error) from error
        return json.loads(text) if text else None

    def _unreachable(self, error: OSError) -> EmulatorError:
        return EmulatorError(f"no emulator answers at {self.endpoint}: {error}")


def _path(model: str, region: str | None) -> str:
    return urllib.parse.quote(f"{model}@{region}" if region else model, safe="/:@")


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")
