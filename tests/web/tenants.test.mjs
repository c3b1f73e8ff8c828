// Callers with one browser or several: none finds anything of another.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller, configFile, everythingOf, newKey, signedIn, signIn, signInShown, signOut } from "./callers.mjs";
import { launch, open, send, serve, settled, skip } from "./harness.mjs";

const ada = newKey();
const bob = newKey();
const config = configFile(
  caller("ada", [ada], 'models = ["emulator.*", "of-ada"]'),
  caller("bob", [bob], 'models = ["emulator.*", "of-bob"]'),
  '[routes]\nof-ada = ["emulator.default"]\nof-bob = ["emulator.default"]',
);

describe("tenants", { skip }, () => {
  let chromium;
  let server;
  let keepsNothing;
  before(async () => {
    chromium = await launch();
    server = await serve(["--local", "--config", config]);
    keepsNothing = await serve(["--local", "--config", config, "--conversations", "off"]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
    await keepsNothing?.stop();
  });

  test("a caller in another browser sees neither the conversations nor the models of the first", async () => {
    const first = await open(chromium, server.url, signInShown);
    await signedIn(first.page, ada.text);
    await send(first.page, "A secret of ada");
    await settled(first.page);
    const second = await open(chromium, first.page.url(), signInShown);
    await signIn(second.page, bob.text);
    await second.page.waitForSelector(".problem");
    assert.match(await second.page.textContent(".problem"), /This conversation is gone/);
    assert(!(await everythingOf(second.page)).includes("secret of ada"));
    const models = async ({ page }) => {
      await page.waitForSelector("#models option", { state: "attached" });
      return page.locator("#models option").evaluateAll((all) => all.map(({ value }) => value));
    };
    assert.deepEqual((await models(first)).sort(), ["emulator.default", "of-ada"]);
    assert.deepEqual((await models(second)).sort(), ["emulator.default", "of-bob"]);
    await second.page.click("#new");
    await send(second.page, "hi", "emulator.default");
    await settled(second.page);
    await second.page.waitForSelector("#list a[aria-current]");
    assert.equal(await second.page.locator("#list a").count(), 1);
    await second.calm();
    await first.calm();
    await first.close();
    await second.close();
  });

  for (const place of ["server", "browser"]) {
    test(`a caller after another in the same browser finds nothing of the first, kept by the ${place}`, async () => {
      const { url } = place === "server" ? server : keepsNothing;
      const { page, calm, close } = await open(chromium, url, signInShown);
      await signedIn(page, ada.text);
      await page.click("#theme");
      await send(page, "A secret of ada");
      await settled(page);
      await page.waitForSelector("#list a");
      await page.fill("#prompt", "A secret that ada has not sent");
      const address = page.url();
      assert.match(await page.textContent("#place"), new RegExp(`on the server|in this ${place}`));
      await signOut(page);
      const left = JSON.parse(await everythingOf(page));
      assert(!JSON.stringify(left).includes("secret"), JSON.stringify(left));
      assert.deepEqual(
        [left.local, left.session, left.caches, left.databases.filter((text) => !/: \[\]$/.test(text))],
        [{}, {}, [], []],
      );
      assert.deepEqual(await page.context().cookies(), []);
      await signedIn(page, bob.text);
      assert(!(await everythingOf(page)).includes("secret"));
      assert.match(await page.textContent("#account"), /Signed in as bob/);
      await page.goto(address);
      await page.waitForSelector(".problem");
      await page.goBack();
      assert(!(await everythingOf(page)).includes("secret"));
      await calm();
      await close();
    });
  }

  test("what a browser keeps is one caller's, although that one did not sign out", async () => {
    const { page, context, calm, close } = await open(chromium, keepsNothing.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "A secret of ada");
    await settled(page);
    await page.waitForSelector("#list a");
    // The browser was closed: its cookie is gone.
    await context.clearCookies();
    await page.goto(keepsNothing.url);
    await signedIn(page, ada.text);
    assert.equal(await page.locator("#list a").count(), 1, "ada finds it again");
    await context.clearCookies();
    await page.goto(keepsNothing.url);
    await signedIn(page, bob.text);
    assert.equal(await page.locator("#list a").count(), 0);
    assert(!(await everythingOf(page)).includes("secret"), "and it is no longer there");
    await calm();
    await close();
  });

  test("every window of the browser follows", async () => {
    const { page, context, calm, close } = await open(chromium, server.url, signInShown);
    const other = await context.newPage();
    await other.goto(server.url);
    await other.waitForSelector("#sign-in[open]");
    await signedIn(page, ada.text);
    await other.waitForSelector("#account:not([hidden])");
    await send(other, "A secret of ada");
    await settled(other);
    await signOut(page);
    await other.waitForSelector("#sign-in[open]");
    assert(!(await everythingOf(other)).includes("secret"));
    await signedIn(other, bob.text);
    await page.waitForFunction(() => document.getElementById("caller").textContent === "bob");
    await calm();
    await close();
  });
});
