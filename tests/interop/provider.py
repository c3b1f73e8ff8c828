"""dex, an OpenID Connect provider, over HTTPS with a certificate of a private authority. It keeps everything in memory."""

import base64
import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

# "password", as in dex's own examples.
PASSWORD_HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

# Users and their groups.
USERS = {"ada": ["engineering", "billing"], "eve": ["visitors"]}

# Applications. Outcrop is one; the token of another one has another audience.
CLIENTS = ["outcrop", "other"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def certificates(folder):
    """A private authority and a certificate of it for this machine: ca.pem, server.pem and server.key."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-subj", "/CN=authority"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "1", *authority)
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=dex")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    openssl("x509", "-req", "-in", "server.csr", *signed_by, "-days", "1", "-out", "server.pem")


class Dex:
    """A running dex. `signing_keys`: for how long it signs with a key, checked every 30 s; `tokens`: for how long a token is valid."""

    def __init__(self, folder, signing_keys, tokens):
        self.folder, self.port = folder, free_port()
        self.issuer = f"https://127.0.0.1:{self.port}/dex"
        certificates(folder)
        self.ca = folder / "ca.pem"
        self.context = ssl.create_default_context(cafile=str(self.ca))
        password = {"hash": PASSWORD_HASH}
        # JSON is YAML.
        config = {
            "issuer": self.issuer,
            "storage": {"type": "memory"},
            "web": {"https": f"127.0.0.1:{self.port}", "tlsCert": "server.pem", "tlsKey": "server.key"},
            "signer": {"type": "local", "config": {"keysRotationPeriod": signing_keys}},
            "expiry": {"idTokens": tokens},
            "oauth2": {"grantTypes": ["password"], "passwordConnector": "local"},
            "enablePasswordDB": True,
            "staticPasswords": [
                {"email": f"{name}@example.com", "username": name, "userID": name, "groups": groups, **password}
                for name, groups in USERS.items()
            ],
            "staticClients": [
                {"id": name, "secret": name, "name": name, "redirectURIs": ["https://127.0.0.1/callback"]}
                for name in CLIENTS
            ],
        }
        (folder / "dex.yaml").write_text(json.dumps(config))
        self.process = None
        self.start()

    def start(self):
        # A program that asks for any free port can have this one for a moment while the provider is away.
        for _ in range(50):
            if self._begun():
                return
            time.sleep(0.2)
        raise AssertionError(f"dex did not start: {(self.folder / 'dex.log').read_text()}")

    def _begun(self):
        """Whether it has begun to accept connections."""
        with (self.folder / "dex.log").open("w") as stderr:
            command = [os.environ.get("DEX", "dex"), "serve", "dex.yaml"]
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=stderr)
        # Its log says that it listens before it does, and another program that has the port would accept a connection too.
        while 'msg="listening on" server=https' not in (self.folder / "dex.log").read_text() or not self._answers():
            if self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return True

    def _answers(self):
        try:
            return bool(self._request("keys"))
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    def _request(self, path, form=None, user=None):
        request = urllib.request.Request(f"{self.issuer}/{path}")
        if form:
            request.data = urllib.parse.urlencode(form).encode()
            credentials = base64.b64encode(f"{user}:{user}".encode()).decode()
            request.add_header("authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request, context=self.context, timeout=20) as response:
            return json.load(response)

    def token(self, user="ada", client="outcrop"):
        """A new ID token of this user for this application."""
        form = {"grant_type": "password", "username": f"{user}@example.com", "password": "password"}
        return self._request("token", {**form, "scope": "openid groups email"}, client)["id_token"]

    def key_ids(self):
        """The ids of the keys that it publishes."""
        return {key["kid"] for key in self._request("keys")["keys"]}


def part(token, at):
    """The header (0) or the claims (1) of a token."""
    encoded = token.split(".")[at]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def encode(value):
    return re.sub("=+$", "", base64.urlsafe_b64encode(json.dumps(value).encode()).decode())
