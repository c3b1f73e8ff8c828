// What is under way when a caller signs out: nothing of it is stored afterwards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller, configFile, everythingOf, newKey, signedIn, signInShown, signOut } from "./callers.mjs";
import { launch, open, send, serve, settled, skip } from "./harness.mjs";

const ada = newKey();

describe("signing out in the middle of something", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serve(["--local", "--config", configFile(caller("ada", [ada]))]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  for (const where of ["this window", "another window"]) {
    test(`a list that arrives later in ${where} is not stored`, async () => {
      const { page, context, calm, close } = await open(chromium, server.url, signInShown);
      await signedIn(page, ada.text);
      await send(page, "A secret of ada");
      await settled(page);
      const other = where === "this window" ? page : await context.newPage();
      if (other !== page) await other.goto(server.url);
      await other.waitForSelector("#list a");
      const list = await heldBack(other, /ListConversations$/);
      const session = await heldBack(other, /\/session$/);
      await other.evaluate(() => document.getElementById("search").dispatchEvent(new Event("input")));
      await list.asked;
      const out = signOut(page);
      await session.asked;
      // The list comes before the page knows that the session has ended.
      await Promise.all([other.waitForResponse(/ListConversations$/).then((told) => told.finished()), list.go()]);
      await other.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
      await session.go();
      await out;
      await other.waitForSelector("#sign-in[open]");
      const { databases } = JSON.parse(await everythingOf(page));
      assert.deepEqual(
        databases.filter((text) => !/: \[\]$/.test(text)),
        [],
      );
      await calm(/status of 401/);
      await close();
    });
  }

  test("a page that stays signed in because the server was away stores again", async () => {
    const { page, context, calm, close } = await open(chromium, server.url, signInShown);
    await signedIn(page, ada.text);
    const other = await context.newPage();
    await other.goto(server.url);
    await other.waitForSelector("#account:not([hidden])");
    await context.setOffline(true);
    await page.click("#sign-out");
    await page.waitForFunction(() => /still signed in/.test(document.getElementById("account-problem").textContent));
    await context.setOffline(false);
    for (const window of [other, page]) {
      await send(window, "Something to keep");
      await settled(window);
      await window.waitForSelector("#list a[aria-current]");
      assert(JSON.parse(await everythingOf(window)).databases.some((text) => text.includes("Something to keep")));
      assert.match(await window.textContent("#place"), /on the server/);
    }
    await calm(/ERR_INTERNET_DISCONNECTED/);
    await close();
  });
});

/** Holds back the answers to what matches until `go()`; `asked` is when the first is asked for. */
async function heldBack(page, pattern) {
  let asked;
  let go;
  const first = new Promise((resolve) => {
    asked = resolve;
  });
  const released = new Promise((resolve) => {
    go = resolve;
  });
  await page.route(pattern, async (route) => {
    const response = await route.fetch();
    asked();
    await released;
    await route.fulfill({ response }).catch(() => {});
  });
  return { asked: first, go };
}
