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

  test("a server that dies in the middle leaves an answer that is said not to be whole", async () => {
    const local = await serve(["--local"]);
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
    assert.match(await lastTurn(page).locator(".problem").textContent(), /OFFLINE/);
    await context.setOffline(false);
    await page.fill("#model", "emulator.reasoning");
    await lastTurn(page).locator(".problem button").click();
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0);
    await calm(/net::ERR_/);
    await close();
  });
});
