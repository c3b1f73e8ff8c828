"""Tokens of a real OpenID Connect provider: dex issues them, rotates its keys, and goes away."""

import threading
import time

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from conftest import SERVICE, outcrop
from provider import Dex, encode, part

# For how long a server accepts a token after `exp`, in seconds.
SKEW = 60

CONFIG = """
[[issuer]]
issuer = "{issuer}"
audiences = ["outcrop"]
algorithms = ["RS256"]
ca = "{ca}"

[[caller]]
name = "billing"
jwt = [{{ issuer = "{issuer}", claims = {{ groups = "billing" }} }}]
"""


class Caller:
    """Calls a server with tokens."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        method = pool.FindServiceByName(SERVICE).FindMethodByName("Generate")
        self.request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        path = f"/{SERVICE}/Generate"
        self.generate = self.channel.unary_stream(path, self.request.SerializeToString, answer.FromString)

    def call(self, token, prompt="hi"):
        """The chunks of an answer."""
        metadata = [("authorization", f"Bearer {token}")]
        request = json_format.ParseDict({"prompt": prompt}, self.request())
        return list(self.generate(request, metadata=metadata, timeout=30))

    def refused(self, token):
        """The code and the reason of a refusal."""
        with pytest.raises(grpc.RpcError) as raised:
            self.call(token)
        details = rpc_status.from_call(raised.value).details
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in details), details
        assert token not in str(raised.value) and part(token, 1)["sub"] not in str(raised.value)
        return raised.value.code().name, info.reason


def attempt(caller, token):
    """The code of a call."""
    try:
        caller.call(token)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def is_answered(chunks):
    return chunks[-1].WhichOneof("event") == "finish"


def start(dex, folder):
    """A server that accepts tokens of dex."""
    config = folder / "outcrop.toml"
    config.write_text(CONFIG.format(issuer=dex.issuer, ca=dex.ca))
    server = outcrop("--local", "--config", str(config))
    return server, Caller(server.address)


@pytest.fixture(scope="module")
def dex(tmp_path_factory):
    provider = Dex(tmp_path_factory.mktemp("dex"), signing_keys="1h", tokens="1h")
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def caller(dex, tmp_path_factory):
    server, caller = start(dex, tmp_path_factory.mktemp("outcrop"))
    yield caller
    caller.channel.close()
    server.stop()


def test_a_call_with_a_token_is_answered(dex, caller):
    for _ in range(3):
        assert is_answered(caller.call(dex.token()))


def test_a_token_for_another_application_is_refused(dex, caller):
    token = dex.token(client="other")
    assert part(token, 1)["aud"] == "other"
    assert caller.refused(token) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_a_token_without_the_claims_of_a_caller_is_refused(dex, caller):
    token = dex.token(user="eve")
    assert part(token, 1)["groups"] == ["visitors"]
    assert caller.refused(token) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_a_changed_token_is_refused(dex, caller):
    token = dex.token(user="eve")
    header, claims, signature = token.split(".")
    promoted = encode({**part(token, 1), "groups": ["billing"]})
    unsigned = encode({"alg": "none"})
    for forged in [f"{header}.{promoted}.{signature}", f"{unsigned}.{promoted}.", f"{unsigned}.{claims}.{signature}"]:
        assert caller.refused(forged) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_calls_go_on_while_the_provider_is_away_and_when_it_is_back_with_other_keys(tmp_path_factory):
    provider = Dex(tmp_path_factory.mktemp("dex"), signing_keys="1h", tokens="1h")
    servers = []
    try:
        servers.append(start(provider, tmp_path_factory.mktemp("outcrop")))
        old = provider.token()
        assert is_answered(servers[0][1].call(old))
        provider.stop()
        assert is_answered(servers[0][1].call(old)), "the keys are known"
        # A server starts without the provider, and accepts no token that it cannot verify.
        servers.append(start(provider, tmp_path_factory.mktemp("outcrop")))
        assert servers[1][1].refused(old) == ("UNAVAILABLE", "IDENTITY_PROVIDER")
        provider.start()
        new = provider.token()
        assert part(new, 0)["kid"] != part(old, 0)["kid"]
        assert is_answered(servers[0][1].call(new)), "an unknown key is looked up at once"
        assert servers[0][1].refused(old) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID"), "its key is gone"
        # The other server asks again some seconds after it had no answer.
        while (answered := attempt(servers[1][1], new)) == "UNAVAILABLE":
            time.sleep(1)
        assert answered == "OK"
    finally:
        for server, caller in servers:
            caller.channel.close()
            server.stop()
        provider.stop()


def test_calls_go_on_while_the_provider_rotates_its_keys_and_tokens_of_old_keys_end(tmp_path_factory):
    # A key is published for 28 s after its last token, and removed at the next rotation: 60 s after the start.
    provider = Dex(tmp_path_factory.mktemp("dex"), signing_keys="1s", tokens="28s")
    server, caller = start(provider, tmp_path_factory.mktemp("outcrop"))
    try:
        first = provider.token()
        kid, expires_at = part(first, 0)["kid"], part(first, 1)["exp"]
        with Load(provider, server.address) as load:
            while attempt(caller, first) == "OK" and kid in provider.key_ids():
                time.sleep(0.5)
            assert kid not in provider.key_ids(), "its key is published, and it was refused"
            # The key that is in force now is as new as the removal.
            while len(load.keys) < 3 and not load.failures and time.time() < expires_at + SKEW:
                time.sleep(0.1)
        assert len(load.keys) >= 3 and kid in load.keys, "the keys were rotated twice under load"
        assert not load.failures and load.answered > 30, (load.answered, load.failures)
        # The server has looked up the newest key, so it knows that the first one is gone.
        assert is_answered(caller.call(provider.token()))
        assert caller.refused(first) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
        assert time.time() < expires_at + SKEW, "the machine is too slow: the token has also expired"
    finally:
        caller.channel.close()
        server.stop()
        provider.stop()


class Load:
    """Callers that get a new token for each of their calls."""

    def __init__(self, provider, address, callers=3):
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.keys, self.answered, self.failures = set(), 0, []
        self.threads = [threading.Thread(target=self.run, args=(provider, Caller(address))) for _ in range(callers)]

    def run(self, provider, caller):
        while not self.stopped.is_set():
            try:
                token = provider.token()
                assert is_answered(caller.call(token))
                with self.lock:
                    self.keys.add(part(token, 0)["kid"])
                    self.answered += 1
            except Exception as error:
                with self.lock:
                    self.failures.append(error)
            time.sleep(0.2)
        caller.channel.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
