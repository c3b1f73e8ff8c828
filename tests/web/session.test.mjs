// The sign-in on a server with callers: who gets in, and what is left of a session.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  caller,
  change,
  configFile,
  everythingOf,
  newKey,
  refusedWith,
  signedIn,
  signIn,
  signInShown,
  signOut,
} from "./callers.mjs";
import { belowPath, lastTurn, launch, open, send, serve, settled, skip } from "./harness.mjs";

const ada = newKey();
const adaToo = newKey();
const expired = newKey(", expires = 2020-01-01T00:00:00Z");
const disabled = newKey(", disabled = true");
const bob = newKey();
const config = configFile(caller("ada", [ada, adaToo, expired, disabled]), caller("bob", [bob]));

describe("the sign-in", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serve(["--local", "--config", config]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  test("nothing is shown before a key is valid, and a key that is not valid is told why", async () => {
    const { page, calm, close } = await open(chromium, server.url, signInShown);
    assert.equal(await page.evaluate(() => document.activeElement.id), "credential");
    assert.equal(await page.getAttribute("#credential", "autocomplete"), "current-password");
    assert.equal(await page.textContent("#models"), "");
    for (const [key, words] of [
      ["", /Paste a key/],
      [newKey().text, /not valid here/],
      ["nonsense", /not valid here/],
      [expired.text, /has expired/],
      [disabled.text, /has revoked this key/],
      ["x".repeat(5_000), /at most 4000/],
    ]) {
      assert.match(await refusedWith(page, key), words);
      assert.equal(await page.getAttribute("#credential", "aria-invalid"), "true");
      assert.equal(await page.inputValue("#credential"), "");
      assert.equal(await page.evaluate(() => document.activeElement.id), "credential");
      assert.deepEqual(await page.context().cookies(), []);
      await page.evaluate(() => document.getElementById("sign-in-problem").replaceChildren());
    }
    for (let press = 0; press < 3; press += 1) await page.keyboard.press("Escape");
    assert(await page.evaluate(() => document.getElementById("sign-in").open));
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "sign-in-go");
    await signedIn(page, ` ${ada.text} `);
    assert.match(await page.textContent("#account"), /Signed in as ada/);
    await calm(/status of (401|413)/);
    await close();
  });

  test("the key is in a cookie that no script reads, and nowhere else", async () => {
    const { page, calm, close } = await open(chromium, server.url, signInShown);
    const told = [];
    page.on("console", (message) => told.push(message.text()));
    page.on("request", (request) => told.push(request.url()));
    await signedIn(page, ada.text);
    await send(page, "Remember the pineapple");
    await settled(page);
    const [cookie, ...others] = await page.context().cookies();
    assert.deepEqual(others, []);
    const { name, value, httpOnly, sameSite, secure, path, expires } = cookie;
    assert.deepEqual(
      { name, value, httpOnly, sameSite, secure, path, expires },
      // Loopback: neither Secure nor __Host-, and until the browser is closed.
      { name: "outcrop", value: ada.text, httpOnly: true, sameSite: "Strict", secure: false, path: "/", expires: -1 },
    );
    const everything = (await everythingOf(page)) + told.join("\n");
    assert(everything.includes("pineapple"));
    const secret = ada.text.split("_").slice(2).join("_");
    assert(!everything.includes(secret), everything);
    await page.reload();
    await page.waitForSelector(".turn");
    assert.match(await page.textContent("#account"), /Signed in as ada/);
    await calm();
    await close();
  });

  test("a session that ends asks for a key, and the same caller goes on where it was", async () => {
    const { page, context, calm, close } = await open(chromium, server.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "The first prompt");
    await settled(page);
    const address = page.url();
    await context.clearCookies();
    await send(page, "The second prompt");
    await page.waitForSelector("#sign-in[open]");
    assert.match(await page.textContent("#sign-in-problem"), /signed out/);
    await signedIn(page, adaToo.text);
    await settled(page);
    assert.equal(page.url(), address);
    assert.deepEqual(await page.locator(".prompt").allTextContents(), ["The first prompt", "The second prompt"]);
    assert.equal(await page.locator(".problem").count(), 0);
    assert.notEqual(await lastTurn(page).locator(".parts").textContent(), "");
    await context.clearCookies();
    await send(page, "A secret of ada");
    await signIn(page, bob.text);
    await page.waitForFunction(() => document.getElementById("caller").textContent === "bob");
    assert.equal(await page.locator(".turn").count(), 0, "another caller begins anew");
    assert(!(await everythingOf(page)).includes("secret"));
    await calm();
    await close();
  });

  test("a key that is revoked while an answer runs ends it, and asks for another", async (context) => {
    const own = configFile(caller("ada", [ada, adaToo]));
    const alone = await serve(["--local", "--config", own]);
    context.after(alone.stop);
    const { page, calm, close } = await open(chromium, alone.url, signInShown);
    await signedIn(page, adaToo.text);
    await send(page, "Without an end", "emulator.endless");
    await page.waitForSelector(".prose *");
    change(own, caller("ada", [ada, { line: adaToo.line.replace(" }", ", disabled = true }") }]));
    await page.waitForSelector("#sign-in[open]");
    assert.match(await page.textContent("#sign-in-problem"), /has revoked this key/);
    await signedIn(page, ada.text);
    assert.match(await lastTurn(page).locator(".problem").textContent(), /has revoked your key/);
    assert.notEqual(await lastTurn(page).locator(".parts").textContent(), "");
    await send(page, "And again", "emulator.default");
    await settled(page);
    assert.equal(await lastTurn(page).locator(".problem").count(), 0);
    await calm();
    await close();
  });

  test("the link that the server prints opens the page signed in, and only once", async (context) => {
    const alone = await serve(["--local", "--config", config, "--page-login", "ada"]);
    context.after(alone.stop);
    const link = await alone.saying(/http:\S+\/login\?code=\S+(?=\n)/);
    const { page, calm, close } = await open(chromium, link);
    assert.equal(page.url(), `${alone.url}/`);
    assert.match(await page.textContent("#account"), /Signed in as ada/);
    await send(page, "hi");
    await settled(page);
    await signOut(page);
    const answer = await page.goto(link);
    assert.equal(answer.status(), 403);
    assert.match(await answer.text(), /has been used/);
    assert.deepEqual(await page.context().cookies(), []);
    await page.goto(alone.url);
    // The browser asks for the icon of an answer that is not a page.
    await calm(/status of (403|426)/);
    await close();
  });

  test("the page below a path of a proxy signs in and out there", async (context) => {
    const proxy = await belowPath(server.url);
    context.after(proxy.stop);
    const { page, calm, close } = await open(chromium, proxy.url, signInShown);
    await signedIn(page, ada.text);
    await send(page, "hi");
    await settled(page);
    await signOut(page);
    assert.equal(page.url(), proxy.url);
    assert.equal(proxy.seen.filter((path) => !path.startsWith("/outcrop/")).length, 0, `${proxy.seen}`);
    assert(proxy.seen.includes("/outcrop/session"), `${proxy.seen}`);
    await calm();
    await close();
  });

  test("a server that does not answer is told, in and out", async (running) => {
    const alone = await serve(["--local", "--config", config]);
    running.after(alone.stop);
    const { page, context, calm, close } = await open(chromium, alone.url, signInShown);
    await context.setOffline(true);
    assert.match(await refusedWith(page, ada.text), /cannot be reached/);
    await context.setOffline(false);
    await signedIn(page, ada.text);
    await context.setOffline(true);
    await page.click("#sign-out");
    await page.waitForFunction(() => document.getElementById("account-problem").textContent !== "");
    assert.match(await page.textContent("#account-problem"), /still signed in/);
    await context.setOffline(false);
    await signOut(page);
    await calm(/ERR_INTERNET_DISCONNECTED/);
    await close();
  });

  test("without callers there is nothing of it", async (context) => {
    const alone = await serve(["--local"]);
    context.after(alone.stop);
    const { page, calm, close } = await open(chromium, alone.url);
    assert.equal(await page.locator("#sign-in, #account").locator("visible=true").count(), 0);
    await calm();
    await close();
  });

  test("text becomes neither HTML nor a script", async () => {
    const { page, close } = await open(chromium, server.url, signInShown);
    const thrown = await page.evaluate(() => {
      const sinks = {
        innerHTML: () => {
          document.createElement("p").innerHTML = "<b>x</b>";
        },
        insertAdjacentHTML: () => document.body.insertAdjacentHTML("beforeend", "<b>x</b>"),
        parser: () => new DOMParser().parseFromString("<b>x</b>", "text/html"),
        worker: () => new Worker("markdown.js"),
        script: () => {
          document.createElement("script").src = "page.js";
        },
        policy: () => window.trustedTypes.createPolicy("evil", { createHTML: (text) => text }),
        again: () => window.trustedTypes.createPolicy("outcrop", { createScriptURL: (text) => text }),
      };
      return Object.entries(sinks).map(([name, sink]) => {
        try {
          sink();
          return `${name} took it`;
        } catch (error) {
          return `${name}: ${error.constructor.name}`;
        }
      });
    });
    const wanted = ["innerHTML", "insertAdjacentHTML", "parser", "worker", "script", "policy", "again"];
    assert.deepEqual(
      thrown,
      wanted.map((name) => `${name}: TypeError`),
    );
    await signedIn(page, ada.text);
    // Markdown is rendered by the worker and the sanitiser, which have policies.
    await send(page, "Say **this**");
    await settled(page);
    assert((await lastTurn(page).locator(".prose *").count()) > 0);
    await close();
  });
});
