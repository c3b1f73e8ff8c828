"""The programs: a small application for each SDK, unmodified, with the settings that it takes from its environment."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from threading import Timer

from outcomes import outcome

HERE = Path(__file__).resolve().parent

# What each needs beside Python.
TOOLS = {"boto3": [], "javascript": ["node", "npm"], "go": ["go"], "java": ["mvn", "javac", "keytool"]}


def missing(sdk):
    """The tools that an SDK needs and that are not installed."""
    return [tool for tool in TOOLS[sdk] if not shutil.which(tool)]


def do(*command, cwd=HERE):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"


def build(sdk, folder):
    """Builds a program into a folder."""
    if sdk == "javascript":
        do("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=HERE / "node")
    if sdk == "go":
        do("go", "build", "-trimpath", "-o", folder / "sdk-go", ".", cwd=HERE / "go")
    if sdk == "java":
        # Without libraries of earlier versions.
        shutil.rmtree(folder / "jars", ignore_errors=True)
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
        do("mvn", "-q", "-B", *copy, cwd=HERE / "java")
        do("javac", "-cp", f"{folder / 'jars'}/*", "-d", folder / "classes", *sorted((HERE / "java/src").glob("*.java")))


def build_all(folder):
    """Builds the programs whose tools are installed."""
    folder.mkdir(parents=True, exist_ok=True)
    sdks = [sdk for sdk in TOOLS if not missing(sdk)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda sdk: build(sdk, folder), sdks))
    return sdks


def command(sdk, folder):
    """The command of a program that was built into a folder."""
    # The compiler for short programs alone: it starts in half the time.
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{folder / 'classes'}:{folder / 'jars'}/*", "Main"]
    commands = {"javascript": ["node", HERE / "node/main.mjs"], "go": [folder / "sdk-go"], "java": java}
    return [str(part) for part in commands.get(sdk, [sys.executable, HERE / "python/main.py"])]


def trusting(sdk, authority):
    """The setting with which an SDK trusts a certificate authority."""
    if sdk == "javascript":
        return {"NODE_EXTRA_CA_CERTS": str(authority)}
    if sdk == "java":
        return {"JDK_JAVA_OPTIONS": f"-Djavax.net.ssl.trustStore={trust_store(authority)} -Djavax.net.ssl.trustStorePassword=changeit"}
    return {"AWS_CA_BUNDLE": str(authority)}


def trust_store(authority):
    store = authority.with_suffix(".p12")
    if not store.exists():
        do("keytool", "-importcert", "-noprompt", "-file", authority, "-alias", "ca", "-keystore", store, "-storepass", "changeit")
    return store


class Programs:
    """The programs of these SDKs, which were built into a folder."""

    def __init__(self, sdks, folder, log):
        self.sdks = sdks
        self.folder = folder
        # What the programs write beside their results.
        self.log = open(log, "w")
        # The versions, as the programs print them.
        self.versions = {}

    def run(self, cases_of, place, credentials, while_running=lambda _: None):
        """What each SDK makes of its cases, all at the same time: the SDK to its cases with their outcomes."""

        def one(sdk):
            cases = list(cases_of(sdk))
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": place.endpoint,
                **credentials,
                **(trusting(sdk, place.authority) if place.authority else {}),
            }
            asked = json.dumps([case.asked(place.has_routes) for case in cases])
            with subprocess.Popen(command(sdk, self.folder), stdin=PIPE, stdout=PIPE, stderr=self.log, text=True, env=environment) as process:
                process.stdin.write(asked + "\n")
                process.stdin.flush()
                deadline = Timer(120, process.kill)
                deadline.start()
                lines = [process.stdout.readline() for _ in range(len(cases) + 1)]
                deadline.cancel()
                assert all(lines), f"{sdk} printed {len(lines) - lines.count('')} of {len(lines)} lines: {Path(self.log.name).read_text()}"
                while_running(sdk)
                process.stdin.close()
                assert process.wait(60) == 0, f"{sdk} ended with {process.returncode}: {self.log.name}"
            first, *told = map(json.loads, lines)
            self.versions[sdk] = first["sdk"]
            assert [one["case"] for one in told] == [case.name for case in cases], told
            return [(case, outcome(case, one)) for case, one in zip(cases, told)]

        with ThreadPoolExecutor() as pool:
            return dict(zip(self.sdks, pool.map(one, self.sdks)))


if __name__ == "__main__":
    build_all(Path(sys.argv[1]).resolve())
