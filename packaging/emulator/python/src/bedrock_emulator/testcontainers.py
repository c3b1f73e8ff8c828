"""The container image for testcontainers: `with BedrockContainer() as container: container.emulator().client()`."""

from __future__ import annotations

from typing import Any

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from ._emulator import Emulator

PORT = 8991


class BedrockContainer(DockerContainer):
    """A container of the emulator, which is ready when `start` returns. `arguments` are flags of `bedrock-emulator`."""

    def __init__(self, image: str, arguments: tuple[str, ...] = (), pace: str = "0,0", **options: Any) -> None:
        super().__init__(image, **options)
        self.with_exposed_ports(PORT)
        self.with_command(["--listen", f"0.0.0.0:{PORT}", "--pace", pace, *arguments])
        self.waiting_for(LogMessageWaitStrategy("listening on"))

    def endpoint(self) -> str:
        """The value of `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` for programs outside of containers."""
        return f"http://{self.get_container_host_ip()}:{self.get_exposed_port(PORT)}"

    def emulator(self) -> Emulator:
        """The operations of the emulator in this container."""
        return Emulator(self.endpoint())
