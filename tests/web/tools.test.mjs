// The tool loop by hand: the model calls tools, the reader gives their results, and the model goes on.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  lastTurn,
  launch,
  open,
  script,
  scriptFolder,
  send,
  serve,
  serveWithEmulator,
  settled,
  skip,
} from "./harness.mjs";

const TOOLS = JSON.stringify([
  {
    toolSpec: {
      name: "weather",
      inputSchema: { json: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
    },
  },
]);
const event = (type, payload) => ({ event: { type, payload } });
const delta = (index, body) => event("contentBlockDelta", { contentBlockIndex: index, delta: body });
const call = (index, name) => [
  event("contentBlockStart", { contentBlockIndex: index, start: { toolUse: { toolUseId: `call-${index}`, name } } }),
  delta(index, { toolUse: { input: `{"city": "<b>Rome` } }),
  delta(index, { toolUse: { input: `${index}</b>"}` } }),
  event("contentBlockStop", { contentBlockIndex: index }),
];
/** Thinks, calls two tools, and answers when it has the results. */
const LOOP = {
  steps: [
    event("messageStart", { role: "assistant" }),
    delta(0, { reasoningContent: { text: "I need the weather." } }),
    delta(0, { reasoningContent: { signature: "proof" } }),
    event("contentBlockStop", { contentBlockIndex: 0 }),
    ...call(1, "weather"),
    ...call(2, "weather"),
    event("messageStop", { stopReason: "tool_use" }),
    event("metadata", { usage: { inputTokens: 5, outputTokens: 7, totalTokens: 12 }, metrics: { latencyMs: 1 } }),
  ],
  on_tool_result: script(["It is sunny."]),
};

describe("tools", { skip }, () => {
  let chromium;
  let servers;
  let emulated;
  before(async () => {
    chromium = await launch();
    const flags = ["--local", "--scripts", scriptFolder({ loop: LOOP })];
    emulated = await serveWithEmulator();
    servers = { server: await serve(flags), browser: await serve([...flags, "--conversations", "off"]) };
  });
  after(async () => {
    await chromium?.close();
    for (const server of Object.values(servers ?? {})) await server.stop();
    await emulated?.stop();
  });

  for (const where of ["server", "browser"]) {
    test(`each call has a form, and with the results the turn goes on; stored by the ${where}`, async () => {
      const { page, calm, close } = await open(chromium, servers[where].url);
      assert.match(await page.textContent("#place"), where === "server" ? /server/ : /browser/);
      await send(page, "What is the weather?", "emulator.loop");
      await settled(page);
      const form = page.locator(".tool-form");
      assert.equal(await form.locator("fieldset").count(), 2);
      assert.match(await form.locator("pre").first().textContent(), /<b>Rome1<\/b>/);
      assert.match(await lastTurn(page).locator(".meta").textContent(), /waits for a tool/);

      await send(page, "Never mind", "emulator.loop");
      assert.match(await page.textContent("#complaint"), /waits for the results of its tools/);
      assert.equal(await page.locator(".turn").count(), 1);

      // It survives a reload: the calls are part of the conversation.
      await page.reload();
      await page.waitForSelector(".tool-form");
      await page.click(".tool-form [type=submit]");
      assert.match(await form.locator(".wrong").first().textContent(), /Write a result/);
      await form.locator("textarea").nth(0).fill('{"sun": tru');
      await form.locator("select").nth(0).selectOption("json");
      await form.locator("textarea").nth(1).fill("no such city");
      await form.locator("[type=checkbox]").nth(1).check();
      await page.click(".tool-form [type=submit]");
      assert.match(await form.locator(".wrong").first().textContent(), /line 1, column 9/);
      await form.locator("textarea").nth(0).fill('{"sun": true}');
      await page.click(".tool-form [type=submit]");
      await page.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
      await settled(page);
      assert.equal(await page.locator(".problem").count(), 0, await lastTurn(page).textContent());
      assert.equal(await form.count(), 0);
      assert.match(await lastTurn(page).locator(".parts").textContent(), /It is sunny/);
      assert.match(
        await lastTurn(page).locator(".asked").textContent(),
        /Results of tools.*"sun": ?true.*The tool failed.*no such city/s,
      );
      await calm();
      await close();
    });
  }

  test("the results, the calls and the signed reasoning reach Bedrock, and later turns go on", async () => {
    const { page, calm, close } = await open(chromium, emulated.url);
    await page.click("#settings");
    await page.click("details[data-group=Tools] summary");
    await page.fill("#p-tool-config-tools", TOOLS);
    await page.selectOption("#p-tool-config-tool-choice", "any");
    await send(page, "Call it");
    await page.waitForSelector(".tool-form");
    await settled(page);
    await page.selectOption("#p-tool-config-tool-choice", "");
    await page.fill(".tool-form textarea", "sunny");
    await page.click(".tool-form [type=submit]");
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0, await lastTurn(page).textContent());
    const { messages } = (await emulated.lastRequest()).body;
    assert.deepEqual(
      messages.map(({ role }) => role),
      ["user", "assistant", "user"],
    );
    const use = messages[1].content.find((block) => block.toolUse).toolUse;
    assert.equal(use.name, "weather");
    assert.deepEqual(messages[2].content, [
      { toolResult: { toolUseId: use.toolUseId, status: "success", content: [{ text: "sunny" }] } },
    ]);
    await send(page, "Thank you");
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 3);
    await settled(page);
    assert.equal((await emulated.lastRequest()).body.messages.length, 5);
    await calm();
    await close();
  });

  test("results that did not arrive can be sent again", async () => {
    const { page, calm, close } = await open(chromium, servers.server.url);
    await send(page, "What is the weather?", "emulator.loop");
    await settled(page);
    for (const area of await page.locator(".tool-form textarea").all()) await area.fill("sunny");
    await page.fill("#model", "emulator.exception");
    await page.click(".tool-form [type=submit]");
    await page.waitForSelector(".problem");
    await settled(page);
    assert(await page.locator(".tool-form").isVisible());
    await page.fill("#model", "emulator.loop");
    await page.click(".problem button");
    await settled(page);
    await page.waitForFunction(() => !document.querySelector(".tool-form, .problem"));
    assert.match(await lastTurn(page).locator(".parts").textContent(), /It is sunny/);
    await calm();
    await close();
  });
});
