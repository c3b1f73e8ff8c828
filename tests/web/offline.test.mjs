// What the page shows when the server or the network fails.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, send, serve, serveWithEmulator, settled, skip } from "./harness.mjs";

describe("the page without a connection", { skip }, () => {
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

  test("a server that dies in the middle leaves an answer that is said not to be whole", async (running) => {
    const local = await serve(["--local"]);
    running.after(local.stop);
    const { page, calm, close } = await open(chromium, local.url);
    await send(page, "Go on for ever", "emulator.endless");
    await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
    await local.stop();
    await settled(page);
    const text = await lastTurn(page).locator(".problem").textContent();
    assert.match(text, /CONNECTION_LOST/);
    assert.match(text, /not whole/);
    await send(page, "Hello?");
    await settled(page);
    assert.match(await lastTurn(page).locator(".problem").textContent(), /UNREACHABLE/);
    await calm(/net::ERR_/);
    await close();
  });

  test("without a network the page says so", async () => {
    const { page, context, calm, close } = await open(chromium, server.url);
    await context.setOffline(true);
    await send(page, "Hello?");
    await settled(page);
    const lines = await lastTurn(page).locator(".problem > *").allTextContents();
    // Nothing of the browser's own words: each engine has others, and none tells more.
    assert.deepEqual(lines, ["This device is offlineOFFLINE", "Connect it and try again.", "Try again"]);
    assert.equal(await lastTurn(page).locator(".meta").textContent(), "");
    await context.setOffline(false);
    await page.fill("#model", "emulator.reasoning");
    await lastTurn(page).locator(".problem button").click();
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0);
    await calm(/net::ERR_/);
    await close();
  });

  test("a failure is told once, to those who see and to those who listen, and is over when the connection is back", async (running) => {
    const local = await serve(["--local"]);
    running.after(local.stop);
    const { page, context, calm, close } = await open(chromium, local.url);
    await send(page, "Something to read", "emulator.reasoning");
    await settled(page);
    await page.waitForSelector("#list a[aria-current]");
    const address = page.url();
    await page.evaluate(() => {
      window.announced = [];
      for (const region of document.querySelectorAll("[aria-live], [role=alert], [role=status]")) {
        new MutationObserver(() => region.textContent && window.announced.push(region.textContent)).observe(region, {
          childList: true,
          characterData: true,
          subtree: true,
        });
      }
    });
    await context.setOffline(true);
    const told = () =>
      page.evaluate(() => {
        const seen = ["turns", "rail", "composer"].map((id) => document.getElementById(id).innerText).join();
        return seen.match(/This device is offline|cannot be reached/g)?.length ?? 0;
      });
    await page.evaluate(() => {
      location.hash = "#0123456789abcdef01234567";
    });
    await page.waitForSelector(".problem");
    await page.evaluate(() => document.querySelector(".problem button").click());
    await page.waitForSelector(".problem");
    await page.waitForFunction(() => /As last seen/.test(document.getElementById("place").textContent));
    assert.equal(await page.locator(".problem").count(), 1);
    assert.equal(await told(), 1);
    assert.deepEqual(await page.evaluate(() => [...new Set(window.announced)]), ["This device is offline"]);
    await page.goBack();
    await page.waitForSelector(".copied");
    assert.equal(page.url(), address);
    assert.equal(await told(), 1);
    await context.setOffline(false);
    await page.waitForSelector(".copied", { state: "detached" });
    await page.waitForFunction(() => document.getElementById("place").textContent === "Kept on the server");
    assert.equal(await told(), 0);
    await calm(/net::ERR_/);
    await close();
  });
});
