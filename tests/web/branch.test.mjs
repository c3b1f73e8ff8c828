// What a reader does with a conversation: another answer, a changed prompt, a name, a search, a file.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { launch, open, script, scriptFolder, send, serve, serveWithEmulator, settled, skip } from "./harness.mjs";

/** What the model is asked, as roles and texts. */
const asked = async (server) =>
  (await server.lastRequest()).body.messages.map(({ role, content }) => `${role}: ${content.at(-1).text}`);
const stored = (page, count) =>
  page.waitForFunction((many) => document.querySelectorAll(".turn .edit").length === many, count);

describe("a conversation", { skip, concurrency: 2 }, () => {
  let chromium;
  const servers = {};
  before(async () => {
    chromium = await launch();
    servers.server = await serveWithEmulator(["--conversations", "memory"]);
    servers.browser = await serveWithEmulator();
  });
  after(async () => {
    await chromium?.close();
    for (const server of Object.values(servers)) await server.stop();
  });

  for (const place of ["server", "browser"]) {
    describe(`stored by the ${place}`, { concurrency: 1 }, () => {
      test(`an earlier prompt is changed in a branch, and the old one stays`, async () => {
        const server = servers[place];
        const { page, calm, close } = await open(chromium, server.url);
        for (const [index, prompt] of ["One", "Two", "Three"].entries()) {
          await send(page, prompt, "emulator.reasoning");
          await stored(page, index + 1);
        }
        const original = page.url();
        await page.locator(".turn .edit").nth(1).click();
        assert.equal(await page.inputValue("#prompt"), "Two");
        assert.match(await page.textContent("#editing"), /begins a branch/);
        await page.click("#editing button");
        assert.equal(await page.inputValue("#prompt"), "");
        assert(await page.isHidden("#editing"));
        await page.locator(".turn .edit").nth(1).click();
        await page.fill("#prompt", "Two, but better");
        await page.keyboard.press("Enter");
        await stored(page, 2);
        const roles = (await asked(server)).map((text) => text.slice(0, 22));
        assert.equal(roles.length, 3);
        assert.deepEqual([roles[0], roles[2]], ["user: One", "user: Two, but better"]);
        await send(page, "And on");
        await stored(page, 3);
        assert.equal((await asked(server)).length, 5);
        const prompts = () => page.locator(".turn .prompt").allTextContents();
        assert.notEqual(page.url(), original);
        await page.reload();
        await stored(page, 3);
        assert.deepEqual(await prompts(), ["One", "Two, but better", "And on"]);
        await page.click(".origin a");
        await page.waitForFunction(() => document.querySelectorAll(".branches").length === 1);
        assert.deepEqual(await prompts(), ["One", "Two", "Three"]);
        assert.equal(page.url(), original);
        await page.click(".branches a");
        await page.waitForSelector(".origin");
        assert.deepEqual(await prompts(), ["One", "Two, but better", "And on"]);
        await page.goBack();
        await page.waitForSelector(".branches");
        await calm();
        await close();
      });

      test(`an answer is made again in a branch, and a reload in its middle loses nothing`, async () => {
        const server = servers[place];
        const { page, calm, close } = await open(chromium, server.url);
        await send(page, "One", "emulator.reasoning");
        await stored(page, 1);
        await send(page, "Two");
        await stored(page, 2);
        const original = page.url();
        await page.fill("#model", "emulator.endless");
        await page.locator(".turn .again").nth(1).click();
        await page.waitForFunction(() => document.querySelector(".turn:last-child .parts").textContent.length > 20);
        await page.reload();
        await page.waitForSelector(".interrupted");
        const prompts = () => page.locator(".turn .prompt").allTextContents();
        assert.deepEqual(await prompts(), ["One", "Two"]);
        await page.fill("#model", "emulator.reasoning");
        await page.click(".interrupted button");
        await stored(page, 2);
        const roles = await asked(server);
        assert.equal(roles.length, 3);
        assert.deepEqual([roles[0], roles[2]], ["user: One", "user: Two"]);
        assert.notEqual(page.url(), original);
        await page.goto(original);
        await page.waitForSelector(".branches");
        assert.deepEqual(await prompts(), ["One", "Two"]);
        await calm(/ERR_/);
        await close();
      });

      test(`it has a title, can be renamed, found and saved`, async () => {
        const server = servers[place];
        const { page, calm, close } = await open(chromium, server.url);
        await send(page, "Where do ibexes live?\nIn short.", "emulator.reasoning");
        await stored(page, 1);
        assert.equal(await page.title(), "Where do ibexes live? In short. · Outcrop");
        await page.click("#more summary");
        await page.fill("#title", "Goats & <b>mountains</b>");
        await page.keyboard.press("Enter");
        await page.waitForFunction(() => document.title === "Goats & <b>mountains</b> · Outcrop");
        await page.waitForFunction(
          () => document.querySelector("#list a[aria-current] span").textContent === "Goats & <b>mountains</b>",
        );
        await page.click("#new");
        assert.equal(await page.title(), "Response Streaming");
        await send(page, "Something about rivers", "emulator.reasoning");
        await stored(page, 1);
        for (const [query, title] of [
          ["mountains goats", "Goats & <b>mountains</b>"],
          ["IBEXES", "Goats & <b>mountains</b>"],
          ["rivers", "Something about rivers"],
        ]) {
          await page.fill("#search", query);
          await page.waitForFunction(
            (wanted) =>
              [...document.querySelectorAll("#list a span")].map((each) => each.textContent).join() === wanted,
            title,
          );
        }
        await page.fill("#search", "no such words");
        await page.waitForSelector("#list .none");
        assert.equal(await page.textContent("#list .none"), "Nothing found");
        await page.fill("#search", "ibexes");
        await page.click("#list a");
        await page.waitForFunction(() => document.title.startsWith("Goats"));
        await page.reload();
        await stored(page, 1);
        assert.equal(await page.title(), "Goats & <b>mountains</b> · Outcrop");

        const file = async (button) => {
          await page.evaluate(() => {
            document.getElementById("more").open = true;
          });
          const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
          return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
        };
        const [name, markdown] = await file("#save-md");
        assert.equal(name, "Goats b mountains b.md");
        assert(
          markdown.startsWith(
            "# Goats & <b>mountains</b>\n\n## Prompt\n\nWhere do ibexes live?\nIn short.\n\n## Answer",
          ),
        );
        const [jsonName, json] = await file("#save-json");
        assert.equal(jsonName, "Goats b mountains b.json");
        const { title, turns } = JSON.parse(json);
        assert.equal(title, "Goats & <b>mountains</b>");
        assert.equal(turns.length, 1);
        assert.deepEqual(
          turns[0].messages.map(({ role }) => role),
          ["ROLE_USER", "ROLE_ASSISTANT"],
        );
        assert.equal(turns[0].messages[0].content[0].text, "Where do ibexes live?\nIn short.");
        await calm();
        await close();
      });
    });
  }
});

