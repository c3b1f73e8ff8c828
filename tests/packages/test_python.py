"""The wheel, in an environment that has nothing else of this repository."""

import signal
import subprocess

from conftest import HOSTILE, ends, run


def script(python, text, **options):
    program, folder = python
    return run(program, "-c", text, folder=folder, **options)


def test_the_example_passes_in_one_process_and_in_several(python):
    program, folder = python
    pytest = [program, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    assert "8 passed" in run(*pytest, folder=folder).stdout
    assert "8 passed" in run(*pytest, "-n", "2", folder=folder).stdout


def test_nothing_of_the_environment_leads_the_sdk_elsewhere(python):
    program, folder = python
    assert "8 passed" in run(program, "-m", "pytest", "-p", "no:cacheprovider", "-q", folder=folder, environment=HOSTILE).stdout


def test_the_fixture_takes_flags_and_leaves_the_environment_as_it_was(python, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nbedrock_emulator_args = --faults throttle=100% --seed 7\n")
    (tmp_path / "test_flags.py").write_text(
        "import os\n"
        "def test_first(bedrock):\n"
        "    bedrock.faults()\n"
        "    for name in ['AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'AWS_BEDROCK_RUNTIME_ENDPOINT', 'ANTHROPIC_BEDROCK_BASE_URL']:\n"
        "        assert os.environ[name] == bedrock.endpoint\n"
        "def test_the_environment():\n"
        "    assert not [name for name in os.environ if name.startswith(('AWS_', 'ANTHROPIC_'))]\n"
        "def test_second(bedrock, monkeypatch):\n"
        "    monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')\n"
        "    client = bedrock.client()\n"
        "    try:\n"
        "        client.converse(modelId='a.model', messages=[{'role': 'user', 'content': [{'text': 'hi'}]}])\n"
        "    except client.exceptions.ThrottlingException:\n"
        "        return\n"
        "    raise AssertionError('the flag of the file was lost')\n"
    )
    assert "3 passed" in run(python[0], "-m", "pytest", "-p", "no:cacheprovider", "-q", folder=tmp_path).stdout


def test_a_process_that_does_not_start_says_why(python):
    wrong = script(python, "import bedrock_emulator\nbedrock_emulator.start(['--faults', 'nonsense=1'])", check=False)
    assert wrong.returncode == 1
    assert "NotReady: the emulator did not start, with exit code 2" in wrong.stderr and "Faults: throttle, " in wrong.stderr
    missing = script(python, "import bedrock_emulator\nbedrock_emulator.start()", check=False, environment={"BEDROCK_EMULATOR_BINARY": "/nowhere"})
    assert "NotReady: /nowhere cannot be run" in missing.stderr


def test_a_process_that_has_ended_says_so(python):
    text = "import os, signal, bedrock_emulator\nb = bedrock_emulator.start()\nos.kill(b.pid, signal.SIGKILL)\nb._process.wait()\nb.reset()"
    done = script(python, text, check=False)
    assert "NotReady: the emulator has ended, with exit code -9" in done.stderr


def test_what_the_emulator_refuses_is_told(python):
    text = "import bedrock_emulator\nwith bedrock_emulator.start() as b: b.script('a.model', {'step': []})"
    assert "EmulatorError: PUT /_emulator/scripts/a.model: " in script(python, text, check=False).stderr
    assert "unknown field `step`" in script(python, text, check=False).stderr


def test_a_wait_that_is_in_vain_lists_what_came(python):
    text = (
        "import bedrock_emulator\n"
        "with bedrock_emulator.start() as b:\n"
        "    b.client().converse(modelId='a.model', messages=[{'role': 'user', 'content': [{'text': 'hi'}]}])\n"
        "    try:\n"
        "        b.wait_for_requests(2, model='b.model', timeout=0.1)\n"
        "    except AssertionError as error:\n"
        "        print(error)\n"
    )
    assert script(python, text).stdout.splitlines() == [
        "0 of 2 requests came within 0.1 s (model='b.model'). All requests:",
        "  Converse a.model: completed, status 200",
    ]


def test_the_emulator_ends_with_the_process_that_started_it(python):
    program, folder = python
    text = "import bedrock_emulator, time\nb = bedrock_emulator.start()\nprint(b.pid, flush=True)\ntime.sleep(600)"
    parent = subprocess.Popen([program, "-c", text], cwd=folder, stdout=subprocess.PIPE, text=True)
    emulator = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends(emulator)


def test_a_stop_does_not_wait_for_what_was_forked(python):
    text = (
        "import bedrock_emulator, os, signal, time\n"
        "b = bedrock_emulator.start()\n"
        "child = os.fork() or time.sleep(600)\n"
        "b.stop()\n"
        "os.kill(child, signal.SIGKILL)\n"
        "print(b._process.returncode)\n"
    )
    assert script(python, text).stdout == "0\n"


def test_the_command_is_the_program(python):
    program, folder = python
    assert run(program.parent / "bedrock-emulator", "--version", folder=folder).stdout.startswith("bedrock-emulator ")
    assert run(program.parent / "bedrock-emulator", "--nonsense", folder=folder, check=False).returncode == 2
