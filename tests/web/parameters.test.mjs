// The parameters: all that the API has, what reaches Bedrock, and what is wrong said at its place.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, send, serveWithEmulator, settled, skip } from "./harness.mjs";
import { modules } from "./modules.mjs";

/** Fields whose messages are written as a whole. */
const WHOLE = ["messages", "system", "tool_config.tools", "tool_config.tool_choice", "prompt_variables"];

test("every field of a request is a parameter, or the page fills it", async () => {
  const { GenerateRequestSchema, PARAMETERS, FILLED } = await modules(
    'export * from "./parameters.js"; export { GenerateRequestSchema } from "./generated/outcrop/v1/generation_pb.js";',
  );
  const leaves = (message, before = "") =>
    message.fields.flatMap((field) => {
      const path = before + field.name;
      const inner = field.message ?? (field.listKind === "message" ? field.message : undefined);
      const whole = !inner || WHOLE.includes(path) || inner.typeName.startsWith("google.protobuf.");
      return whole ? [{ path, field }] : leaves(inner, `${path}.`);
    });
  const all = leaves(GenerateRequestSchema);
  assert(all.length > 35, `${all.length} fields`);
  const parameters = new Map(PARAMETERS.map((parameter) => [parameter.path, parameter]));
  const hidden = all.filter(({ path }) => !parameters.has(path) && !(path in FILLED)).map(({ path }) => path);
  assert.deepEqual(hidden, [], "fields that the page hides: add them to web/src/parameters.ts");
  const known = new Set(all.map(({ path }) => path));
  const gone = Object.keys(FILLED).filter((path) => !known.has(path));
  assert.deepEqual(gone, [], "fields that the contract no longer has");
  for (const { path, field } of all) {
    if (!field.enum || !parameters.has(path)) continue;
    const values = field.enum.values.filter(({ number }) => number !== 0).map(({ name }) => name);
    assert.deepEqual(parameters.get(path).choices, values, path);
  }
});

