// Two windows with the same conversation, when one of them changes it while the other sends or reads: no prompt is lost, and both agree.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, script, scriptFolder, send, serve, skip } from "./harness.mjs";
import { deleteTwice, held, listed, pair, prompts, stored } from "./pair.mjs";

describe("a window", { skip, concurrency: 3 }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder({ short: script(["It is ", "whole."]) })]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });
  const reason = (page) => lastTurn(page).locator(".problem code").textContent();
  const enter = async (page, prompt) => {
    await page.fill("#prompt", prompt);
    await page.press("#prompt", "Enter");
  };
  /** A second turn of the first window that the server has stored, and of which the first window does not know yet. */
  const storedUnknown = async (page) => {
    const answer = await held(page, "Generate", { answered: true });
    await enter(page, "The second");
    await answer.waits;
    return answer;
  };

  test("sends nothing more until it has told why a prompt was refused", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const answer = await storedUnknown(page);
    const reading = await held(other, "GetConversation");
    await enter(other, "Refused");
    await reading.waits;
    await enter(other, "The next one");
    reading.release();
    await other.waitForSelector(".problem");
    assert.deepEqual(await prompts(other), ["The first", "The second", "Refused"]);
    assert.equal(await reason(other), "CONVERSATION_CHANGED");
    assert.equal(await other.inputValue("#prompt"), "The next one");
    await other.click(".problem button");
    await stored(other, 3);
    await other.press("#prompt", "Enter");
    await stored(other, 4);
    answer.release();
    await stored(page, 4);
    assert.deepEqual(await prompts(page), await prompts(other));
    await close();
  });

  test("does not wait for what was added when its reader stops it", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const answer = await storedUnknown(page);
    const reading = await held(other, "GetConversation");
    await enter(other, "Refused");
    await reading.waits;
    await other.click("#stop");
    await other.waitForSelector(".problem");
    assert(await other.isVisible("#go"));
    assert.deepEqual(await prompts(other), ["The first", "Refused"]);
    reading.release();
    await other.waitForFunction(() => document.querySelectorAll(".turn").length === 3);
    assert.deepEqual(await prompts(other), ["The first", "The second", "Refused"]);
    assert.equal(await reason(other), "CONVERSATION_CHANGED");
    answer.release();
    await stored(page, 2);
    await close();
  });

  test("keeps a prompt that is sent while it reads what another one has added", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const reading = await held(other, "GetConversation", { answered: true });
    await send(page, "The second");
    await reading.waits;
    const answer = await held(other, "Generate");
    await enter(other, "Meanwhile");
    await answer.waits;
    const read = listed(other);
    reading.release();
    await read;
    answer.release();
    await other.waitForSelector(".problem");
    assert.equal(await reason(other), "CONVERSATION_CHANGED");
    assert.deepEqual(await prompts(other), ["The first", "The second", "Meanwhile"]);
    await other.click(".problem button");
    await stored(other, 3);
    await stored(page, 3);
    assert.deepEqual(await prompts(page), await prompts(other));
    await close();
  });

  test("shows what was stored last, however late an earlier reading ends", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const reading = await held(other, "GetConversation", { answered: true });
    await send(page, "The second");
    await reading.waits;
    const heard = listed(other);
    await send(page, "The third");
    await stored(page, 3);
    await heard;
    const read = listed(other);
    reading.release();
    await read;
    await stored(other, 3);
    assert.deepEqual(await prompts(other), ["The first", "The second", "The third"]);
    await close();
  });

  test("reads what was added while its own turn ran", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const answer = await storedUnknown(page);
    await send(other, "The third");
    await other.waitForSelector(".problem");
    const heard = listed(page);
    await other.click(".problem button");
    await stored(other, 3);
    await heard;
    answer.release();
    await stored(page, 3);
    assert.deepEqual(await prompts(page), ["The first", "The second", "The third"]);
    await close();
  });

  test("that was refused shows why, with the focus where it is, when another turn is added", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const answer = await storedUnknown(page);
    await send(other, "Refused", "emulator.default");
    await other.waitForSelector(".problem");
    await other.focus(".problem button");
    answer.release();
    await stored(page, 2);
    await send(page, "The third");
    await other.waitForFunction(() => document.querySelectorAll(".turn").length === 4);
    assert.deepEqual(await prompts(other), ["The first", "The second", "The third", "Refused"]);
    assert.equal(await reason(other), "CONVERSATION_CHANGED");
    assert(await other.evaluate(() => document.activeElement.matches(".problem button")));
    assert.equal(await other.inputValue("#model"), "emulator.default");
    await other.keyboard.press("Enter");
    await stored(other, 4);
    await close();
  });

  test("keeps the focus in its list when that changes", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    await other.locator("li:has(a[aria-current]) .delete").focus();
    await other.evaluate(() => {
      document.activeElement.dataset.seen = "before";
    });
    await page.click("#new");
    await send(page, "Another conversation");
    await other.waitForFunction(() => document.querySelector("#list span").textContent === "Another conversation");
    // The list is in the order of use, so this one moves.
    await send(other, "The second");
    await other.locator("[data-seen=before]").focus();
    await stored(other, 2);
    await other.waitForFunction(() => document.querySelector("#list li:first-child a[aria-current]"));
    assert.equal(await other.evaluate(() => document.activeElement.dataset.seen), "before");
    await close();
  });

  test("sends a prompt into the conversation that it is opening", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const reading = await held(other, "GetConversation");
    await other.reload({ waitUntil: "commit" });
    await reading.waits;
    await enter(other, "Early");
    reading.release();
    await stored(other, 2);
    assert.deepEqual(await prompts(other), ["The first", "Early"]);
    assert.equal(other.url(), page.url());
    await stored(page, 2);
    await close();
  });

  test("does not send a prompt that was changed while it waited, nor one into a conversation that is gone", async () => {
    const { page, other, close } = await pair(chromium, server.url);
    const reading = await held(other, "GetConversation");
    await other.reload({ waitUntil: "commit" });
    await reading.waits;
    await enter(other, "Half a");
    await other.locator("#prompt").pressSequentially(" prompt");
    reading.release();
    await stored(other, 1);
    assert.equal(await other.inputValue("#prompt"), "Half a prompt");
    const again = await held(other, "GetConversation");
    await other.reload({ waitUntil: "commit" });
    await again.waits;
    await enter(other, "Half a prompt");
    await deleteTwice(page.locator("li:has(a[aria-current]) .delete"));
    await page.waitForSelector("#list a[aria-current]", { state: "detached" });
    again.release();
    await other.waitForSelector(".problem");
    assert.match(await other.textContent("#complaint"), /Nothing was sent/);
    assert.equal(await other.inputValue("#prompt"), "Half a prompt");
    await close();
  });
});
