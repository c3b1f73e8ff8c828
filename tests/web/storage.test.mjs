// Browsers that store nothing, have no more room, or do not answer: the conversation goes on, and the page says what it cannot keep.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, send, serveWithEmulator, settled, skip } from "./harness.mjs";
import { deleteTwice } from "./pair.mjs";

/** As in private windows of some browsers. */
const refused = () => {
  Object.defineProperty(window, "indexedDB", {
    get: () => {
      throw new DOMException("The operation is insecure.", "SecurityError");
    },
  });
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, {
      get: () => {
        throw new DOMException("The operation is insecure.", "SecurityError");
      },
    });
  }
};
/** The database is there, and takes nothing. */
const full = () => {
  IDBObjectStore.prototype.put = () => {
    throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
  };
  Storage.prototype.setItem = () => {
    throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
  };
};
/** A request that never ends, as while another process holds the files. */
const hangs = () => {
  IDBFactory.prototype.open = () => new EventTarget();
};

describe("a browser whose storage", { skip }, () => {
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

  for (const [name, init, words] of [
    ["is refused", refused, /refuses to store/],
    ["is full", full, /no more room/],
    ["does not answer", hangs, /refuses to store/],
  ]) {
    test(`${name}: the conversation goes on until the page is closed, and says so`, async () => {
      const context = await chromium.newContext({ viewport: { width: 1280, height: 900 } });
      const page = await context.newPage();
      const wrong = [];
      page.on("pageerror", (error) => wrong.push(error.stack));
      await page.addInitScript(init);
      await page.goto(server.url);
      await page.waitForFunction(() => document.getElementById("place").textContent !== "");
      await send(page, "The first", "emulator.reasoning");
      await settled(page);
      await page.waitForSelector("#list a[aria-current]");
      await send(page, "The second");
      await settled(page);
      await page.waitForFunction(() => document.querySelectorAll(".turn .edit").length === 2);
      const { body } = await server.lastRequest();
      assert.deepEqual(
        body.messages.map(({ role }) => role),
        ["user", "assistant", "user"],
      );
      assert.equal(await page.locator(".problem").count(), 0);
      assert.match(await page.textContent("#place"), words);
      await deleteTwice(page.locator("li:has(a[aria-current]) .delete"));
      await page.waitForSelector("#list .none");
      assert.deepEqual(wrong, []);
      await context.close();
    });
  }

  test("has more than conversations: an address leads to these alone", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "The first", "emulator.reasoning");
    await settled(page);
    const id = new URL(page.url()).hash.slice(1);
    await page.click("#more summary");
    await page.fill("#title", "A name");
    await page.press("#title", "Enter");
    await page.waitForFunction(() => /A name/.test(document.getElementById("list").textContent));
    await page.evaluate((address) => {
      location.hash = address;
    }, `about/${id}`);
    await page.waitForSelector(".problem");
    assert.match(await page.textContent(".problem"), /This conversation is gone/);
    await calm();
    await close();
  });

  test("becomes full between two turns: neither is lost while the page is open", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "The first", "emulator.reasoning");
    await settled(page);
    await page.waitForSelector("#list a[aria-current]");
    await page.evaluate(full);
    await send(page, "The second");
    await settled(page);
    await send(page, "The third");
    await settled(page);
    await page.waitForFunction(() => document.querySelectorAll(".turn .edit").length === 3);
    assert.equal((await server.lastRequest()).body.messages.length, 5);
    await page.waitForFunction(() => /no more room/.test(document.getElementById("place").textContent));
    await calm();
    await close();
  });
});
