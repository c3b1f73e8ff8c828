"""Generates `outcrop.v1` from the proto files when the package is built. A source distribution has no proto files, and the generated code."""

from importlib import resources
from pathlib import Path

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent


def generate():
    protos = HERE.parents[1] / "proto"
    if not protos.exists():
        return
    out = HERE / "src"
    files = [str(path) for path in sorted(protos.glob("outcrop/v1/*.proto"))]
    flags = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    known = resources.files("grpc_tools").joinpath("_proto")
    if protoc.main(["protoc", f"-I{protos}", f"-I{known}", *flags, *files]):
        raise RuntimeError(f"protoc failed for the files in {protos}")
    package = out / "outcrop/v1"
    # Only one of the files has a service, and protoc writes a module for each.
    for path in package.glob("*_pb2_grpc.py"):
        if path.name != "generation_service_pb2_grpc.py":
            path.unlink()
    modules = sorted(path.stem for path in package.glob("*_pb2.py"))
    imports = "".join(f"from outcrop.v1.{module} import *\n" for module in modules)
    stub = "from outcrop.v1.generation_service_pb2_grpc import GenerationServiceStub\n"
    (package / "__init__.py").write_text(f'"""The messages and the stub, generated from the proto files."""\n\n{imports}{stub}')


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        generate()
