// Copying answers and code from the page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

describe("copying", { skip }, () => {
  let chromium;
  before(async () => {
    chromium = await launch();
  });
  after(async () => {
    await chromium?.close();
  });

  test("answers and blocks of code can be copied", async () => {
    const folder = scriptFolder({ code: script(["Look:\n\n```py\nprint(1)\n```\n\nDone."]) });
    const local = await serve(["--local", "--scripts", folder]);
    const { page, context, calm, close } = await open(chromium, local.url);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await send(page, "Code", "emulator.code");
    await settled(page);
    assert.equal(await page.textContent(".code-head span"), "py");
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    await page.click(".code .copy");
    await page.waitForSelector(".code .copy:text('Copied')");
    assert.equal((await clipboard()).trim(), "print(1)");
    await page.click(".foot .copy");
    await page.waitForSelector(".foot .copy:text('Copied')");
    assert.equal(await clipboard(), "Look:\n\n```py\nprint(1)\n```\n\nDone.");
    await calm();
    await close();
    await local.stop();
  });
});
