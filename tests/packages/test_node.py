"""The packages for npm, in a folder that has nothing else of this repository."""

import os
import signal
import subprocess

from conftest import HOSTILE, ends, run


def script(node, text, **options):
    return run("node", "--input-type=module", "--eval", text, folder=node, **options)


def test_the_example_passes(node):
    assert "# pass 7" in run("npm", "test", folder=node).stdout


def test_a_client_with_its_config_calls_the_emulator_whatever_the_environment_has(node):
    text = """
        import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
        import { start } from "bedrock-emulator";
        const bedrock = await start();
        const messages = [{ role: "user", content: [{ text: "hi" }] }];
        await new BedrockRuntimeClient(bedrock.clientConfig).send(new ConverseCommand({ modelId: "a.model", messages }));
        console.log((await bedrock.requests()).length);
    """
    kept = {name: value for name, value in HOSTILE.items() if name not in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE")}
    assert script(node, text, environment=kept).stdout == "1\n"


def test_a_process_that_does_not_start_says_why(node):
    start = 'import { start } from "bedrock-emulator"; await start({ arguments: ["--faults", "nonsense=1"] });'
    wrong = script(node, start, check=False)
    assert "NotReady: the emulator did not start, with exit code 2" in wrong.stderr and "Faults: throttle, " in wrong.stderr
    missing = script(node, start, check=False, environment={"BEDROCK_EMULATOR_BINARY": "/nowhere"})
    assert "NotReady: /nowhere cannot be run" in missing.stderr


def test_a_package_that_is_missing_is_named(node, tmp_path):
    (tmp_path / "node_modules").mkdir()
    os.symlink(node / "node_modules/bedrock-emulator", tmp_path / "node_modules/bedrock-emulator")
    # Links are not followed, so that the other package is not found beside it.
    text = 'import { start } from "bedrock-emulator"; await start();'
    done = run("node", "--preserve-symlinks", "--input-type=module", "--eval", text, folder=tmp_path, check=False)
    assert "NotReady: the package bedrock-emulator-linux-" in done.stderr and "--omit=optional" in done.stderr


def test_what_the_emulator_refuses_and_what_does_not_come_is_told(node):
    text = """
        import { start } from "bedrock-emulator";
        const bedrock = await start();
        await bedrock.script("a.model", { step: [] }).catch((error) => console.log(String(error)));
        await bedrock.waitForRequests(2, { model: "b.model", timeoutMs: 100 }).catch((error) => console.log(String(error)));
        process.kill(bedrock.pid, "SIGKILL");
        // Until Node.js knows that it has ended, it only cannot be reached.
        let error;
        do error = await bedrock.reset().catch((error) => error); while (error?.name !== "NotReady");
        console.log(String(error).split(":")[1]);
        await bedrock.stop();
    """
    refused, waited, ended = script(node, text).stdout.splitlines()
    assert "EmulatorError: PUT /_emulator/scripts/a.model: " in refused and "unknown field `step`" in refused
    assert waited == 'RequestsMissing: 0 of 2 requests came within 100 ms ({"model":"b.model"}). All requests: none'
    assert ended == " the emulator has ended, with the signal SIGKILL"


def test_the_emulator_ends_with_the_process_that_started_it(node):
    begin = 'import { start } from "bedrock-emulator"; const bedrock = await start(); console.log(bedrock.pid);'
    # It does not keep Node.js running.
    assert ends(int(script(node, begin).stdout))
    command = ["node", "--input-type=module", "--eval", f"{begin} setTimeout(() => {{}}, 600_000);"]
    parent = subprocess.Popen(command, cwd=node, stdout=subprocess.PIPE, text=True)
    emulator = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends(emulator)


def test_the_command_is_the_program(node):
    assert run("npx", "bedrock-emulator", "--version", folder=node).stdout.startswith("bedrock-emulator ")
    assert run("npx", "bedrock-emulator", "--nonsense", folder=node, check=False).returncode == 2
