// What the page costs: the bytes that it needs before it can be used, and the work of an answer that comes fast.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

/** The most processor time of one task, in milliseconds. In a longer one a reader sees scrolling and typing stop. */
const LONGEST_TASK_MS = 50;
const MOST_BYTES = 150_000;
const BLOCKS = [
  "Some *ordinary* text with `code` and a [link](https://a.example/), long enough to be broken into lines on most screens.\n\n",
  "| Name | Amount |\n|---|---:|\n| a row | 12 |\n| another row | 3 |\n\n",
  '```python\ndef area(r):\n    return 3.14 * r ** 2  # a comment\n\nprint("done", area(2))\n```\n\n',
  "A formula $e^{i\\pi}$ and a list:\n\n- one\n- two\n\n$$\\int_0^1 x\\,dx$$\n\n",
];

describe("the page's costs", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    const pieces = BLOCKS.join("")
      .repeat(12)
      .match(/[\s\S]{1,7}/g)
      .slice(0, 800);
    const scripts = { fast: { pace: { first_ms: 0, gap_ms: 5 }, ...script(pieces) } };
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder(scripts)]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  test("no task is long while 200 chunks a second arrive", async (context) => {
    const { page, calm, close } = await open(chromium, server.url);
    // What is needed once is loaded before: that is measured by the bytes.
    await send(page, "warm", "emulator.fast");
    await settled(page, 60_000);
    await page.evaluate(() => {
      window.longTasks = [];
      new PerformanceObserver((list) =>
        window.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
      ).observe({
        type: "longtask",
      });
    });
    await chromium.startTracing(page, {
      categories: ["toplevel", "disabled-by-default-devtools.timeline", "__metadata"],
    });
    await send(page, "fast", "emulator.fast");
    await settled(page, 60_000);
    const { traceEvents } = JSON.parse(String(await chromium.stopTracing()));
    const main = new Set(
      traceEvents
        .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
        .map(({ pid, tid }) => `${pid}/${tid}`),
    );
    // The time on the processor, so that other programs of the machine do not count.
    const tasks = traceEvents.filter(({ tdur, pid, tid }) => tdur > 0 && main.has(`${pid}/${tid}`));
    assert(tasks.length > 500, `only ${tasks.length} tasks were traced`);
    const longest = Math.max(...tasks.map(({ tdur }) => tdur)) / 1000;
    const seen = await page.evaluate(() => window.longTasks);
    context.diagnostic(`${tasks.length} tasks, the longest with ${longest.toFixed(1)} ms of processor time`);
    context.diagnostic(`tasks over 50 ms by the clock: ${seen.length}, ${seen.map(Math.round).join(", ")} ms`);
    assert(longest < LONGEST_TASK_MS, `a task took ${longest} ms`);
    assert.match(await lastTurn(page).locator(".meta").textContent(), /tokens\/s/);
    await calm();
    await close();
  });

  test("little is needed before the page can be used", async (context) => {
    const { page, calm, close } = await open(chromium, server.url, { serviceWorkers: "block" });
    const needed = new Set();
    page.on("request", (request) => request.method() === "GET" && needed.add(request.url()));
    const debug = await page.context().newCDPSession(page);
    await debug.send("Network.setCacheDisabled", { cacheDisabled: true });
    await page.reload({ waitUntil: "load" });
    await send(page, "Hello", "emulator.default");
    await settled(page);
    let bytes = 0;
    for (const url of needed) {
      const { body, compressed } = await raw(url);
      // A page that comes from a folder is not compressed.
      const sent = compressed || !process.env.OUTCROP_PAGE_FOLDER ? body.length : gzipSync(body).length;
      context.diagnostic(`${new URL(url).pathname}: ${sent} bytes`);
      bytes += sent;
    }
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
    context.diagnostic(`${bytes} bytes, first contentful paint after ${Math.round(paint)} ms`);
    assert(bytes > 30_000 && bytes < MOST_BYTES, `${bytes} bytes`);
    await calm();
    await close();
  });
});

/** A file as it is sent to a browser. */
function raw(url) {
  return new Promise((resolve, reject) => {
    const asked = http.get(url, { headers: { "accept-encoding": "gzip" } }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const body = Buffer.concat(pieces);
        resolve({ body, compressed: answer.headers["content-encoding"] === "gzip" });
      });
    });
    asked.on("error", reject);
  });
}
