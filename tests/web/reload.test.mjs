// What survives a reload: at every moment of an answer, wherever conversations are stored.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";
import { askAgain } from "./pair.mjs";

const ready = () => document.getElementById("place").textContent !== "";

describe("a reload", { skip, concurrency: 2 }, () => {
  let chromium;
  const servers = {};
  before(async () => {
    chromium = await launch();
    const scripts = scriptFolder({ short: script(["It is ", "whole."]) });
    servers.server = await serve(["--local", "--scripts", scripts]);
    servers.browser = await serve(["--local", "--scripts", scripts, "--conversations", "off"]);
  });
  after(async () => {
    await chromium?.close();
    for (const server of Object.values(servers)) await server.stop();
  });
  /** How many conversations are listed. Without callers a server has them for all browsers. */
  const listed = (page) => page.locator("#list a").count();
  const again = async (page) => {
    await page.reload();
    await page.waitForFunction(ready);
  };

  test("what was typed is there again, with its settings", async () => {
    const { page, calm, close } = await open(chromium, servers.browser.url);
    await page.click("#settings");
    await page.fill("#temperature", "0.5");
    await page.fill("#system", "Be brief.");
    await page.fill("#model", "emulator.short");
    await page.fill("#prompt", "Half a prom");
    await again(page);
    assert.equal(await page.inputValue("#prompt"), "Half a prom");
    assert.equal(await page.inputValue("#temperature"), "0.5");
    assert.equal(await page.inputValue("#system"), "Be brief.");
    await page.fill("#prompt", "A prompt");
    await page.keyboard.press("Enter");
    await settled(page);
    await page.click("#settings");
    await page.fill("#temperature", "0.25");
    await page.fill("#prompt", "The next one");
    await page.waitForSelector("#list a[aria-current]");
    await again(page);
    await page.waitForSelector(".turn");
    assert.equal(await page.inputValue("#prompt"), "The next one");
    assert.equal(await page.inputValue("#temperature"), "0.25");
    assert.equal(await page.locator(".interrupted").count(), 0);
    await calm();
    await close();
  });

  for (const place of ["server", "browser"]) {
    describe(`stored by the ${place}`, { concurrency: 1 }, () => {
      test(`what had arrived is there again, and can be asked again`, async () => {
        const { page, calm, close } = await open(chromium, servers[place].url);
        const others = await listed(page);
        await send(page, "Go on without an end", "emulator.endless");
        const shown = () => page.locator(".turn").last().locator(".parts").textContent();
        await page.waitForFunction(() => document.querySelector(".turn .parts").textContent.length > 40);
        const before = await shown();
        await again(page);
        await page.waitForSelector(".interrupted");
        await settled(page);
        assert.equal(await page.locator(".turn").count(), 1);
        assert.equal(await page.textContent(".turn .prompt"), "Go on without an end");
        assert((await shown()).startsWith(before.slice(0, 20)), `${await shown()} is not ${before}`);
        assert.equal(await listed(page), others, "a turn that did not end makes no conversation");
        await page.fill("#model", "emulator.short");
        await page.click(".interrupted button");
        await page.waitForSelector("#list a[aria-current]");
        await settled(page);
        assert.equal(await page.locator(".turn").count(), 1);
        assert.equal((await page.textContent(".turn .parts")).trim(), "It is whole.");
        await again(page);
        await page.waitForSelector(".turn");
        await settled(page);
        assert.equal(await page.locator(".interrupted").count(), 0);
        assert.equal((await page.textContent(".turn .parts")).trim(), "It is whole.");
        await calm(/ERR_|NetworkError/);
        await close();
      });

      test(`at every moment a prompt is neither lost nor stored twice`, async () => {
        const { page, calm, close } = await open(chromium, servers[place].url);
        await send(page, "The first", "emulator.short");
        await settled(page);
        await page.waitForSelector("#list a[aria-current]");
        for (const [round, wait] of [0, 15, 40, 90, 200].entries()) {
          const prompt = `Prompt ${round}`;
          await send(page, prompt);
          await page.waitForTimeout(wait);
          await again(page);
          await page.waitForSelector(".turn");
          await page.waitForFunction((text) => document.body.textContent.includes(text), prompt);
          await settled(page);
          await askAgain(page);
          await again(page);
          await page.waitForSelector(`.turn >> nth=${round + 1}`);
          const prompts = await page.locator(".turn .prompt").allTextContents();
          assert.deepEqual(prompts, ["The first", ...[0, 1, 2, 3, 4].slice(0, round + 1).map((n) => `Prompt ${n}`)]);
          assert.equal(await page.locator(".problem").count(), 0, prompt);
        }
        await calm(/ERR_|NetworkError/);
        await close();
      });

      test(`a first turn that failed leaves no conversation`, async () => {
        const { page, calm, close } = await open(chromium, servers[place].url);
        const others = await listed(page);
        await send(page, "Fails", "emulator.exception");
        await settled(page);
        await page.waitForFunction(() => location.hash === "");
        assert.equal(await listed(page), others);
        await again(page);
        await page.waitForSelector(".interrupted");
        assert.equal(await page.textContent(".turn .prompt"), "Fails");
        await page.fill("#model", "emulator.short");
        await page.click(".interrupted button");
        await page.waitForSelector("#list a[aria-current]");
        await settled(page);
        assert.equal(await listed(page), others + 1);
        assert.equal((await lastTurn(page).locator(".parts").textContent()).trim(), "It is whole.");
        await page.click("#new");
        await send(page, "Fails too", "emulator.exception");
        await settled(page);
        await page.click("#new");
        await again(page);
        assert.equal(await page.locator(".turn").count(), 0, "a new conversation begins without what failed");
        assert.equal(await listed(page), others + 1);
        await calm();
        await close();
      });
    });
  }
});
