//! The emulator in a container. `EMULATOR_IMAGE` names the image.

import assert from "node:assert/strict";
import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
import { BedrockContainer } from "bedrock-emulator/testcontainers";

const container = await new BedrockContainer(process.env.EMULATOR_IMAGE).start();
try {
  const { emulator } = container;
  await emulator.script("a.model", "Hello from a container.");
  const client = new BedrockRuntimeClient(emulator.clientConfig);
  const messages = [{ role: "user", content: [{ text: "hi" }] }];
  const answer = await client.send(new ConverseCommand({ modelId: "a.model", messages }));
  client.destroy();
  assert.deepEqual(answer.output.message.content, [{ text: "Hello from a container." }]);
  assert.equal((await emulator.requests()).length, 1);
} finally {
  await container.stop();
}
console.log("ok");
