"""The production build has no emulator: no setting makes it answer from anything but AWS, and it says so."""

import re

import pytest

from conftest import outcrop, run

BUILD = "Build it with the feature `emulator`, which cargo enables by default"


def test_the_emulator_and_the_client_are_not_in_the_tree():
    tree = run(["cargo", "tree", "--package", "outcrop", "--no-default-features", "--edges", "normal,build"]).stdout
    assert "\n├── aws-sdk-bedrockruntime v" in tree
    assert "bedrock-emulator" not in tree and "outcrop-client" not in tree
    assert "bedrock-emulator" in run(["cargo", "tree", "--package", "outcrop", "--edges", "normal"]).stdout


@pytest.mark.parametrize("arguments, variables, name", [
    (["serve", "--local"], {}, "--local"),
    (["check"], {"OUTCROP_LOCAL": "1"}, "OUTCROP_LOCAL"),
    (["serve", "--local", "--default-model", "emulator.default"], {}, "--local"),
])
def test_local_is_refused_beside_all_other_problems(arguments, variables, name):
    done = outcrop(*arguments, "--grace", "soon", check=False, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"  - {name} cannot be used: this program was built without the emulator" in done.stderr
    assert BUILD in done.stderr and '  - --grace is "soon"' in done.stderr


def test_demo_is_refused():
    done = outcrop("demo", "hi", check=False)
    assert done.returncode == 2
    assert "outcrop demo needs the emulator" in done.stderr and BUILD in done.stderr


def test_what_turns_the_emulator_off_is_accepted(folder):
    file = folder / "outcrop.toml"
    file.write_text("local = false\n")
    assert "answers from: AWS, the region of its standard chain" in outcrop("check", "--config", file).stdout


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["config", "--sample"], ["config"]])
def test_nothing_offers_the_emulator(arguments):
    printed = outcrop(*arguments).stdout.lower()
    assert len(printed) > 500
    # Two settings have another default with --local, and say so.
    printed = re.sub(r"with --local: [a-z.]+", "", printed)
    for word in ["emulator", "local", "scripts", "demo"]:
        assert not re.search(rf"(?<!a ){word}(?!host)", printed), word


def test_without_an_account_the_emulator_is_not_proposed():
    done = outcrop("check", check=False, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_REGION=None)
    assert done.returncode == 2
    assert "no AWS credentials" in done.stderr and "--local" not in done.stderr
