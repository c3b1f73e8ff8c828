"""The client for asyncio. It has the methods of `outcrop.Client`."""

import asyncio
from collections.abc import AsyncIterator

import grpc

from outcrop import v1
from outcrop.answer import Answer
from outcrop.client import turn_of
from outcrop.errors import OutcropError, from_rpc_error
from outcrop.reason import Reason
from outcrop.transport import Endpoint, Progress, request_of


class Stream:
    """The answer of one call, chunk by chunk. Use it with `async with`: leaving the block cancels a call that has not ended."""

    def __init__(self, call, on_finish=None):
        self._call = call
        self._progress = Progress(on_finish)
        self._is_cancelled = False

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_):
        self.cancel()

    async def __aiter__(self) -> AsyncIterator[v1.Chunk]:
        """All chunks. The iteration ends only after the status OK; else it raises OutcropError."""
        try:
            async for chunk in self._call:
                self._progress.add(chunk)
                yield chunk
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._progress.phase) from error
        except asyncio.CancelledError as error:
            # grpc raises the same for a call that was cancelled and for a task that was cancelled.
            if not self._is_cancelled or asyncio.current_task().cancelling():
                raise
            cancelled = {"code": grpc.StatusCode.CANCELLED, "reason": Reason.CALLER_CANCELLED, "phase": self._progress.phase}
            raise OutcropError("the call was cancelled", **cancelled) from error
        self._progress.end()

    async def text(self) -> AsyncIterator[str]:
        """The text as it arrives. `answer` has the rest afterwards."""
        async for chunk in self:
            if chunk.WhichOneof("event") == "text":
                yield chunk.text

    async def answer(self) -> Answer:
        """Reads to the end and returns the whole answer, with what was read before."""
        async for _ in self:
            pass
        return self._progress.answer()

    def cancel(self) -> None:
        """Cancels the call; it also reaches Bedrock. Another task may call this. Without effect after the end."""
        self._is_cancelled = True
        self._call.cancel()


class Client:
    """Calls an Outcrop server from one event loop. See `outcrop.Client` for the arguments."""

    def __init__(self, endpoint: str, **security):
        self._endpoint = Endpoint(endpoint, **security)
        target, credentials, options = self._endpoint.target, self._endpoint.credentials, self._endpoint.options
        self._channel = grpc.aio.secure_channel(target, credentials, options) if credentials else grpc.aio.insecure_channel(target, options)
        self.stub = v1.GenerationServiceStub(self._channel)
        self.metadata = self._endpoint.metadata

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self) -> None:
        """Closes the connection, and cancels what is running."""
        await self._channel.close()

    def generate(self, request: v1.GenerateRequest | None = None, *, timeout: float | None = None, **fields) -> Stream:
        """Starts to generate an answer. `fields` are those of GenerateRequest; `timeout` is in seconds, for the whole stream."""
        return self._generate(request_of(request, fields), timeout)

    def _generate(self, request, timeout, on_finish=None):
        return Stream(self.stub.Generate(request, timeout=timeout, metadata=self.metadata), on_finish)

    async def call(self, method: str, request, *, timeout: float | None = 60):
        """Calls a method with one response."""
        try:
            return await getattr(self.stub, method)(request, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    async def conversation(self, conversation_id: str | None = None, *, revision: int | None = None, **fields) -> "Conversation":
        """Creates a conversation with the fields of CreateConversationRequest, or resumes the one with this id."""
        if conversation_id is None:
            created = (await self.call("CreateConversation", v1.CreateConversationRequest(**fields))).conversation
            return Conversation(self, created.conversation_id, created.revision)
        return Conversation(self, conversation_id, revision)


class Conversation:
    """A conversation that the server stores. See `outcrop.Conversation`."""

    def __init__(self, client: Client, conversation_id: str, revision: int | None):
        self._client = client
        self.id = conversation_id
        self.revision = revision

    def generate(self, request: v1.GenerateRequest | None = None, *, timeout: float | None = None, **fields) -> Stream:
        """Starts the next turn. It is stored if and only if the stream ends without an error."""
        return self._client._generate(turn_of(self, request, fields), timeout, self._finished)

    def _finished(self, finish):
        if finish.HasField("conversation_revision"):
            self.revision = finish.conversation_revision

    async def turns(self) -> AsyncIterator[v1.Turn]:
        """The stored turns, oldest first. The revision is then that of the server."""
        token = ""
        while True:
            request = v1.GetConversationRequest(conversation_id=self.id, page_token=token)
            page = await self._client.call("GetConversation", request)
            for turn in page.turns:
                yield turn
            self.revision, token = page.conversation.revision, page.next_page_token
            if not token:
                return

    async def delete(self) -> None:
        """Deletes the conversation and its turns."""
        await self._client.call("DeleteConversation", v1.DeleteConversationRequest(conversation_id=self.id))