describe("a long answer", { skip }, () => {
  test("the view follows until the reader scrolls away, and a button leads back", async (context) => {
    const chromium = await launch();
    context.after(() => chromium.close());
    const lines = Array.from({ length: 400 }, (_, line) => `Line ${line}.\n\n`);
    const server = await serve([
      "--local",
      "--scripts",
      scriptFolder({ long: { pace: { first_ms: 0, gap_ms: 3 }, ...script(lines) } }),
    ]);
    context.after(server.stop);
    const { page, calm, close } = await open(chromium, server.url);
    const far = () => page.evaluate(() => document.documentElement.scrollHeight - innerHeight - scrollY);
    await send(page, "Tell me much", "emulator.long");
    await settled(page);
    assert((await far()) < 120, "however fast the answer grows");
    await send(page, "Go on without an end", "emulator.endless");
    await page.waitForFunction(() => scrollY > 300);
    assert(await page.isHidden("#latest"));
    await page.mouse.move(700, 300);
    await page.mouse.wheel(0, -5000);
    await page.waitForSelector("#latest:not([hidden])");
    const at = await page.evaluate(() => scrollY);
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => scrollY), at, "the view stays where the reader is");
    await page.click("#latest");
    await page.waitForFunction(() => document.getElementById("latest").hidden);
    assert((await far()) < 120);
    await page.keyboard.press("Escape");
    await settled(page);
    await calm();
    await close();
  });
});
