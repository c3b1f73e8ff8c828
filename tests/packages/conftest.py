"""The packages of bedrock-emulator, made of the binary that cargo built and tried from their artefacts. `.ci/run` runs `pytest tests/packages`.

OUTCROP_TARGET names the folder that cargo built into. With CI_REQUIRE_PODMAN a missing podman is an error; without it the tests of the image are
skipped.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("OUTCROP_TARGET", ROOT / "target" / "debug"))
EMULATOR = ROOT / "packaging" / "emulator"

# A user's machine on which something would lead an SDK elsewhere: a profile that does not exist, a proxy, other endpoints and credentials.
HOSTILE = {
    "AWS_BEARER_TOKEN_BEDROCK": "a-real-key",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_PROFILE": "no-such-profile",
    "AWS_SESSION_TOKEN": "a-real-token",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


def run(*command, folder, check=True, environment=None, timeout=300):
    """What a program does with the PATH, and with nothing else of this environment."""
    kept = {name: os.environ[name] for name in ["PATH", "HOME"] if name in os.environ}
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, env={**kept, **(environment or {})})
    assert not check or done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done


def made(*command, folder, environment=None):
    """Runs a program that builds or installs, which needs the registries and proxies of this environment."""
    return run(*command, folder=folder, environment={**os.environ, **(environment or {})})


def ends(pid):
    """Waits for the end of a process of which another is the parent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # A process that has ended and for which no parent has waited.
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A function that makes packages of these kinds and returns the folder that has them."""

    def packages(*kinds, **options):
        folder = tmp_path_factory.mktemp("dist")
        program = [sys.executable, EMULATOR / "build.py", "--binary", TARGET / "bedrock-emulator", "--into", folder]
        made(*program, *kinds, folder=folder, **options)
        return folder

    return packages


@pytest.fixture(scope="session")
def python(build, tmp_path_factory):
    """The Python of an environment that has the wheel and what the example needs, and a folder with the example."""
    folder = tmp_path_factory.mktemp("python")
    shutil.copytree(EMULATOR / "python/example", folder / "example")
    # Without a pip of its own, and without compiling what is imported once, which would take most of the time.
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    program = folder / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", program, "--disable-pip-version-check", "--quiet", "install", "--no-compile"]
    made(*pip, "--require-hashes", "--requirement", folder / "example/requirements.txt", folder=folder)
    (wheel,) = build("wheel").iterdir()
    # Without the index: the wheel has no dependencies.
    run(*pip, "--no-index", wheel, folder=folder)
    return program, folder / "example"


@pytest.fixture(scope="session")
def node(build, tmp_path_factory):
    """A folder with the example, the packages of the registry that it needs, and those that npm packed."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EMULATOR / "node/example", folder)
    npm = ["--ignore-scripts", "--prefer-offline", "--silent", "--no-audit", "--no-fund"]
    made("npm", "ci", *npm, folder=folder)
    archives = sorted(build("npm", "npm-program").glob("*.tgz"))
    assert len(archives) == 2, archives
    # The packages for other platforms are in no registry before the release.
    made("npm", "install", *npm, "--no-save", "--offline", "--omit=optional", *archives, folder=folder)
    return folder


class Engine:
    """podman with images and settings of its own, and its service, which has the API of Docker."""

    def __init__(self, folder):
        open_files = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        limits = f'["nofile={open_files}:{open_files}", "nproc=4096:4096"]'
        (folder / "containers.conf").write_text(f'[containers]\ndefault_ulimits = {limits}\n[engine]\ncgroup_manager = "cgroupfs"\n')
        storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(storage)
        self.folder, self.address = folder, f"unix://{folder}/socket"
        self.environment = {"CONTAINERS_CONF": f"{folder}/containers.conf", "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf"}
        service = f"exec podman system service --time 0 {self.address}"
        command = ["sh", "-c", service]
        if os.geteuid() == 0 and Path("/sys/fs/cgroup/unified").is_dir():
            # Both versions of cgroups, which crun refuses: the service sees the first one only.
            command = ["unshare", "--mount", "sh", "-c", f"umount /sys/fs/cgroup/unified; {service}"]
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environment})
        deadline = time.monotonic() + 60
        while not (folder / "socket").exists():
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)

    def podman(self, *arguments, check=True):
        return run("podman", "--url", self.address, *arguments, folder=self.folder, check=check, environment=self.environment)

    def stop(self):
        self.podman("rm", "--all", "--force", "--time", "0", check=False)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    if not shutil.which("podman"):
        if os.environ.get("CI_REQUIRE_PODMAN"):
            pytest.fail("podman is not installed")
        pytest.skip("podman is not installed: the image is not tried")
    running = Engine(tmp_path_factory.mktemp("podman"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def image(build, engine):
    """The name of the image that the engine has loaded from the archive."""
    (archive,) = build("image", environment=engine.environment).iterdir()
    loaded = engine.podman("load", "--input", archive).stdout
    return loaded.strip().rpartition(" ")[2]
