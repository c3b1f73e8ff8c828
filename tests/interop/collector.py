"""The OpenTelemetry collector: it receives OTLP over gRPC, and writes what it received to a file."""

import json
import os
import socket
import subprocess
import time

from provider import free_port


class Collector:
    """A running collector, built by `.ci/run` from `otelcol`."""

    def __init__(self, folder, tls=None):
        self.folder, self.port = folder, free_port()
        self.file = folder / "received.json"
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self.port}"
        grpc = {"endpoint": f"127.0.0.1:{self.port}", **({"tls": tls} if tls else {})}
        # JSON is YAML.
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
            "exporters": {"file": {"path": str(self.file), "flush_interval": "50ms"}},
            "service": {
                "pipelines": {
                    signal: {"receivers": ["otlp"], "exporters": ["file"]} for signal in ["traces", "metrics"]
                },
            },
        }
        (folder / "otelcol.yaml").write_text(json.dumps(config))
        self.log = open(folder / "otelcol.log", "w")
        self.process = subprocess.Popen(
            [os.environ.get("OTELCOL", "otelcol"), "--config", str(folder / "otelcol.yaml")],
            stdout=self.log,
            stderr=self.log,
            cwd=folder,
        )
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None, (self.folder / "otelcol.log").read_text()
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "the collector does not listen"
                time.sleep(0.05)

    def stop(self):
        """Ends it, so that everything is in the file."""
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def kill(self):
        """Ends it after a test, also after one that failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def exports(self):
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def spans(self):
        """All spans, with their attributes as a dictionary."""
        found = [
            (resource, scope, span)
            for export in self.exports()
            for resource in export.get("resourceSpans", [])
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        return [
            {**span, "attributes": attributes(span), "resource": attributes(resource["resource"]), "scope": scope["scope"]}
            for resource, scope, span in found
        ]

    def metrics(self):
        """The newest state of every metric by name: its unit and its points, with their attributes as a dictionary."""
        newest = {}
        for export in self.exports():
            for resource in export.get("resourceMetrics", []):
                for scope in resource["scopeMetrics"]:
                    for metric in scope["metrics"]:
                        data = metric.get("histogram") or metric["sum"]
                        points = [{**point, "attributes": attributes(point)} for point in data["dataPoints"]]
                        newest[metric["name"]] = {"unit": metric["unit"], "points": points}
        return newest


def attributes(thing):
    return {pair["key"]: value(pair["value"]) for pair in thing.get("attributes", [])}


def value(written):
    """A value of OTLP in JSON, where 64 bits are a string."""
    ((kind, content),) = written.items()
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [value(item) for item in content["values"]]
    return content
