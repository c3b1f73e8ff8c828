// The line below an answer, what is shown while the model thinks, and the inspector.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { caller, configFile, newKey, signedIn } from "./callers.mjs";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const event = (type, payload) => ({ event: { type, payload } });
const delta = (index, body) => event("contentBlockDelta", { contentBlockIndex: index, delta: body });
const thoughts = [
  delta(0, { reasoningContent: { text: "First I look.\nThen I" } }),
  delta(0, { reasoningContent: { text: " think <b>hard</b>" } }),
  { wait_ms: 2500 },
  event("contentBlockStop", { contentBlockIndex: 0 }),
];
const tools = dirname(process.env.GRPCURL || fileURLToPath(new URL("../../.ci/tools/bin/grpcurl", import.meta.url)));
/** Why the command is not run, if it is not. */
const noGrpcurl = whyNot();
const PRICES = '[price."emulator.paced"]\ninput = 3\noutput = 15\n';

describe("what is known of an answer", { skip }, () => {
  let chromium;
  let server;
  let guarded;
  const key = newKey();
  before(async () => {
    const scripts = {
      thinks: script(["The answer."], thoughts),
      quick: {
        pace: { first_ms: 0, gap_ms: 30 },
        ...script(Array.from({ length: 20 }, (_, index) => `word ${index} `)),
      },
      // Long enough for the estimate, which is made anew four times a second.
      paced: {
        pace: { first_ms: 0, gap_ms: 100 },
        ...script(Array.from({ length: 20 }, (_, index) => `word ${index} `)),
      },
      many: script(Array.from({ length: 1200 }, (_, index) => `${index} `)),
    };
    const flags = ["--local", "--scripts", scriptFolder(scripts)];
    chromium = await launch();
    server = await serve([...flags, "--config", configFile(PRICES)]);
    guarded = await serve([...flags, "--config", configFile(caller("ada", [key]))]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
    await guarded?.stop();
  });

  test("while the model thinks, its time and its last line are shown, and then they are not", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "Think", "emulator.thinks");
    const title = lastTurn(page).locator(".fold summary");
    const line = await page.waitForFunction(() => {
      const shown = document.querySelector(".fold summary");
      return /Thinking… [1-9] s/.test(shown?.textContent ?? "") && shown.querySelector(".last-line")?.textContent;
    });
    assert.equal(await line.jsonValue(), "Then I think <b>hard</b>");
    await settled(page);
    assert.equal(await title.textContent(), "Reasoning");
    assert.match(await lastTurn(page).locator(".meta").textContent(), /thought for \d\.\d+ s/);
    await calm();
    await close();
  });

  test("tokens are estimated while they come, and then counted, with what they cost", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "Hello", "emulator.paced");
    await page.waitForFunction(() => /≈ \d+ tokens.*≈ \d+ tokens\/s/.test(document.querySelector(".meta").textContent));
    await settled(page);
    const meta = await lastTurn(page).locator(".meta").textContent();
    // 1 token in for 3 and 2 out for 15, by the million.
    assert.match(meta, /tokens: 1 in, 2 out.*\d+ tokens\/s.*cost 0\.000033/);
    assert.doesNotMatch(meta, /chunks/);
    assert.equal(await page.textContent("#totals"), "Tokens used: 1 in, 2 out, cost 0.000033");
    await send(page, "Again", "emulator.paced");
    await settled(page);
    assert.equal(await page.textContent("#totals"), "Tokens used: 2 in, 4 out, cost 0.000066");
    await page.reload();
    await page.waitForSelector(".turn");
    await settled(page);
    assert.equal(await page.textContent("#totals"), "Tokens used: 2 in, 4 out", "stored turns have no cost");
    await page.click("#new");
    assert.equal(await page.textContent("#totals"), "");
    await calm();
    await close();
  });

  test("the inspector has every chunk, and the command that makes the request", async () => {
    const { page, calm, close } = await open(chromium, server.url, {
      permissions: ["clipboard-read", "clipboard-write"],
    });
    await send(page, "It's\n'quoted'\nREQUEST\n$(false) `x`", "emulator.many");
    await settled(page);
    await lastTurn(page).locator(".inspect").click();
    const command = await page.locator("#inspector .command").textContent();
    const { port } = new URL(server.url);
    assert(
      command.startsWith(
        `grpcurl -plaintext -d @ 127.0.0.1:${port} outcrop.v1.GenerationService/Generate <<'REQUEST'\n{`,
      ),
      command,
    );
    const request = JSON.parse(command.split("\n").slice(1, -1).join("\n"));
    assert.equal(request.messages[0].content[0].text, "It's\n'quoted'\nREQUEST\n$(false) `x`");
    assert.equal(request.model, "emulator.many");
    assert(!("turn_id" in request) && !("conversation_revision" in request), "with them it would be refused");
    await page.locator('#inspector [aria-label="Copy the command"]').click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
    const chunks = async () =>
      (await page.locator("#inspector .chunks").textContent())
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    assert.equal((await chunks()).length, 500, "not all at once");
    while (await page.locator("#inspector >> text=Show more").isVisible())
      await page.click("#inspector >> text=Show more");
    const all = await chunks();
    assert.deepEqual(
      all.map(({ sequence }) => sequence),
      all.map((_, index) => index),
    );
    assert(all[0].start.generation_id && all.at(-1).finish.stop_reason === "STOP_REASON_END_TURN");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click("#inspector >> text=Download chunks.ndjson"),
    ]);
    assert.equal(
      readFileSync(await download.path(), "utf8")
        .trim()
        .split("\n").length,
      all.length,
    );
    await page.keyboard.press("Escape");
    assert(await page.isHidden("#inspector"));
    await calm();
    await close();
  });

  test("the command of the inspector gets an answer", { skip: noGrpcurl }, async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.click("#settings");
    await page.fill("#temperature", "0.5");
    await send(page, 'It\'s $(false) `x` "quoted" \\n', "emulator.quick");
    await settled(page);
    await lastTurn(page).locator(".inspect").click();
    const command = await page.locator("#inspector .command").textContent();
    const env = { ...process.env, PATH: `${tools}:${process.env.PATH}` };
    const answer = execFileSync("bash", ["-c", command], { env, encoding: "utf8" });
    assert.match(answer, /"text": "word 0 "/);
    assert.match(answer, /"stopReason": "STOP_REASON_END_TURN"/);
    await calm();
    await close();
  });

  test("a long request is a file beside the command", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "x".repeat(20_000), "emulator.quick");
    await settled(page);
    await lastTurn(page).locator(".inspect").click();
    assert.match(await page.locator("#inspector .command").textContent(), /Generate < request\.json$/);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click("#inspector >> text=Download request.json"),
    ]);
    assert.equal(JSON.parse(readFileSync(await download.path(), "utf8")).messages[0].content[0].text.length, 20_000);
    await calm();
    await close();
  });

  test("no key is in the inspector", async () => {
    const { page, calm, close } = await open(chromium, guarded.url, {
      until: () => document.getElementById("sign-in").open,
    });
    await signedIn(page, key.text);
    await send(page, "Hello", "emulator.quick");
    await settled(page);
    await lastTurn(page).locator(".inspect").click();
    const shown = await page.locator("#inspector").textContent();
    assert.match(shown, /-H "authorization: Bearer \$OUTCROP_API_KEY"/);
    assert(!shown.includes(key.text) && !shown.includes(key.text.slice(-20)));
    await calm(/status of 401/);
    await close();
  });
});

function whyNot() {
  if (process.env.OUTCROP_PAGE_FOLDER)
    return "SKIPPED: the page comes from a folder, through a proxy that does not speak gRPC";
  const found = [tools, ...process.env.PATH.split(":")].some((folder) => existsSync(join(folder, "grpcurl")));
  assert(found || process.env.CI_REQUIRE_BROWSER !== "1", "CI_REQUIRE_BROWSER=1, and there is no grpcurl");
  return found ? false : "SKIPPED: there is no grpcurl. .ci/run installs it into .ci/tools";
}
