// The page as an app: installed, opened without a connection, brought up to date, and forgotten with the session.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { caller, configFile, everythingOf, newKey, signedIn, signInShown, signOut } from "./callers.mjs";
import { withPageOf } from "./folder.mjs";
import { launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const dist = fileURLToPath(new URL("../../web/dist", import.meta.url));
const ada = newKey();
const bob = newKey();
const config = configFile(caller("ada", [ada]), caller("bob", [bob]));

/** Waits until the service worker has the files of the page. */
const installed = (page) =>
  page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise((resolve) => setTimeout(resolve, 20));
  });
/** Every address that the browser's caches have, by cache. */
const cached = (page) =>
  page.evaluate(async () => {
    const all = {};
    for (const name of await caches.keys()) {
      all[name] = (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname).sort();
    }
    return all;
  });

describe("the installed page", { skip, concurrency: 3 }, () => {
  let chromium;
  before(async () => {
    chromium = await launch();
  });
  after(() => chromium?.close());

  test("browsers can install it", async (context) => {
    const server = await serve(["--local"]);
    context.after(server.stop);
    const { page, calm, close } = await open(chromium, server.url);
    await installed(page);
    const session = await page.context().newCDPSession(page);
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    const told = installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== "in-incognito");
    assert.deepEqual(told, []);
    const { errors, data } = await session.send("Page.getAppManifest");
    assert.deepEqual(errors, []);
    for (const { src, sizes } of JSON.parse(data).icons) {
      const size = await page.evaluate(async (address) => {
        const image = new Image();
        image.src = address;
        await image.decode();
        return `${image.naturalWidth}x${image.naturalHeight}`;
      }, src);
      if (sizes !== "any") assert.equal(size, sizes, src);
    }
    await calm();
    await close();
  });

  for (const place of ["server", "browser"]) {
    test(`without a connection it opens, and shows what was stored by the ${place}`, async (running) => {
      const more = place === "browser" ? ["--conversations", "off"] : [];
      const scripts = scriptFolder({ code: script(["```js\nconst mango = 1;\n```"]) });
      const server = await serve(["--local", "--config", config, "--scripts", scripts, ...more]);
      running.after(server.stop);
      const { page, context, calm, close } = await open(chromium, server.url, signInShown);
      await signedIn(page, ada.text);
      await send(page, "Remember the pineapple", "emulator.reasoning");
      await settled(page);
      await page.waitForSelector("#list a[aria-current]");
      await installed(page);
      const files = readdirSync(dist)
        .filter((name) => !["offline.js", "code.js", "maths.js"].includes(name))
        .map((name) => (name === "index.html" ? "/" : `/${name}`));
      assert.deepEqual(
        Object.values(await cached(page)),
        [files.sort()],
        "nothing but the files of the page is cached",
      );
      await send(page, "And the mango", "emulator.code");
      await settled(page);
      await page.waitForFunction(() => document.querySelectorAll(".edit").length === 2);
      await page.waitForFunction(() => document.querySelectorAll("pre code span").length > 0);
      // What few answers need is kept when one has needed it.
      const withCode = [[...files, "/code.js"].sort()];
      const isKept = async () => isDeepStrictEqual(Object.values(await cached(page)), withCode);
      for (let tries = 0; tries < 50 && !(await isKept()); tries += 1) await page.waitForTimeout(50);
      assert.deepEqual(Object.values(await cached(page)), withCode);
      const shown = await page.locator(".turn .prose").evaluateAll((all) => all.map(({ innerHTML }) => innerHTML));
      await server.stop();
      await page.reload();
      await page.waitForSelector(".turn >> nth=1");
      await settled(page);
      const again = await page.locator(".turn .prose").evaluateAll((all) => all.map(({ innerHTML }) => innerHTML));
      assert.deepEqual(again, shown);
      assert.equal(await page.textContent("#list a span"), "Remember the pineapple");
      if (place === "server") assert.match(await page.textContent(".copied"), /cannot be reached/);
      assert.match(await page.textContent("#account"), /Signed in as ada/);
      // The files that the browser has kept are as strict as those that the server sends.
      const strict = await page.evaluate(async () => (await fetch("./")).headers.get("content-security-policy"));
      assert.match(strict, /default-src 'none'/);
      await page.fill("#search", "mango");
      await page.waitForFunction(() => document.querySelectorAll("#list q").length === 1);
      await send(page, "Hello?");
      await settled(page);
      const text = await page.locator(".turn").last().locator(".problem").textContent();
      assert.match(text, /UNREACHABLE/);
      const told = await page.evaluate(() => document.body.innerText.match(/cannot be reached/g).length);
      assert(told <= 3, `it is told ${told} times`);
      // The address of another page is not answered from what was kept.
      const other = await context.newPage();
      await assert.rejects(other.goto(`${server.url}/session`));
      await other.close();
      await calm(/ERR_/);
      await close();
    });
  }

  test("a session that has ended cannot be read without a connection", async (running) => {
    const server = await serve(["--local", "--config", config]);
    running.after(server.stop);
    const { page, context, calm, close } = await open(chromium, server.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "A secret of ada", "emulator.reasoning");
    await settled(page);
    await page.waitForSelector("#list a[aria-current]");
    await installed(page);
    await context.clearCookies();
    await page.reload();
    await page.waitForSelector("#sign-in[open]");
    await server.stop();
    await page.reload();
    await page.waitForFunction(() => document.getElementById("place").textContent !== "");
    assert(!(await page.evaluate(() => document.documentElement.outerHTML)).includes("secret"));
    await calm(/ERR_/);
    await close();
  });

  test("a page that was opened without a connection does not mix callers when there is one again", async (running) => {
    const server = await serve(["--local", "--config", config]);
    running.after(server.stop);
    const { page, context, calm, close } = await open(chromium, server.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "A secret of ada", "emulator.reasoning");
    await settled(page);
    await page.waitForSelector("#list a[aria-current]");
    const calls = /\/session$|GenerationService/;
    await context.route(calls, (route) => route.abort());
    await page.reload();
    await page.waitForSelector(".copied");
    assert.match(await page.textContent("#account"), /Signed in as ada/);
    // The identity has changed in a way that no window has seen, as with a certificate or a proxy.
    await context.clearCookies();
    await context.addCookies([
      { name: "outcrop", value: bob.text, url: server.url, httpOnly: true, sameSite: "Strict" },
    ]);
    await context.unroute(calls);
    await page.click("#new");
    await page.waitForFunction(() => document.getElementById("caller").textContent === "bob");
    await page.waitForFunction(() => document.getElementById("place").textContent === "Kept on the server");
    assert(!(await everythingOf(page)).includes("secret"));
    await calm(/ERR_/);
    await close();
  });

  test("signing out removes what was kept, and the next caller finds nothing", async (context) => {
    const server = await serve(["--local", "--config", config]);
    context.after(server.stop);
    const { page, calm, close } = await open(chromium, server.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "A secret of ada", "emulator.reasoning");
    await settled(page);
    await page.waitForSelector("#list a[aria-current]");
    await installed(page);
    await signOut(page);
    assert.deepEqual(await cached(page), {});
    assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
    assert(!(await everythingOf(page)).includes("secret"));
    await signedIn(page, bob.text);
    await installed(page);
    assert(!(await everythingOf(page)).includes("secret"));
    assert(!JSON.stringify(await cached(page)).includes("Service"));
    await calm();
    await close();
  });

  test("a new version takes the place of the old one, and half of one does not", async (context) => {
    const folder = mkdtempSync(join(tmpdir(), "outcrop-dist-"));
    cpSync(dist, folder, { recursive: true });
    const own = await serve(["--local"]);
    const server = await withPageOf(folder, own);
    context.after(server.stop);
    const { page, calm, close } = await open(chromium, server.url);
    await installed(page);
    const [first] = Object.keys(await cached(page));
    const worker = readFileSync(join(folder, "offline.js"), "utf8");
    const [, version] = /"([0-9a-f]{16})"/.exec(worker);
    const update = () =>
      page.evaluate(async () => {
        const registration = await navigator.serviceWorker.getRegistration();
        try {
          await registration.update();
        } catch {
          return "failed";
        }
        const state = registration.installing;
        if (!state) return "same";
        await new Promise((resolve) => {
          state.addEventListener("statechange", () => /activated|redundant/.test(state.state) && resolve());
        });
        return state.state;
      });
    // A worker of the new version, and a file that is not of it: as from two servers of which one is newer.
    writeFileSync(join(folder, "offline.js"), worker.replaceAll(version, "0123456789abcdef"));
    const css = readFileSync(join(folder, "page.css"), "utf8");
    writeFileSync(join(folder, "page.css"), `${css}\n/* another version */`);
    assert.equal(await update(), "redundant");
    assert.deepEqual(Object.keys(await cached(page)), [first]);
    writeFileSync(join(folder, "page.css"), css);
    writeFileSync(join(folder, "offline.js"), `${worker.replaceAll(version, "0123456789abcdef")}\n`);
    assert.equal(await update(), "activated");
    assert.deepEqual(Object.keys(await cached(page)), ["outcrop-page-0123456789abcdef"]);
    await calm(/integrity|digest/);
    await close();
  });
});
