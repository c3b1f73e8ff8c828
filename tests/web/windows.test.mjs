// Two windows with the same conversation: they agree, or the one that is behind is told.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";
import { askAgain, deleteTwice, pair, prompts, stored } from "./pair.mjs";

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
  for (const place of ["server", "browser"]) {
    test(`what one adds, names or deletes, the other shows: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(chromium, servers[place].url);
      await send(page, "The second");
      await other.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
      await other.waitForFunction(() =>
        /changed in another window/.test(document.getElementById("status").textContent),
      );
      await send(other, "The third");
      for (const window of [page, other]) await stored(window, 3);
      await page.click("#more summary");
      await page.fill("#title", "A better title");
      await page.keyboard.press("Enter");
      await other.waitForFunction(() => document.title.startsWith("A better title"));
      for (const window of [page, other]) {
        await window.waitForFunction(
          () => document.querySelector("#list a[aria-current] span").textContent === "A better title",
        );
      }
      await deleteTwice(page.locator("li:has(a[aria-current]) .delete"));
      await other.waitForSelector("#list a[aria-current]", { state: "detached" });
      await other.waitForFunction(() => document.querySelectorAll(".turn").length === 0);
      await calm();
      await close();
    });

    test(`one that is behind is refused, told why, and shows what is new: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(chromium, servers[place].url, alone);
      await send(page, "The second");
      await stored(page, 2);
      assert.deepEqual(await prompts(other), ["The first"]);
      await send(other, "From behind");
      await other.waitForSelector(".problem");
      const problem = await lastTurn(other).locator(".problem").textContent();
      assert.match(problem, /CONVERSATION_CHANGED/);
      assert.match(problem, /continued in another window/);
      assert.deepEqual(await prompts(other), ["The first", "The second", "From behind"]);
      await other.click(".problem button");
      await stored(other, 3);
      await page.reload();
      await stored(page, 3);
      assert.deepEqual(await prompts(page), ["The first", "The second", "From behind"]);
      await calm();
      await close();
    });

    test(`while one is answered, the other is refused at once: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(chromium, servers[place].url);
      await send(page, "Go on without an end", "emulator.endless");
      await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
      await send(other, "Me too", "emulator.endless");
      await other.waitForSelector(".problem");
      assert.match(await lastTurn(other).locator(".problem").textContent(), /CONVERSATION_BUSY/);
      await page.keyboard.press("Escape");
      await settled(page);
      await other.fill("#model", "emulator.short");
      await other.click(".problem button");
      await stored(other, 2);
      assert.deepEqual(await prompts(other), ["The first", "Me too"]);
      await calm();
      await close();
    });

    test(`of two that send at once, one is refused and none is lost: stored by the ${place}`, async () => {
      const { page, other, calm, close } = await pair(chromium, servers[place].url);
      await page.fill("#prompt", "From the one");
      await other.fill("#prompt", "From the other");
      await Promise.all([page.press("#prompt", "Enter"), other.press("#prompt", "Enter")]);
      await Promise.all([settled(page), settled(other)]);
      for (const window of [page, other]) await askAgain(window);
      for (const window of [page, other]) await stored(window, 3);
      await page.reload();
      await stored(page, 3);
      const [first, ...rest] = await prompts(page);
      assert.equal(first, "The first");
      assert.deepEqual(await prompts(other), [first, ...rest]);
      assert.deepEqual(rest.sort(), ["From the one", "From the other"]);
      await calm();
      await close();
    });
  }
});
