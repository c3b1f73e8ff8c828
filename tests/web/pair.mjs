// Two windows of one browser with the same conversation, and calls that wait until a test lets them go.
import { open, send, settled } from "./harness.mjs";

/** A window with a conversation of one turn, and another one that shows it; `init` runs in the other before its scripts. */
export async function pair(chromium, url, init) {
  const first = await open(chromium, url);
  await send(first.page, "The first", "emulator.short");
  await settled(first.page);
  await first.page.waitForSelector("#list a[aria-current]");
  const other = await first.context.newPage();
  if (init) await other.addInitScript(init);
  await other.goto(first.page.url());
  await other.waitForSelector(".turn");
  await other.waitForSelector("#list a[aria-current]");
  return { ...first, other };
}

export const prompts = (page) => page.locator(".turn .prompt").allTextContents();

/** Waits until the page shows so many turns, all of them stored and none that failed. */
export const stored = (page, count) =>
  page.waitForFunction(
    (many) =>
      document.querySelectorAll(".turn .edit").length === many &&
      document.querySelectorAll(".turn").length === many &&
      !document.querySelector(".problem, [aria-busy]"),
    count,
  );

/** Asks again until nothing is refused: the server may still be ending the call before, and the page reading what another has added. */
export async function askAgain(page) {
  for (let tries = 0; tries < 100 && (await page.locator(".problem").count()) > 0; tries += 1) {
    if (tries > 0) await page.waitForTimeout(50);
    await page.locator(".problem button").last().click();
    await settled(page);
  }
}

/** Clicks a button that deletes, and clicks it again before it waits no longer. */
export const deleteTwice = (button) =>
  button.evaluate((element) => {
    element.click();
    element.click();
  });

/** Resolves when the page has an answer about the list, which it asks for after each change. */
export const listed = (page) => page.waitForResponse(/\/ListConversations$/).then((response) => response.finished());

/**
 * Holds the next call of a method that the page makes: before it is sent, or after the server has answered. `waits` resolves when it is
 * held, and `release()` lets it go.
 */
export async function held(page, method, { answered = false } = {}) {
  let release;
  let reached;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  const waits = new Promise((resolve) => {
    reached = resolve;
  });
  const hold = async (route) => {
    const response = answered ? await route.fetch() : undefined;
    reached();
    await released;
    // The page may have gone on without it.
    await (response ? route.fulfill({ response }) : route.continue()).catch(() => {});
  };
  await page.route(`**/outcrop.v1.*/${method}`, hold, { times: 1 });
  return { waits, release };
}