describe("the panel", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serveWithEmulator();
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  async function withPanel() {
    const opened = await open(chromium, server.url);
    await opened.page.click("#settings");
    const closed = opened.page.locator("#parameters details:not([open]) > summary");
    while ((await closed.count()) > 0) await closed.first().click();
    return opened;
  }

  test("what is set reaches Bedrock", async () => {
    const { page, calm, close } = await withPanel();
    const fill = {
      system: "Be brief.",
      "max-tokens": "9000",
      temperature: "0.5",
      "top-p": "0.25",
      stops: "END\nSTOP",
      "p-output-config-effort": "high",
      "p-reasoning-budget-tokens": "2048",
      "p-tool-config-tools":
        '[{"toolSpec": {"name": "clock", "inputSchema": {"json": {"type": "object", "maxProperties": 3}}}}]',
      "p-tool-config-tool-choice-tool-name": "clock",
      "p-output-config-text-format-structure-json-schema-schema": '{"type": "object"}',
      "p-output-config-text-format-structure-json-schema-name": "answer",
      "p-guardrail-config-guardrail-identifier": "gr-1",
      "p-guardrail-config-guardrail-version": "DRAFT",
      "p-additional-model-request-fields": '{"top_k": 50}',
      "p-additional-model-response-field-paths": "/stop_sequence",
      "p-request-metadata": '{"team": "tests"}',
      "p-time-limits-total": "60",
      "p-heartbeat-interval": "0.5",
    };
    const choose = {
      "p-tool-config-tool-choice": "tool",
      "p-guardrail-config-trace": "enabled",
      "p-guardrail-config-stream-processing-mode": "async",
      "p-system-cache-point": "1h",
      "p-tool-config-tools-cache-point": "default",
      "p-messages-cache-point": "5m",
      "p-service-tier-type": "flex",
      "p-performance-config-latency": "optimized",
      "p-priority": "PRIORITY_BATCH",
    };
    for (const [id, text] of Object.entries(fill)) await page.fill(`#${id}`, text);
    for (const [id, value] of Object.entries(choose)) await page.selectOption(`#${id}`, value);
    await page.check("#p-system-guard-content");
    assert.equal(await page.textContent("#settings"), `Parameters (${Object.keys({ ...fill, ...choose }).length + 1})`);
    await send(page, "Hello", "emulator.default");
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0, await lastTurn(page).textContent());
    const { body } = await server.lastRequest();
    const sent = ({ messages, ...rest }) => ({ ...rest, content: messages[0].content });
    assert.deepEqual(sent(body), {
      content: [{ text: "Hello" }, { cachePoint: { type: "default", ttl: "5m" } }],
      system: [{ guardContent: { text: { text: "Be brief." } } }, { cachePoint: { type: "default", ttl: "1h" } }],
      inferenceConfig: { maxTokens: 9000, temperature: 0.5, topP: 0.25, stopSequences: ["END", "STOP"] },
      toolConfig: {
        tools: [
          { toolSpec: { name: "clock", inputSchema: { json: { type: "object", maxProperties: 3 } } } },
          { cachePoint: { type: "default" } },
        ],
        toolChoice: { tool: { name: "clock" } },
      },
      guardrailConfig: {
        guardrailIdentifier: "gr-1",
        guardrailVersion: "DRAFT",
        trace: "enabled",
        streamProcessingMode: "async",
      },
      additionalModelRequestFields: { top_k: 50, thinking: { type: "enabled", budget_tokens: 2048 } },
      additionalModelResponseFieldPaths: ["/stop_sequence"],
      requestMetadata: { team: "tests" },
      performanceConfig: { latency: "optimized" },
      serviceTier: { type: "flex" },
      outputConfig: {
        textFormat: {
          type: "json_schema",
          structure: { jsonSchema: { schema: '{"type": "object"}', name: "answer" } },
        },
        effort: "high",
      },
    });
    assert.equal(await page.inputValue("#p-messages-cache-point"), "", "one prompt has the cache point, not each");
    await calm();
    await close();
  });

  test("what is wrong is said at its place, and nothing is sent", async () => {
    const { page, calm, close } = await withPanel();
    const cases = [
      ["p-tool-config-tools", '[\n  {"toolSpec": {"name": "x"}\n', /line 3, column 1: a } is missing/],
      ["p-tool-config-tools", '[{"toolSpec": {"nam": "x"}}]', /ToolSpecification.*nam/],
      ["p-tool-config-tools", '{"name": "x"}', /must be an array/],
      ["p-additional-model-request-fields", "{'a': 1}", /line 1, column 2/],
      ["p-request-metadata", '{"a": 1}', /request_metadata|string/],
      [
        "p-output-config-text-format-structure-json-schema-schema",
        '{"type": }',
        /line 1, column 10: a value is missing/,
      ],
      ["temperature", "7", /from 0 to 1/],
      ["max-tokens", "1.5", /whole number/],
      ["max-tokens", "many", /"many" is not a number/],
      ["p-time-limits-idle", "0", /greater than 0/],
      ["p-reasoning-budget-tokens", "5", /from 1024/],
    ];
    for (const [id, text, told] of cases) {
      await page.fill(`#${id}`, text);
      await page.click("#settings");
      assert(await page.isHidden("#panel"));
      await send(page, "Hello", "emulator.default");
      const said = page.locator(`#${id}-wrong`);
      await said.waitFor();
      assert.match(await said.textContent(), told, id);
      assert.match(await page.textContent("#complaint"), /Nothing was sent/);
      assert.equal(await page.getAttribute(`#${id}`, "aria-invalid"), "true");
      assert.equal(await page.evaluate(() => document.activeElement.id), id);
      assert.equal(await page.locator(".turn").count(), 0);
      await page.fill(`#${id}`, "");
      assert.equal(await said.textContent(), "", "it is said no longer than it is true");
    }
    await page.selectOption("#p-tool-config-tool-choice", "any");
    await send(page, "Hello", "emulator.default");
    assert.match(await page.textContent("#complaint"), /there are no tools/);
    await page.click("#panel-reset");
    await send(page, "Hello", "emulator.reasoning");
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0);
    await calm();
    await close();
  });

  test("a native body goes as it is, and its turn is no part of the conversation", async () => {
    const { page, calm, close } = await withPanel();
    const model = "anthropic.claude-3-haiku-20240307-v1:0";
    const native = {
      anthropic_version: "bedrock-2023-05-31",
      max_tokens: 9,
      messages: [{ role: "user", content: "Hi there" }],
    };
    await page.fill("#p-native-body", JSON.stringify(native));
    await page.fill("#system", "is not sent");
    await send(page, "", model);
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0, await lastTurn(page).textContent());
    assert.deepEqual((await server.lastRequest()).body, native);
    assert.match(await lastTurn(page).locator(".fold summary").textContent(), /native chunks/);
    await page.click("#panel-reset");
    await send(page, "Hello", "emulator.reasoning");
    await settled(page);
    assert.equal((await server.lastRequest()).body.messages.length, 1);
    await calm();
    await close();
  });

  test("what is set survives a reload, and is gone after Reset", async () => {
    const { page, calm, close } = await withPanel();
    await page.fill("#temperature", "0.5");
    await page.fill("#p-tool-config-tools", "[]");
    await page.selectOption("#p-service-tier-type", "flex");
    await page.check("#p-include-message");
    await page.reload();
    await page.waitForFunction(() => document.getElementById("settings").textContent === "Parameters (4)");
    assert.equal(await page.inputValue("#p-tool-config-tools"), "[]");
    assert.equal(await page.inputValue("#p-service-tier-type"), "flex");
    assert(await page.isChecked("#p-include-message"));
    await page.click("#settings");
    await page.click("#panel-reset");
    assert.equal(await page.textContent("#settings"), "Parameters");
    assert.equal(await page.inputValue("#temperature"), "");
    await calm();
    await close();
  });

  test("Escape closes the panel and not the answer, and the focus goes back", async () => {
    const { page, calm, close } = await withPanel();
    await page.focus("#system");
    await page.keyboard.press("Escape");
    assert(await page.isHidden("#panel"));
    assert.equal(await page.evaluate(() => document.activeElement.id), "settings");
    await calm();
    await close();
  });
});
