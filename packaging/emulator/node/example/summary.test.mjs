//! Tests with `npm install --save-dev bedrock-emulator`.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
import { fault, refuse, start, toolUse } from "bedrock-emulator";
import { MODEL, summary } from "./summary.mjs";

let bedrock;
before(async () => {
  bedrock = await start();
  Object.assign(process.env, bedrock.environment);
});
beforeEach(() => bedrock.reset());
after(() => bedrock.stop());

test("a summary", async () => {
  await bedrock.script(MODEL, "Two cats see the sea.");
  assert.equal(await summary("a long story"), "Two cats see the sea.");
  const [request] = await bedrock.waitForRequests(1, { operation: "ConverseStream" });
  assert.deepEqual(request.body.messages[0].content, [{ text: "Summarize: a long story" }]);
});

test("an ordinary model quotes the prompt", async () => {
  assert.match(await summary("a long story"), /a long story/);
});

test("no capacity", async () => {
  // The SDK retries a throttled request, so every request is.
  await bedrock.faults({ throttle: 1 });
  assert.equal(await summary("a long story"), null);
});

test("the SDK retries", async () => {
  await bedrock.script(MODEL, [refuse("ThrottlingException"), "At last."]);
  assert.equal(await summary("a long story"), "At last.");
  assert.deepEqual((await bedrock.requests()).map((request) => request.status), [429, 200]);
});

test("an answer that ends early", async () => {
  await bedrock.script(MODEL, fault("end", "Two cats see the sea.", 3));
  await assert.rejects(summary("a long story"), { message: "incomplete: Two cats" });
});

test("a tool loop", async () => {
  await bedrock.script(MODEL, toolUse("get_weather", { city: "Paris" }, "It rains in Paris."));
  const client = new BedrockRuntimeClient(bedrock.clientConfig);
  const toolConfig = { tools: [{ toolSpec: { name: "get_weather", inputSchema: { json: { type: "object" } } } }] };
  const messages = [{ role: "user", content: [{ text: "Does it rain in Paris?" }] }];
  const send = () => client.send(new ConverseCommand({ modelId: MODEL, messages, toolConfig }));
  const first = await send();
  const { toolUseId, input } = first.output.message.content[0].toolUse;
  assert.deepEqual([first.stopReason, input], ["tool_use", { city: "Paris" }]);
  const content = [{ toolResult: { toolUseId, content: [{ text: "rain" }] } }];
  messages.push(first.output.message, { role: "user", content });
  assert.deepEqual((await send()).output.message.content, [{ text: "It rains in Paris." }]);
  client.destroy();
});

test("the quota of a model", async () => {
  await bedrock.quota(MODEL, { requests: 1 });
  assert.notEqual(await summary("one"), null);
  assert.equal(await summary("two"), null);
  assert.equal((await bedrock.quotas())[0].usage.requests, 1);
});
