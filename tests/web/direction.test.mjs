// Texts that run from right to left, and characters that change the direction of what comes after them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const HEBREW = "שלום לכולם.";
/** Turns the direction of everything behind it, if nothing stops that. */
const OVERRIDE = "\u202e";

describe("the direction of text", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    const answer = `### ${HEBREW}\n\n${HEBREW}\n\n- ${HEBREW}\n\nAn English paragraph.`;
    const cited = {
      event: {
        type: "contentBlockDelta",
        payload: { contentBlockIndex: 9, delta: { citation: { title: `${OVERRIDE}fdp.a`, source: "b.pdf" } } },
      },
    };
    const scripts = { hebrew: script([answer]), cited: script(["Text."], [cited]) };
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder(scripts)]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  test("a paragraph begins at the side of its own language", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, HEBREW, "emulator.hebrew");
    await settled(page);
    const turn = lastTurn(page);
    for (const place of [".prompt", ".prose h5", ".prose p >> nth=0", ".prose li"]) {
      const { left, right } = await turn.locator(place).evaluate(roomBeside);
      assert(left > 100 && right < 5, `${place}: ${left} px free on the left, ${right} px on the right`);
    }
    const { left } = await turn.locator(".prose p >> nth=1").evaluate(roomBeside);
    assert(left < 5, `the English paragraph begins ${left} px from the left`);
    await calm();
    await close();
  });

  test("what changes the direction ends with the name that has it", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, `Pay ${OVERRIDE}gnp.exe\u001b[31m`, "emulator.cited");
    await settled(page);
    assert.equal(await page.title(), "Pay gnp.exe [31m · Outcrop");
    const [name, where] = await lastTurn(page)
      .locator(".citations li > :is(cite, .where)")
      .evaluateAll((all) => all.map((element) => element.getBoundingClientRect().left));
    assert(name < where, "the file of the source stands behind its title");
    await calm();
    await close();
  });

  test("a title is not cut within a character", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, `${"x".repeat(78)}🐈🐈🐈`, "emulator.cited");
    await settled(page);
    assert.equal(await page.title(), `${"x".repeat(78)}🐈… · Outcrop`);
    await calm();
    await close();
  });
});

/** Runs in the page: the free room on both sides of an element's first line. */
function roomBeside(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const text = range.getClientRects()[0];
  const box = element.getBoundingClientRect();
  return { left: Math.round(text.left - box.left), right: Math.round(box.right - text.right) };
}
