"""Two servers are restarted one after the other under load: no call of a default client fails."""

import threading
import time

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from conftest import SERVICE, outcrop

# Callers of each client at once, and restarts of each server.
CALLERS = 6
ROUNDS = 2
# Callers come from one address here and call without a pause.
FLAGS = ["--local", "--other-requests-per-minute", "1000000", "--max-streams-per-caller", "10000"]


class Load:
    """Callers of one client that call without a pause: long streams, short streams and unary calls."""

    def __init__(self, channel, methods, requests):
        self.channel, self.methods, self.requests = channel, methods, requests
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.answered, self.failures = 0, []
        self.threads = [threading.Thread(target=self.run, args=(at,)) for at in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def run(self, at):
        method = self.methods[at % len(self.methods)]
        while not self.stopped.is_set():
            try:
                answer = method(self.requests[method], timeout=60)
                if hasattr(answer, "__next__"):
                    chunks = list(answer)
                    assert chunks[-1].WhichOneof("event") == "finish", chunks[-1]
                with self.lock:
                    self.answered += 1
            except Exception as error:
                with self.lock:
                    self.failures.append(error)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        self.channel.close()


@pytest.fixture
def servers():
    running = [outcrop(*FLAGS) for _ in range(2)]
    yield running
    for program in running:
        program.stop()


def started_again(address):
    """A server at the address of one that has ended. Another process may have the port for a moment."""
    for _ in range(20):
        try:
            return outcrop(*FLAGS, listen=address)
        except AssertionError:
            time.sleep(0.1)
    return outcrop(*FLAGS, listen=address)


def client(policy, addresses):
    # By default the authority would be the list of addresses, which is none.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "localhost")]
    if policy != "pick_first":
        options.append(("grpc.service_config", '{"loadBalancingConfig": [{"%s": {}}]}' % policy))
    channel = grpc.insecure_channel("ipv4:" + ",".join(addresses), options=options)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName(SERVICE)
    methods, requests = [], {}
    # A stream of nine seconds, one of milliseconds, and a unary call.
    for name, fields in [
        ("Generate", {"prompt": "hi", "model": "emulator.slow"}),
        ("Generate", {"prompt": "hi", "model": "emulator.tools"}),
        ("ListModels", {}),
    ]:
        method = service.FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type).FromString
        make = channel.unary_stream if name == "Generate" else channel.unary_unary
        callable = make(f"/{SERVICE}/{name}", request.SerializeToString, answer)
        methods.append(callable)
        requests[callable] = json_format.ParseDict(fields, request())
    return channel, methods, requests


def test_no_call_fails_while_two_servers_are_restarted_one_after_the_other(servers):
    addresses = [server.address for server in servers]
    loads = {policy: Load(*client(policy, addresses)) for policy in ["pick_first", "round_robin"]}
    restarts = 0
    try:
        for _ in range(ROUNDS):
            for at, address in enumerate(addresses):
                begun = time.monotonic()
                servers[at].terminate()
                assert servers[at].process.wait(timeout=60) == 0
                servers[at] = started_again(address)
                restarts += 1
                # round_robin tries a server that was away again with backoff. Until then it has only the other one.
                time.sleep(max(2, time.monotonic() - begun))
    finally:
        for load in loads.values():
            load.stop()
    for policy, load in loads.items():
        print(f"{policy}: {load.answered} calls over {restarts} restarts, {len(load.failures)} failed")
    for policy, load in loads.items():
        assert not load.failures, f"{policy}: {load.failures}"
        assert load.answered > 100 * restarts
