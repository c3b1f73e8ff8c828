// The keys of the prompt, and where the focus is.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, serve, settled, skip } from "./harness.mjs";

describe("the keys", { skip, concurrency: 2 }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serve(["--local"]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });
  const focused = (page) => page.evaluate(() => document.activeElement.id);

  test("the prompt has the focus; Enter sends and Shift+Enter breaks the line", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    assert.equal(await focused(page), "prompt");
    await page.keyboard.type("One line");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("and another");
    assert.equal(await page.inputValue("#prompt"), "One line\nand another");
    assert.equal(await page.locator(".turn").count(), 0);
    await page.keyboard.press("Enter");
    await settled(page);
    assert.equal(await page.textContent(".turn .prompt"), "One line\nand another");
    assert.equal(await page.inputValue("#prompt"), "");
    await page.keyboard.type("Also with the modifier");
    await page.keyboard.press("Control+Enter");
    await settled(page);
    assert.equal(await page.locator(".turn").count(), 2);
    await calm();
    await close();
  });

  test("the Enter that ends the composition of a character does not send", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.fill("#prompt", "日本");
    for (const kind of [
      { isComposing: true },
      // Safari says it after the composition, with this code.
      { keyCode: 229 },
    ]) {
      await page.dispatchEvent("#prompt", "keydown", { key: "Enter", bubbles: true, cancelable: true, ...kind });
      assert.equal(await page.locator(".turn").count(), 0, JSON.stringify(kind));
    }
    assert.equal(await page.inputValue("#prompt"), "日本");
    await page.dispatchEvent("#prompt", "keydown", { key: "Enter", bubbles: true, cancelable: true });
    await settled(page);
    assert.equal(await page.locator(".turn").count(), 1);
    await calm();
    await close();
  });

  test("on a phone Enter breaks the line, and the keyboard does not open by itself", async () => {
    const { page, calm, close } = await open(chromium, server.url, {
      viewport: { width: 390, height: 844 },
      isMobile: true,
      hasTouch: true,
    });
    assert.notEqual(await focused(page), "prompt");
    await page.tap("#prompt");
    await page.keyboard.type("One line");
    await page.keyboard.press("Enter");
    assert.equal(await page.inputValue("#prompt"), "One line\n");
    assert.equal(await page.locator(".turn").count(), 0);
    await calm();
    await close();
  });

  test("Enter in another field of the form does not send the prompt", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.fill("#prompt", "Not yet");
    await page.click("#settings");
    for (const field of ["#system", "#temperature", "#p-system-guard-content"]) {
      await page.focus(field);
      await page.keyboard.press("Enter");
    }
    assert.equal(await page.locator(".turn").count(), 0);
    await calm();
    await close();
  });
});
