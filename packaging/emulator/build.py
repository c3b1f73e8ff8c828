#!/usr/bin/env python3
"""Makes packages of a `bedrock-emulator` that was built: a wheel, the packages for npm, and an image.

    packaging/emulator/build.py --binary target/release/bedrock-emulator --into dist wheel npm npm-program image

The binary is one of this machine, and so are the wheel, `npm-program` and the image; `npm` is the package for all machines. A wheel needs hatchling,
npm packages need npm, and an image needs podman.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

ARCHITECTURES = {"x86_64": ("x64", "x86_64"), "aarch64": ("arm64", "aarch64"), "arm64": ("arm64", "arm64")}
NODE_ARCHITECTURE, WHEEL_ARCHITECTURE = ARCHITECTURES[platform.machine()]

# As Node.js names them: those that are released, and that of this machine.
PLATFORMS = ("darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64")
PLATFORM = f"{sys.platform}-{NODE_ARCHITECTURE}"

# What Rust's targets for macOS run on at least.
MACOS = {"arm64": "macosx_11_0_arm64", "x86_64": "macosx_10_12_x86_64"}

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}: {done.stdout}")
    return done.stdout


def version_of(binary):
    """The version of the workspace, which the binary and both manifests have too."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    found = {
        str(binary): run(binary, "--version").split()[-1],
        "python/pyproject.toml": tomllib.loads((HERE / "python/pyproject.toml").read_text())["project"]["version"],
        "node/package.json": json.loads((HERE / "node/package.json").read_text())["version"],
    }
    if wrong := {name: one for name, one in found.items() if one != version}:
        sys.exit(f"Cargo.toml has the version {version}, but: {wrong}")
    return version


def newest_glibc(binary):
    """The version of glibc that the binary needs, such as `2.34`."""
    symbols = run("readelf", "--dyn-syms", "--wide", binary)
    return max(set(re.findall(r"GLIBC_([0-9.]+)", symbols)), key=lambda version: [int(part) for part in version.split(".")])


def wheel_platform(binary):
    if sys.platform == "darwin":
        return MACOS[WHEEL_ARCHITECTURE]
    return f"manylinux_{newest_glibc(binary).replace('.', '_')}_{WHEEL_ARCHITECTURE}"


def staged(name, folder):
    """A copy of the sources of a package, with the licence."""
    shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "example"))
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


def wheel(binary, version, into, work):
    environment = {**os.environ, "BEDROCK_EMULATOR_BINARY": str(binary), "BEDROCK_EMULATOR_PLATFORM": wheel_platform(binary)}
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", into, cwd=staged("python", work), env=environment)


def npm_program(binary, version, into, work):
    """The package with the program. Its name and its version are those of an optional dependency of the main package."""
    assert PLATFORM in PLATFORMS, PLATFORM
    name = f"bedrock-emulator-{PLATFORM}"
    manifest = {
        "name": name,
        "version": version,
        "description": f"The program of bedrock-emulator for {sys.platform} on {NODE_ARCHITECTURE}.",
        "license": "Apache-2.0",
        "os": [sys.platform],
        "cpu": [NODE_ARCHITECTURE],
        **({"libc": ["glibc"]} if sys.platform == "linux" else {}),
        "files": ["bedrock-emulator"],
        "preferUnplugged": True,
        **repository(),
    }
    work.mkdir()
    (work / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (work / "README.md").write_text(f"{manifest['description']} Install `bedrock-emulator`, which depends on this package.\n")
    shutil.copy(ROOT / "LICENSE", work)
    shutil.copy(binary, work / "bedrock-emulator")
    (work / "bedrock-emulator").chmod(0o755)
    run("npm", "pack", "--silent", "--pack-destination", into, cwd=work)


def repository():
    """The repository of the workflow that builds a package, which npm compares with the provenance."""
    name = os.environ.get("GITHUB_REPOSITORY")
    return {"repository": {"type": "git", "url": f"git+https://github.com/{name}.git"}} if name else {}


def npm(binary, version, into, work):
    folder = staged("node", work)
    run("npm", "ci", "--ignore-scripts", "--prefer-offline", "--silent", "--no-audit", "--no-fund", cwd=folder)
    # The registry has these packages only after the release, so the lock file cannot have them.
    manifest = folder / "package.json"
    package = json.loads(manifest.read_text())
    package["optionalDependencies"] = {f"bedrock-emulator-{name}": version for name in PLATFORMS}
    manifest.write_text(json.dumps({**package, **repository()}, indent=2) + "\n")
    run("npm", "pack", "--silent", "--pack-destination", into, cwd=folder)


def libraries(binary):
    """The shared libraries that the loader finds for the binary, the loader included."""
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", run("ldd", binary))]


def image(binary, version, into, work):
    root = work / "root"
    for source, target in [
        (binary, Path("/usr/local/bin/bedrock-emulator")),
        (CERTIFICATES, CERTIFICATES),
        (ROOT / "LICENSE", Path("/usr/share/doc/bedrock-emulator/LICENSE")),
        *((path, path) for path in libraries(binary)),
        *described(libraries(binary), work / "status"),
    ]:
        place = root / target.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.resolve(), place)
        place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    name = f"localhost/bedrock-emulator:{version}"
    time = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    file = HERE / "image/Containerfile"
    run("podman", "build", "--quiet", "--timestamp", time, "--build-arg", f"VERSION={version}", "--tag", name, "--file", file, work)
    archive = into / f"bedrock-emulator-{version}-{PLATFORM}.oci.tar"
    archive.unlink(missing_ok=True)
    run("podman", "save", "--quiet", "--format", "oci-archive", "--output", archive, name)
    run("podman", "rmi", "--force", name)


def described(paths, folder):
    """The licences of the packages that libraries are from, and what scanners read to know the packages, which is written into the folder."""
    # Packages have files of /usr/lib below /lib.
    names = [f"*/{path.resolve().parent.name}/{path.resolve().name}" for path in paths]
    packages = {run("dpkg", "--search", name).split(":")[0] for name in names}
    folder.mkdir(parents=True)
    for name in sorted(packages):
        status = folder / name
        status.write_text(run("dpkg-query", "--status", name))
        yield status, Path("/var/lib/dpkg/status.d") / name
        copyright = Path("/usr/share/doc") / name / "copyright"
        yield copyright, copyright


KINDS = {"wheel": wheel, "npm": npm, "npm-program": npm_program, "image": image}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True, help="the folder for the packages")
    parser.add_argument("kinds", nargs="+", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    arguments = parser.parse_args()
    binary, into = arguments.binary.resolve(), arguments.into.resolve()
    if not binary.is_file():
        sys.exit(f"{binary} does not exist: cargo build --package bedrock-emulator")
    into.mkdir(parents=True, exist_ok=True)
    version = version_of(binary)
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory(prefix="bedrock-emulator-") as work:
            KINDS[kind](binary, version, into, Path(work) / kind)
    print("\n".join(sorted(path.name for path in into.iterdir())))


if __name__ == "__main__":
    main()
