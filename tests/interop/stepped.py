"""A Bedrock that sends an event only after the test has received the one before it, and writes into each event when it was sent. A proxy, or a
server, that holds chunks back stops the stream."""

import json
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Longer than a chunk takes on the slowest machine.
PATIENCE = 20


def frame(event, payload):
    """A frame of `application/vnd.amazon.eventstream`."""
    named = {":message-type": "event", ":event-type": event, ":content-type": "application/json"}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode() for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


class Stepped:
    """The Bedrock, for one stream at a time."""

    def __init__(self, chunks):
        self.chunks = chunks
        self.received = threading.Semaphore(0)
        self.delays = []
        stepped = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.connection.setsockopt(6, 1, 1)
                self.send_response(200)
                self.send_header("content-type", "application/vnd.amazon.eventstream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for part in stepped.events():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def events(self):
        yield frame("messageStart", {"role": "assistant"})
        for _ in range(self.chunks):
            yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": str(time.perf_counter_ns())}})
            # Then the stream ends without its end, and the call fails.
            if not self.received.acquire(timeout=PATIENCE):
                return
        yield frame("messageStop", {"stopReason": "end_turn"})
        yield frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}})

    def arrived(self, text):
        """Tells that a chunk has arrived."""
        self.delays.append(time.perf_counter_ns() - int(text))
        self.received.release()

    def all(self):
        """The delays of the chunks of a stream, which are forgotten."""
        delays, self.delays = self.delays, []
        assert len(delays) == self.chunks
        return delays

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
