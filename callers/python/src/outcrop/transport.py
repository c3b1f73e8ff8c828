"""What both clients share: the endpoint, the options of the channel, the headers of a call, and the checks of a stream."""

import ipaddress
from importlib import resources
from urllib.parse import urlsplit

import grpc

from outcrop import v1
from outcrop.answer import Collector
from outcrop.errors import broken_contract

OPTIONS = [
    # The retry policy of callers: only UNAVAILABLE and RESOURCE_EXHAUSTED, only before content, with the delay that the server names.
    ("grpc.service_config", resources.files("outcrop").joinpath("service_config.json").read_text()),
    # Pings during a call notice a connection that is gone. The server allows them.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Images and documents are larger than the default of 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.primary_user_agent", "outcrop-python/0.1.0"),
]


class Endpoint:
    """An address with its security. Without a scheme it has no TLS on this machine, and TLS elsewhere."""

    def __init__(self, endpoint, *, api_key=None, ca=None, certificate=None, private_key=None, retries=True, insecure_key_over_plaintext=False):
        has_scheme = "://" in endpoint
        parts = urlsplit(endpoint if has_scheme else f"//{endpoint}")
        host = parts.hostname or ""
        scheme = parts.scheme or ("http" if _is_loopback(host) else "https")
        if scheme not in ("http", "https") or not host or parts.path not in ("", "/"):
            raise ValueError(f"{endpoint!r} is not an endpoint: write http://HOST:PORT (not encrypted) or https://HOST:PORT (TLS)")
        if bool(certificate) != bool(private_key):
            raise ValueError("a certificate and its private key belong together, and one is missing")
        self.is_encrypted = scheme == "https"
        if not self.is_encrypted and (ca or certificate):
            raise ValueError(f"{endpoint!r} is not encrypted, so certificates have no effect. Write https://")
        if api_key is not None:
            _check_key(api_key)
            if not self.is_encrypted and not _is_loopback(host) and not insecure_key_over_plaintext:
                raise ValueError(
                    f"{endpoint!r} is not encrypted, so others on the network could read the API key. "
                    "Write https://, or allow it with insecure_key_over_plaintext=True"
                )
        self.options = [*OPTIONS, ("grpc.enable_retries", int(retries))]
        port = parts.port or (443 if self.is_encrypted else 80)
        self.target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.metadata = [("authorization", f"Bearer {api_key}")] if api_key is not None else []
        self.credentials = grpc.ssl_channel_credentials(ca, private_key, certificate) if self.is_encrypted else None


def _check_key(key):
    if not key or not all("!" <= c <= "~" for c in key):
        raise ValueError("the API key is empty, or has spaces or characters that are not ASCII")


def _is_loopback(host):
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def request_of(request, fields):
    """A request from a message, from fields, or from both. The message of the caller is not changed."""
    made = v1.GenerateRequest()
    if request is not None:
        made.CopyFrom(request)
    made.MergeFrom(v1.GenerateRequest(**fields))
    return made


class Progress:
    """The state of one answer. It checks the contract: a gap in `sequence` or a missing `finish` is an error."""

    def __init__(self, on_finish=None):
        self._collector = Collector()
        self._next = 0
        self._on_finish = on_finish
        self.is_finished = False

    @property
    def phase(self):
        """Chunk 0 is `start`, which is sent with the first content."""
        return "after_content" if self._next > 0 else "before_content"

    def add(self, chunk):
        kind = chunk.WhichOneof("event")
        if kind == "heartbeat":
            return
        if self.is_finished:
            raise broken_contract("a chunk arrived after the finish", self.phase)
        if chunk.sequence != self._next:
            raise broken_contract(f"chunk {chunk.sequence} arrived, and {self._next} was expected", self.phase)
        self._next += 1
        self._collector.add(chunk)
        if kind == "finish":
            self.is_finished = True

    def end(self):
        """The status is OK."""
        if not self.is_finished:
            raise broken_contract("the stream ended without a finish and without an error", self.phase)
        if self._on_finish is not None:
            self._on_finish(self.answer().finish)
            self._on_finish = None

    def answer(self):
        return self._collector.answer()
