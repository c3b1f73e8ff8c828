"""How the packages for callers are built, installed and run. A language is a function that builds its package in a folder and returns a function
from the name of an example to its command and environment. `examples` are those that it has."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

from conftest import ROOT

CALLERS = ROOT / "callers"
MAVEN = os.environ.get("MAVEN", "mvn")
COMMON = ["cancel", "conversation", "deadline", "errors", "stream", "tools"]


def made(*command, folder, **options):
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


def python(folder):
    """The wheel, installed into a folder beside the packages of the tests."""
    source = CALLERS / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    made(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", source, folder=folder)
    made(*pip, "install", "--no-deps", "--target", folder / "site", *(folder / "dist").glob("*.whl"), folder=folder)

    def command(name):
        return [sys.executable, source / "examples" / f"{name}.py"], {"PYTHONPATH": str(folder / "site")}

    return command


python.examples = [*COMMON, "cancel_aio", "stream_aio"]


def node(folder):
    """The package as npm packs it, installed beside copies of the examples."""
    source = CALLERS / "node"
    made("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=source)
    made("npm", "pack", "--silent", "--pack-destination", folder, folder=source)
    (folder / "package.json").write_text('{"type": "module"}')
    made("npm", "install", "--silent", "--no-audit", "--no-fund", *folder.glob("*.tgz"), folder=folder)
    shutil.copytree(source / "examples", folder / "examples")

    def command(name):
        return ["node", folder / "examples" / f"{name}.mjs"], {}

    return command


node.examples = COMMON


def go(folder):
    """The module as a module proxy has it: a zip, whose examples are built outside of the repository."""
    module, source = "outcrop.example/go", CALLERS / "go"
    # A folder with a go.mod of its own is another module.
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and path.relative_to(source).parts[0] != "tools"]
    # Go never forgets what a version had, so each content is a version.
    digest = hashlib.sha256(b"".join(str(path.relative_to(source)).encode() + path.read_bytes() for path in files)).hexdigest()
    version = f"v0.0.0-20260101000000-{digest[:12]}"
    proxy = folder / "proxy" / module / "@v"
    proxy.mkdir(parents=True)
    (proxy / "list").write_text(f"{version}\n")
    (proxy / f"{version}.info").write_text(json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"}))
    shutil.copy(source / "go.mod", proxy / f"{version}.mod")
    with zipfile.ZipFile(proxy / f"{version}.zip", "w") as archive:
        for path in files:
            archive.write(path, f"{module}@{version}/{path.relative_to(source)}")
    others = made("go", "env", "GOPROXY", folder=folder).strip()
    environment = {**os.environ, "GOPROXY": f"file://{folder}/proxy,{others}", "GONOSUMDB": module, "GOBIN": str(folder)}
    made("go", "install", f"{module}/examples/...@{version}", folder=folder, env=environment)

    def command(name):
        return [folder / name], {}

    return command


go.examples = COMMON


def java(folder):
    """The Maven artefact, installed into the local repository, from which a copy of the examples gets it."""
    maven = [MAVEN, "--batch-mode", "--quiet"]
    if repository := os.environ.get("MAVEN_REPOSITORY"):
        maven.append(f"-Dmaven.repo.local={repository}")
    made(*maven, "install", folder=CALLERS / "java")
    shutil.copytree(CALLERS / "java/examples", folder / "examples", ignore=shutil.ignore_patterns("target"))
    made(*maven, "compile", folder=folder / "examples")
    target = folder / "examples/target"

    def command(name):
        # A program that runs for a second needs neither a second compiler nor threads for garbage.
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return ["java", *quick, "-cp", f"{target}/classes:{target}/dependency/*", name.capitalize()], {"LC_ALL": "C.UTF-8"}

    return command


java.examples = COMMON
java.programs = ["java", "javac", MAVEN]

LANGUAGES = [python, node, go, java]
