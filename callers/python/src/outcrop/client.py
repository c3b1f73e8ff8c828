"""The client that blocks."""

import uuid
from collections.abc import Iterator

import grpc

from outcrop import v1
from outcrop.answer import Answer
from outcrop.errors import from_rpc_error
from outcrop.transport import Endpoint, Progress, request_of


class Stream:
    """The answer of one call, chunk by chunk. Use it with `with`: leaving the block cancels a call that has not ended."""

    def __init__(self, call, on_finish=None):
        self._call = call
        self._progress = Progress(on_finish)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_):
        self.cancel()

    def __iter__(self) -> Iterator[v1.Chunk]:
        """All chunks, with heartbeats if the request asks for them. The iteration ends only after the status OK; else it raises OutcropError."""
        try:
            for chunk in self._call:
                self._progress.add(chunk)
                yield chunk
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._progress.phase) from error
        self._progress.end()

    def text(self) -> Iterator[str]:
        """The text as it arrives. `answer` has the rest afterwards."""
        for chunk in self:
            if chunk.WhichOneof("event") == "text":
                yield chunk.text

    def answer(self) -> Answer:
        """Reads to the end and returns the whole answer, with what was read before."""
        for _ in self:
            pass
        return self._progress.answer()

    def cancel(self) -> None:
        """Cancels the call; it also reaches Bedrock. Another thread may call this. Without effect after the end."""
        self._call.cancel()


class Client:
    """Calls an Outcrop server. One client serves all threads; close it at the end, or use it with `with`.

    `endpoint` is `http://HOST:PORT` (not encrypted) or `https://HOST:PORT` (TLS); without a scheme it is the former on this machine and
    the latter elsewhere. `ca`, `certificate` and `private_key` are PEM, as bytes. `api_key` is sent with every call. `retries=False` turns
    the retry policy off.
    """

    def __init__(self, endpoint: str, **security):
        self._endpoint = Endpoint(endpoint, **security)
        target, credentials, options = self._endpoint.target, self._endpoint.credentials, self._endpoint.options
        self._channel = grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        #: The generated stub, for calls that the client has no method for. Pass `metadata=client.metadata`, which has the API key.
        self.stub = v1.GenerationServiceStub(self._channel)
        self.metadata = self._endpoint.metadata

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Closes the connection, and cancels what is running."""
        self._channel.close()

    def generate(self, request: v1.GenerateRequest | None = None, *, timeout: float | None = None, **fields) -> Stream:
        """Starts to generate an answer. `fields` are those of GenerateRequest; `timeout` is in seconds, for the whole stream."""
        return self._generate(request_of(request, fields), timeout)

    def _generate(self, request, timeout, on_finish=None):
        return Stream(self.stub.Generate(request, timeout=timeout, metadata=self.metadata), on_finish)

    def call(self, method: str, request, *, timeout: float | None = 60):
        """Calls a method with one response, such as `client.call("ListModels", v1.ListModelsRequest())`."""
        try:
            return getattr(self.stub, method)(request, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def conversation(self, conversation_id: str | None = None, *, revision: int | None = None, **fields) -> "Conversation":
        """Creates a conversation with the fields of CreateConversationRequest, or resumes the one with this id."""
        if conversation_id is None:
            created = self.call("CreateConversation", v1.CreateConversationRequest(**fields)).conversation
            return Conversation(self, created.conversation_id, created.revision)
        return Conversation(self, conversation_id, revision)


class Conversation:
    """A conversation that the server stores. A request carries only the new messages.

    Every request has a `turn_id`, so that no retry stores a turn twice. It has the revision that this object has seen, if any, so that a
    turn which another caller has added is not overlooked: the call fails with CONVERSATION_CHANGED.
    """

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

    def turns(self) -> Iterator[v1.Turn]:
        """The stored turns, oldest first. The revision is then that of the server."""
        token = ""
        while True:
            request = v1.GetConversationRequest(conversation_id=self.id, page_token=token)
            page = self._client.call("GetConversation", request)
            yield from page.turns
            self.revision, token = page.conversation.revision, page.next_page_token
            if not token:
                return

    def delete(self) -> None:
        """Deletes the conversation and its turns."""
        self._client.call("DeleteConversation", v1.DeleteConversationRequest(conversation_id=self.id))


def turn_of(conversation, request, fields) -> v1.GenerateRequest:
    """The request for a turn of a conversation."""
    made = request_of(request, fields)
    made.conversation_id = conversation.id
    made.turn_id = made.turn_id or str(uuid.uuid4())
    if conversation.revision is not None and not made.HasField("conversation_revision"):
        made.conversation_revision = conversation.revision
    return made
