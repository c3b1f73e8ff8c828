"""buf curl: gRPC from another family of clients, by reflection and by the schema in the tree."""

import json

from conftest import SERVICE


def test_streams(server, buf):
    url = f"http://{server.address}/{SERVICE}/Generate"
    for schema in [["--reflect"], ["--schema", "."]]:
        call = buf("curl", "--protocol", "grpc", "--http2-prior-knowledge", *schema, "-d", '{"prompt":"hi"}', url)
        lines = call.stdout.strip()
        decoder, at, chunks = json.JSONDecoder(), 0, []
        while at < len(lines):
            chunk, at = decoder.raw_decode(lines, at)
            chunks.append(chunk)
            while at < len(lines) and lines[at].isspace():
                at += 1
        assert "start" in chunks[0] and "finish" in chunks[-1]
