// The AWS SDK for JavaScript as an application has it: reads cases as a line of JSON, asks for each, and prints what the application saw as
// a line of JSON.

import { createRequire } from "node:module";
import { createInterface } from "node:readline/promises";

import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const decoded = (bytes) => new TextDecoder().decode(bytes);

const messages = (test) => [{ role: "user", content: [{ text: test.prompt }] }];

const operations = {
  async ConverseStream(send, test, outcome) {
    const answer = await send(new ConverseStreamCommand({ modelId: test.model, messages: messages(test) }));
    for await (const event of answer.stream) {
      const tool = event.contentBlockStart?.start?.toolUse;
      if (tool) outcome.tool = { name: tool.name, input: "" };
      const delta = event.contentBlockDelta?.delta;
      outcome.text += delta?.text ?? "";
      if (delta?.toolUse) outcome.tool.input += delta.toolUse.input;
      outcome.stop = event.messageStop?.stopReason ?? outcome.stop;
      if (test.leave && outcome.text) return;
    }
  },
  async Converse(send, test, outcome) {
    const answer = await send(new ConverseCommand({ modelId: test.model, messages: messages(test) }));
    for (const block of answer.output?.message?.content ?? []) {
      outcome.text += block.text ?? "";
      if (block.toolUse) outcome.tool = { name: block.toolUse.name, input: JSON.stringify(block.toolUse.input) };
    }
    outcome.stop = answer.stopReason ?? "";
  },
  async InvokeModelWithResponseStream(send, test, outcome) {
    const answer = await send(new InvokeModelWithResponseStreamCommand({ modelId: test.model, body: test.body }));
    for await (const event of answer.body) {
      if (event.chunk) outcome.chunks.push(decoded(event.chunk.bytes));
      if (test.leave) return;
    }
  },
  async InvokeModel(send, test, outcome) {
    const answer = await send(new InvokeModelCommand({ modelId: test.model, body: test.body }));
    outcome.chunks.push(decoded(answer.body));
  },
};

// A case with a client of its own, so that no connection is shared.
async function run(test) {
  const client = new BedrockRuntimeClient(test.once ? { maxAttempts: 1 } : {});
  const outcome = { case: test.case, text: "", stop: "", tool: null, chunks: [], error: null };
  const leaving = new AbortController();
  try {
    const send = (command) => client.send(command, { abortSignal: leaving.signal });
    await operations[test.operation](send, test, outcome);
  } catch (error) {
    outcome.error = {
      class: error.constructor.name,
      code: error.name,
      message: error.message,
      status: error.$metadata?.httpStatusCode ?? 0,
    };
  }
  if (test.leave === "abort") leaving.abort();
  if (!test.leave) client.destroy();
  return outcome;
}

const { version } = createRequire(import.meta.url)("@aws-sdk/client-bedrock-runtime/package.json");
console.log(JSON.stringify({ sdk: `AWS SDK for JavaScript ${version}` }));
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const cases = JSON.parse((await input.next()).value);
for (const outcome of await Promise.all(cases.map(run))) console.log(JSON.stringify(outcome));
// What was left must not end with the process.
await input.next();
process.exit();
