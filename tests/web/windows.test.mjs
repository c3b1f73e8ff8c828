// Two windows with the same conversation: they agree, or the one that is behind is told.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

/** A window that gets no messages of the others, as a window on another machine. */
const alone = () => {
  window.BroadcastChannel = class extends EventTarget {
    postMessage() {}
  };
};

describe("two windows", { skip, concurrency: 3 }, () => {
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
  /** A window with a conversation, and another one of the same browser that shows it. */
  const pair = async (place, init) => {
    const first = await open(chromium, servers[place].url);
    await send(first.page, "The first", "emulator.short");
    await settled(first.page);
    await first.page.waitForSelector("#list a[aria-current]");
    const other = await first.context.newPage();
    if (init) await other.addInitScript(init);
    await other.goto(first.page.url());
    await other.waitForSelector(".turn");
    await other.waitForSelector("#list a[aria-current]");
    return { ...first, other };
  };
  const prompts = (page) => page.locator(".turn .prompt").allTextContents();

  for (const place of ["server", "browser"]) {
    test(`what one adds, names or deletes, the other shows: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(place);
      await send(page, "The second");
      await other.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
      await other.waitForFunction(() =>
        /changed in another window/.test(document.getElementById("status").textContent),
      );
      await send(other, "The third");
      await page.waitForFunction(() => document.querySelectorAll(".turn").length === 3);
      await settled(other);
      await page.click("#more summary");
      await page.fill("#title", "A better title");
      await page.keyboard.press("Enter");
      await other.waitForFunction(() => document.title.startsWith("A better title"));
      await other.waitForFunction(
        () => document.querySelector("#list a[aria-current] span").textContent === "A better title",
      );
      const button = page.locator("li:has(a[aria-current]) .delete");
      await button.focus();
      await button.press("Enter");
      await button.press("Enter");
      await other.waitForSelector("#list a[aria-current]", { state: "detached" });
      await other.waitForFunction(() => document.querySelectorAll(".turn").length === 0);
      await calm();
      await close();
    });

    test(`one that is behind is refused, told why, and shows what is new: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(place, alone);
      await send(page, "The second");
      await settled(page);
      await page.waitForFunction(() => document.querySelectorAll(".edit").length === 2);
      assert.deepEqual(await prompts(other), ["The first"]);
      await send(other, "From behind");
      await other.waitForSelector(".problem");
      const problem = await lastTurn(other).locator(".problem").textContent();
      assert.match(problem, /CONVERSATION_CHANGED/);
      assert.match(problem, /continued in another window/);
      assert.deepEqual(await prompts(other), ["The first", "The second", "From behind"]);
      await other.click(".problem button");
      await other.waitForFunction(() => document.querySelectorAll(".edit").length === 3);
      assert.equal(await other.locator(".problem").count(), 0);
      await page.reload();
      await page.waitForSelector(".turn >> nth=2");
      assert.deepEqual(await prompts(page), ["The first", "The second", "From behind"]);
      await calm();
      await close();
    });

    test(`while one is answered, the other is refused at once: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(place);
      await send(page, "Go on without an end", "emulator.endless");
      await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
      await send(other, "Me too", "emulator.endless");
      await other.waitForSelector(".problem");
      assert.match(await lastTurn(other).locator(".problem").textContent(), /CONVERSATION_BUSY/);
      await page.keyboard.press("Escape");
      await settled(page);
      await other.fill("#model", "emulator.short");
      await other.click(".problem button");
      await other.waitForFunction(() => document.querySelectorAll(".edit").length === 2);
      assert.deepEqual(await prompts(other), ["The first", "Me too"]);
      await calm();
      await close();
    });

    test(`of two that send at once, one is refused and none is lost: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(place);
      await page.fill("#prompt", "From the one");
      await other.fill("#prompt", "From the other");
      await Promise.all([page.press("#prompt", "Enter"), other.press("#prompt", "Enter")]);
      await Promise.all([settled(page), settled(other)]);
      for (const window of [page, other]) {
        for (let tries = 0; tries < 5 && (await window.locator(".problem button").count()) > 0; tries += 1) {
          await window.locator(".problem button").last().click();
          await settled(window);
        }
      }
      await page.waitForFunction(() => document.querySelectorAll(".edit").length === 3);
      await page.reload();
      await page.waitForSelector(".turn >> nth=2");
      const [first, ...rest] = await prompts(page);
      assert.equal(first, "The first");
      assert.deepEqual(rest.sort(), ["From the one", "From the other"]);
      await calm();
      await close();
    });
  }
});
