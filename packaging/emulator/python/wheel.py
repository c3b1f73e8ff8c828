"""Puts the program into the wheel, which is then for one platform. `packaging/emulator/build.py` says which program, and for which platform it is."""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        binary, platform = (os.environ.get(f"BEDROCK_EMULATOR_{name}") for name in ("BINARY", "PLATFORM"))
        if not binary or not platform:
            raise RuntimeError("build the wheel with packaging/emulator/build.py, which sets BEDROCK_EMULATOR_BINARY and BEDROCK_EMULATOR_PLATFORM")
        build_data["force_include"][binary] = "bedrock_emulator/bin/bedrock-emulator"
        build_data["pure_python"] = False
        # The program needs no version of Python.
        build_data["tag"] = f"py3-none-{platform}"
