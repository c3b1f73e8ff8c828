"""How the packages for callers are built, installed and run. A language is a function that builds its package in a folder and returns a function
from the name of an example to its command and environment. `examples` are those that it has."""

import shutil
import subprocess
import sys

from conftest import ROOT

CALLERS = ROOT / "callers"
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
    """The module, from which the examples are built."""
    made("go", "build", "-o", f"{folder}/", "./examples/...", folder=CALLERS / "go")

    def command(name):
        return [folder / name], {}

    return command


go.examples = COMMON

LANGUAGES = [python, node, go]
