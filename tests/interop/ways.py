"""The ways in which a caller reaches Generate: each tells of every text as it arrives, and returns when the stream has ended well."""

import struct

import boto3
import botocore.config
import httpx

GENERATE = "/outcrop.v1.GenerationService/Generate"


def framed(message):
    """The body of a call by gRPC-Web."""
    return struct.pack(">BI", 0, message.ByteSize()) + message.SerializeToString()


def by_grpc(package, caller, arrived):
    with caller.generate(model="stepped", prompt="hi") as stream:
        for text in stream.text():
            arrived(text)


def by_grpc_web(package, url, verify, arrived, http2=False):
    head = {"content-type": "application/grpc-web+proto", "origin": url.partition("/outcrop")[0], "sec-fetch-site": "same-origin"}
    body = framed(package.v1.GenerateRequest(model="stepped", prompt="hi"))
    with httpx.Client(http2=http2, http1=not http2, verify=verify) as http, http.stream("POST", url + GENERATE, content=body, headers=head) as answer:
        assert answer.status_code == 200 and answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        received, trailers = b"", b""
        for part in answer.iter_raw():
            received += part
            while len(received) >= 5 and len(received) >= 5 + (length := struct.unpack(">I", received[1:5])[0]):
                flags, message, received = received[0], received[5 : 5 + length], received[5 + length :]
                if flags & 0x80:
                    trailers = message
                    continue
                chunk = package.v1.Chunk.FromString(message)
                if chunk.WhichOneof("event") == "text":
                    arrived(chunk.text)
        assert not received and b"grpc-status:0" in trailers.replace(b" ", b""), trailers


def runtime(url, verify):
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, verify=verify, config=config, **keys)


def by_boto3(url, verify, arrived):
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    events = runtime(url, verify).converse_stream(modelId="stepped", messages=messages)["stream"]
    for event in events:
        if text := event.get("contentBlockDelta", {}).get("delta", {}).get("text"):
            arrived(text)
