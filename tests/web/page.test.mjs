// What a reader does with the page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, send, serveWithEmulator, settled, skip } from "./harness.mjs";

describe("the page", { skip }, () => {
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

  test("an answer grows while it streams, and says how it ended", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    assert.equal(await page.title(), "Response Streaming");
    assert.equal(await page.textContent("h1"), "Response Streaming");
    await page.evaluate(() => {
      window.lengths = new Set();
      new MutationObserver(() => {
        if (document.getElementById("go").hidden)
          window.lengths.add(document.querySelector(".turn .parts").textContent.length);
      }).observe(document.getElementById("turns"), { childList: true, characterData: true, subtree: true });
    });
    await send(page, "Tell me a story");
    await settled(page);
    const lengths = await page.evaluate(() => window.lengths.size);
    assert(lengths >= 4, `only ${lengths} lengths were seen`);
    const meta = await lastTurn(page).locator(".meta").textContent();
    for (const told of [
      /tokens: \d+ in, \d+ out/,
      /complete/,
      /first chunk after [\d.]+ s/,
      /tokens\/s/,
      /emulator\.default/,
      /us-east-1/,
    ]) {
      assert.match(meta, told);
    }
    assert.match(await page.textContent("#status"), /The answer is complete/);
    await calm();
    await close();
  });

  test("Stop ends the call to Bedrock", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    for (const halt of [() => page.click("#stop"), () => page.keyboard.press("Escape")]) {
      const { abandoned } = await server.stats();
      await send(page, "Go on for ever", "emulator.endless");
      await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
      await halt();
      await settled(page);
      assert.match(await lastTurn(page).locator(".stopped").textContent(), /not whole/);
      const seen = async () => (await server.stats()).abandoned;
      for (let tries = 0; tries < 50 && (await seen()) === abandoned; tries += 1) await page.waitForTimeout(50);
      assert.equal(await seen(), abandoned + 1);
    }
    await calm();
    await close();
  });

  test("an error is shown with its reason and what to do", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    const cases = [
      [
        "emulator.refuse-throttle",
        /BEDROCK_THROTTLED/,
        /Wait a little and try again\. The server asks to wait [\d.]+ s/,
      ],
      ["emulator.refuse-access", /BEDROCK_ACCESS_DENIED/, /Choose another model/],
      ["emulator.exception", /[A-Z]+_[A-Z_]+/, /not whole/],
      ["emulator.cut", /UPSTREAM_TRUNCATED/, /not whole/],
      ["Not A Model", /[A-Z]+_[A-Z_]+/, /.+/],
    ];
    for (const [model, reason, advice] of cases) {
      await send(page, "Hello", model);
      await settled(page);
      const problem = lastTurn(page).locator(".problem");
      assert.match(await problem.locator("code").first().textContent(), reason, model);
      assert.match(await problem.textContent(), advice, model);
      assert.match(await page.textContent("#status"), /Failed/);
      await problem.locator("button").waitFor();
      assert(await inView(problem.locator("button")), `${model}: the reader has to look for what went wrong`);
    }
    await calm();
    await close();
  });

  test("violations are listed, and wrong numbers do not leave the page", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.click("#settings");
    await page.fill("#temperature", "7");
    await send(page, "Hello", "emulator.default");
    assert.equal(await page.locator(".turn").count(), 0);
    await page.fill("#temperature", "");
    await send(page, "Hello", "x".repeat(3000));
    await settled(page);
    assert.match(await lastTurn(page).locator(".problem li").first().textContent(), /model/);
    await calm();
    await close();
  });

  test("the settings reach Bedrock", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.click("#settings");
    await page.fill("#system", "Be brief.");
    await page.fill("#max-tokens", "99");
    await page.fill("#temperature", "0.5");
    await page.fill("#top-p", "0.25");
    await page.fill("#stops", "END\nSTOP");
    await send(page, "Hello", "emulator.reasoning");
    await settled(page);
    const { body } = await server.lastRequest();
    assert.deepEqual(body.system, [{ text: "Be brief." }]);
    assert.deepEqual(body.inferenceConfig, {
      maxTokens: 99,
      temperature: 0.5,
      topP: 0.25,
      stopSequences: ["END", "STOP"],
    });
    await calm();
    await close();
  });

  test("the second turn remembers the first, also after a reload; and conversations can be reopened and deleted", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "First question", "emulator.reasoning");
    await settled(page);
    await send(page, "Second question");
    await settled(page);
    const texts = async () =>
      (await server.lastRequest()).body.messages.map(({ role, content }) => [role, content.at(-1).text]);
    const two = await texts();
    assert.deepEqual(
      two.map(([role]) => role),
      ["user", "assistant", "user"],
    );
    assert.deepEqual([two[0][1], two[2][1]], ["First question", "Second question"]);
    assert.match(page.url(), /#.+/);
    const shown = await page.locator(".parts .prose").allTextContents();
    await page.reload();
    await page.waitForSelector(".turn:nth-child(2)");
    await settled(page);
    assert.deepEqual(await page.locator(".parts .prose").allTextContents(), shown);
    await send(page, "Third question", "emulator.reasoning");
    await settled(page);
    assert.equal((await texts()).length, 5);

    await page.click("#new");
    assert.equal(await page.locator(".turn").count(), 0);
    await send(page, "Something else");
    await settled(page);
    assert.equal((await texts()).length, 1);
    await page.waitForFunction(() => document.querySelectorAll("#list a").length === 2);
    const titles = await page.locator("#list a span").allTextContents();
    assert.deepEqual(titles, ["Something else", "First question"]);
    await page.click("#list li:nth-child(2) a");
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 3);
    await page.goBack();
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 1);
    for (const left of [1, 0]) {
      const button = page.locator("#list li").first().locator(".delete");
      await button.focus();
      await button.press("Enter");
      assert.equal(await page.locator("#list a").count(), left + 1, "one click deletes nothing");
      await button.press("Enter");
      await page.waitForFunction((count) => document.querySelectorAll("#list a").length === count, left);
    }
    await calm();
    await close();
  });

  test("where the server keeps conversations, every window has them", async () => {
    const keeping = await serveWithEmulator(["--conversations", "memory"]);
    const { page, calm, close } = await open(chromium, keeping.url);
    assert.equal(await page.textContent("#place"), "Kept on the server");
    await page.click("#settings");
    await page.fill("#system", "Be brief.");
    await send(page, "First question", "emulator.everything");
    await settled(page);
    await send(page, "Second question");
    await settled(page);
    const { body } = await keeping.lastRequest();
    assert.deepEqual(
      body.messages.map(({ role }) => role),
      ["user", "assistant", "user"],
    );
    const folds = (on) => on.locator("details.fold > summary").allTextContents();
    const shown = await folds(page);
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
    await settled(page);
    assert.deepEqual(await folds(page), shown);
    assert.equal(await page.locator(".citations").count(), 2);
    assert.deepEqual(await page.inputValue("#model"), "emulator.everything");
    assert.deepEqual(await page.inputValue("#system"), "Be brief.");

    const other = await open(chromium, page.url());
    await other.page.waitForSelector(".turn");
    await send(page, "A long one", "emulator.endless");
    await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
    await send(other.page, "Me too", "emulator.default");
    await settled(other.page);
    assert.match(await lastTurn(other.page).locator(".problem").textContent(), /CONVERSATION_BUSY/);
    await page.keyboard.press("Escape");
    await settled(page);
    const button = other.page.locator(".delete");
    await button.focus();
    await button.press("Enter");
    await button.press("Enter");
    await other.page.waitForSelector("#list .none");
    await send(page, "Still there?", "emulator.default");
    await settled(page);
    assert.match(await lastTurn(page).locator(".problem").textContent(), /CONVERSATION_NOT_FOUND/);
    await calm();
    await other.close();
    await close();
    await keeping.stop();
  });

  test("a turn that failed is no part of the conversation, and can be asked again", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "Fails", "emulator.exception");
    await settled(page);
    await page.fill("#model", "emulator.reasoning");
    await lastTurn(page).locator(".problem button").click();
    await settled(page);
    assert.equal(await page.locator(".turn").count(), 1);
    assert.equal(await page.locator(".problem").count(), 0);
    assert.equal((await server.lastRequest()).body.messages.length, 1);
    await calm();
    await close();
  });

  test("reasoning and tools are folded, citations are numbered", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "Everything", "emulator.everything");
    await settled(page);
    const folds = await lastTurn(page).locator("details.fold > summary").allTextContents();
    assert(
      folds.some((title) => title.startsWith("Reasoning")) && folds.some((title) => title.startsWith("Tool: search")),
      `${folds}`,
    );
    assert.equal(await lastTurn(page).locator("details[open]").count(), 0);
    assert.match(await lastTurn(page).locator(".citations ol li").first().textContent(), /On cats/);
    await calm();
    await close();
  });

  test("an empty prompt is refused, and a megabyte is not", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.fill("#prompt", "  \n ");
    await page.click("#go");
    assert.equal(await page.textContent("#complaint"), "Write a prompt first.");
    assert.equal(await page.locator(".turn").count(), 0);
    const megabyte = "All work and no play. ".repeat(48_000).slice(0, 1 << 20);
    await send(page, megabyte, "emulator.reasoning");
    await settled(page);
    assert.equal((await server.lastRequest()).body.messages[0].content[0].text.length, 1 << 20);
    assert.match(await lastTurn(page).locator(".meta").textContent(), /tokens: \d+ in/);
    await calm();
    await close();
  });

  test("the keyboard is enough", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.fill("#model", "emulator.endless");
    await page.focus("#prompt");
    await page.keyboard.type("Hello from the keyboard");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("#stop:not([hidden])");
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
    await page.keyboard.press("Escape");
    await settled(page);
    const order = [];
    await page.focus("#prompt");
    for (let step = 0; step < 3; step += 1) {
      await page.keyboard.press("Tab");
      order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
    }
    assert.deepEqual(order, ["attach", "model", "go"]);
    await page.reload();
    await page.waitForFunction(() => document.activeElement.id === "prompt");
    // From the beginning of the page.
    await page.evaluate(() => {
      document.body.tabIndex = -1;
      document.body.focus();
    });
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "skip");
    await calm();
    await close();
  });
});

/** Whether an element is on the screen and not below the form. */
async function inView(locator) {
  return locator.evaluate((element) => {
    const { bottom, top } = element.getBoundingClientRect();
    return top >= 0 && bottom <= document.getElementById("composer").getBoundingClientRect().top + 1;
  });
}
