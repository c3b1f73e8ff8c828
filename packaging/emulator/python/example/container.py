"""The emulator in a container. `EMULATOR_IMAGE` names the image."""

import os

from bedrock_emulator.testcontainers import BedrockContainer

with BedrockContainer(os.environ["EMULATOR_IMAGE"]) as container:
    emulator = container.emulator()
    emulator.script("a.model", "Hello from a container.")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    answer = emulator.client().converse(modelId="a.model", messages=messages)
    assert answer["output"]["message"]["content"] == [{"text": "Hello from a container."}]
    assert len(emulator.requests()) == 1
print("ok")
