// What goes back to a model, and what the line below an answer says: without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { modules } from "./modules.mjs";

const { sendable, blocksOf, progress, Answer, create, MessageSchema, ChunkSchema } = await modules(`
  export { sendable, blocksOf } from "./history.js";
  export { progress } from "./facts.js";
  export { Answer } from "./answer.js";
  export { create } from "@bufbuild/protobuf";
  export { MessageSchema } from "./generated/outcrop/v1/content_pb.js";
  export { ChunkSchema } from "./generated/outcrop/v1/chunk_pb.js";
`);
const [USER, ASSISTANT] = [1, 2];
const message = (role, ...blocks) => create(MessageSchema, { role, content: blocks.map((block) => ({ block })) });
const text = (value) => ({ case: "text", value });
const use = (toolUseId, type = "") => ({ case: "toolUse", value: { toolUseId, name: "clock", inputJson: "{}", type } });
const result = (toolUseId) => ({ case: "toolResult", value: { toolUseId, content: [{ block: text("noon") }] } });
const thought = (signature) => ({
  case: "reasoningContent",
  value: { block: { case: "reasoningText", value: { text: "hm", signature } } },
});
const kinds = (messages) => messages.map(({ content }) => content.map(({ block }) => block.case).join());

test("a use of a tool goes back only with its result, and reasoning only with a use", () => {
  const messages = [
    message(USER, text("a")),
    message(ASSISTANT, thought("proof"), text("b")),
    message(USER, text("c")),
    message(ASSISTANT, thought("proof"), thought(""), text("d"), use("1"), use("2")),
    message(USER, result("1")),
    message(ASSISTANT, use("3")),
    message(USER, text("e")),
  ];
  assert.deepEqual(kinds(sendable(messages)), [
    "text",
    "text",
    "text",
    "reasoningContent,text,toolUse",
    // A message of which nothing is left is not sent: Bedrock takes no empty one, and no two of one role.
    "toolResult,text",
  ]);
});

test("whatever the conversation, each use has its result and no message is empty", () => {
  let seed = 7;
  const random = (below) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  for (let round = 0; round < 500; round += 1) {
    const messages = Array.from({ length: 1 + random(8) }, (_, index) => {
      const blocks = Array.from({ length: random(4) }, () => {
        const id = String(random(4));
        return index % 2 === 0
          ? [text("x"), result(id)][random(2)]
          : [text("y"), use(id), use(id, "server_tool_use"), thought("proof"), thought("")][random(5)];
      });
      return message(index % 2 === 0 ? USER : ASSISTANT, ...blocks);
    });
    const sent = sendable(messages);
    for (const [index, { role, content }] of sent.entries()) {
      assert(content.length > 0 && role !== sent[index - 1]?.role);
      for (const block of role === USER ? [] : content) {
        const after = messages[messages.findIndex((one) => one.content.includes(block)) + 1];
        const results = (after?.content ?? []).filter((one) => one.block.case === "toolResult");
        const answered = results.map((one) => one.block.value.toolUseId);
        if (block.block.case === "toolUse") assert(answered.includes(block.block.value.toolUseId));
        if (block.block.case === "reasoningContent")
          assert(answered.length > 0 && block.block.value.block.value.signature);
      }
    }
  }
});

const answer = (...events) => {
  const made = new Answer(0);
  let sequence = 0;
  for (const event of events) {
    const numbered = event.case === "heartbeat" ? {} : { sequence: sequence++, contentBlockIndex: 0 };
    made.take(create(ChunkSchema, { ...numbered, event }), 1000);
  }
  return made;
};

test("an input of a tool that is not whole is not stored, and the signature of the reasoning is", () => {
  const start = { case: "toolUseStart", value: { toolUseId: "1", name: "clock" } };
  const delta = (kind, value) => ({ case: "reasoning", value: { delta: { case: kind, value } } });
  assert.deepEqual(kinds([{ content: blocksOf(answer(start, { case: "toolUseInput", value: '{"a": ' }).parts) }]), [
    "",
  ]);
  const [block] = blocksOf(answer(delta("text", "hm"), delta("signature", "pro"), delta("signature", "of")).parts);
  assert.equal(block.block.value.block.value.signature, "proof");
});

test("a call that waits for quota says its place, until it no longer waits", () => {
  const wait = {
    case: "heartbeat",
    value: { quotaWait: { position: 3, estimatedWait: { seconds: 11n, nanos: 500000000 } } },
  };
  assert.equal(progress(answer(wait))[0], "Waiting for quota, place 3, about 12 s");
  assert.equal(progress(answer(wait, { case: "text", value: "Hello" }))[0], "Answering");
});
