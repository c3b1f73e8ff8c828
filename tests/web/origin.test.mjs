// Under which names and paths a browser gets the page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { belowPath, lastTurn, launch, open, send, serve, settled, skip } from "./harness.mjs";

describe("names and paths", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    // As a DNS server of an attacker would say after the page is loaded, and as the operator's says of a name that is allowed.
    chromium = await launch(["--host-resolver-rules=MAP evil.example 127.0.0.1, MAP chat.example 127.0.0.1"]);
    server = await serve(["--local", "--allowed-host", "chat.example"]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  test("promise 19: a name that was rebound to the server gets neither page nor call", async () => {
    const { port } = new URL(server.url);
    const page = await chromium.newPage();
    const answer = await page.goto(`http://evil.example:${port}/`);
    assert.equal(answer.status(), 403);
    assert.match(await answer.text(), /ORIGIN_NOT_ALLOWED/);
    const told = await page.evaluate(async () => {
      const headers = { "content-type": "application/grpc-web+proto" };
      const body = new Uint8Array([0, 0, 0, 0, 4, 0x12, 2, 0x68, 0x69]);
      const answer = await fetch("/outcrop.v1.GenerationService/Generate", { method: "POST", headers, body });
      return `${JSON.stringify([...answer.headers])}${await answer.text()}`;
    });
    assert.match(told, /grpc-status"?[:,]"?\s*7/);
    assert(!told.includes("emulator"), told);
    await page.close();
  });

  test("a name that the operator allows gets the page, and an answer", async () => {
    const { port } = new URL(server.url);
    const { page, calm, close } = await open(chromium, `http://chat.example:${port}/`);
    await send(page, "hi");
    await settled(page);
    assert.match(await lastTurn(page).locator(".parts").textContent(), /emulator/);
    // Chromium says on the console that this policy needs https, except on localhost.
    await calm(/Cross-Origin-Opener-Policy header has been ignored/);
    await close();
  });

  test("the page works below a path of a proxy", async (context) => {
    const proxy = await belowPath(server.url);
    context.after(proxy.stop);
    const { page, calm, close } = await open(chromium, proxy.url);
    await send(page, "Say **this**");
    await settled(page);
    assert.match(await lastTurn(page).locator(".parts").textContent(), /emulator/);
    await lastTurn(page).locator(".inspect").click();
    assert.match(await page.textContent("#inspected"), /This page is below a path, where gRPC cannot be called/);
    await calm();
    await close();
    assert(proxy.seen.includes("/outcrop/markdown.js"), `${proxy.seen}`);
    assert(proxy.seen.includes("/outcrop/outcrop.v1.GenerationService/Generate"), `${proxy.seen}`);
    assert(
      proxy.seen.every((path) => path.startsWith("/outcrop/")),
      `${proxy.seen}`,
    );
  });
});
