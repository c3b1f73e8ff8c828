// What an answer is made of besides words: code, formulas, tables. And what could go wrong with each.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const CODE =
  '```python\ndef area(r):\n    # a comment\n    return "pi" if r else 3.14\n```\n\n```\n<b>plain</b>\n```\n';
const TEX =
  "Inline $e^{i\\pi}+1=0$ and \\(a<b\\).\n\n$$\n\\int_0^1 x^2 dx\n\n= \\frac{1}{3}\n$$\n\n\\[ \\sqrt{2} \\]\n";
const MONEY = "It costs $5 to $10, or $5–$10, and `$x$` is code. Broken: $\\frac{$ ends.";
const TABLE = `| Name | Amount | Middle |\n|:---|---:|:---:|\n${"| a long name of something | 12 | x |\n".repeat(12)}`;
const WIDE = `Before.\n\n| ${"a wide column | ".repeat(14)}\n|${"---|".repeat(14)}\n${`| ${"some cell | ".repeat(14)}\n`.repeat(20)}\nAfter.`;

const event = (type, payload) => ({ event: { type, payload } });
/** A picture of one pixel in two pieces, and a model that goes on writing for a while. */
const PIECES = ["iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf", "FcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="];
const PICTURE = [
  event("contentBlockStart", { contentBlockIndex: 0, start: { image: { format: "png" } } }),
  ...PIECES.map((bytes) =>
    event("contentBlockDelta", { contentBlockIndex: 0, delta: { image: { source: { bytes } } } }),
  ),
  event("contentBlockStop", { contentBlockIndex: 0 }),
  { wait_ms: 3000 },
];

/** Formulas made to hold up who shows them, and formulas that are no formulas. */
const BOMBS = {
  nested: `$$${"\\sqrt{".repeat(600)}x${"}".repeat(600)}$$`,
  fractions: `$$${"\\frac{1}{".repeat(500)}x${"}".repeat(500)}$$`,
  macro:
    "$$\\def\\a{\\b\\b\\b\\b\\b\\b}\\def\\b{\\c\\c\\c\\c\\c\\c}\\def\\c{\\d\\d\\d\\d}\\def\\d{xxxxxxxxxx}\\a\\a\\a\\a$$",
  endless: "$$\\def\\a{\\a\\a}\\a$$",
  dollars: "$".repeat(50_000),
  apart: "$a ".repeat(20_000),
  many: "$x^2$ ".repeat(5_000),
  brackets: "\\(".repeat(20_000),
  open: `$$ x + ${"y + ".repeat(20_000)}`,
  wide: "$\\rule{99999em}{99999em}\\kern{9999em}x$",
  matrix: `$$\\begin{matrix}${"a & ".repeat(300)}\\end{matrix}$$`,
};
const PAYLOADS = [
  "$\\href{javascript:alert(1)}{click}$ and $\\url{javascript:alert(1)}$",
  "$\\includegraphics{http://evil.example/x.png}$",
  '$\\htmlId{composer}{x}\\class{turn"onload=alert(1)}{x}\\style{position:fixed;inset:0}{x}\\data{a=b}{x}$',
  "$\\text{<img src=x onerror=alert(1)>}</math><script>alert(1)</script>$",
  "$$\\text{</mtext></math><img src=x onerror=alert(1)>}$$",
  '```python\n"</code></pre><img src=x onerror=alert(1)>"\n```',
  '```html\n<script>alert(1)</script><b class="turn" onclick="alert(1)">x</b>\n```',
  "```python hljs turn\nx\n```",
  "\u001b[31mred\u001b[0m \u001b]0;title\u0007 \u001b[2J\u202etxt.exe\u202c \u0000\u0008",
  "```bash\n\u001b[2J\u001b[Hls\n```",
];

describe("what an answer is made of", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    const slowly = (text) => ({ pace: { first_ms: 0, gap_ms: 8 }, ...script(text.match(/[\s\S]{1,16}/g)) });
    const scripts = {
      code: slowly(CODE),
      tex: slowly(TEX),
      money: slowly(MONEY),
      table: slowly(TABLE),
      wide: slowly(WIDE),
    };
    for (const [name, text] of Object.entries(BOMBS)) scripts[`bomb-${name}`] = script(text.match(/[\s\S]{1,512}/g));
    PAYLOADS.forEach((text, index) => {
      scripts[`payload-${index}`] = script([text]);
    });
    scripts.picture = script(["Text after it."], PICTURE);
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder(scripts)]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  async function answered(model, options) {
    const opened = await open(chromium, server.url, options);
    await send(opened.page, model, `emulator.${model}`);
    await settled(opened.page);
    return { ...opened, prose: lastTurn(opened.page).locator(".parts .prose") };
  }

  test("code has colours by kind of word, and is copied as it was", async () => {
    const { page, prose, calm, close } = await answered("code", { permissions: ["clipboard-read", "clipboard-write"] });
    const colour = (name) =>
      prose
        .locator(`.hljs-${name}`)
        .first()
        .evaluate((word) => getComputedStyle(word).color);
    const colours = new Set([
      await colour("keyword"),
      await colour("string"),
      await colour("comment"),
      await colour("number"),
    ]);
    assert.equal(colours.size, 4, [...colours].join());
    assert.equal(await prose.locator("pre").nth(1).locator("span").count(), 0, "code without a language is as it is");
    await prose.locator(".code .copy").first().click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied.trim(), CODE.split("```")[1].replace("python\n", "").trim());
    await calm();
    await close();
  });

  test("formulas are MathML, and prices are not formulas", async () => {
    const { page, prose, calm, close } = await answered("tex");
    assert.equal(await prose.locator("math").count(), 4);
    assert.equal(await prose.locator("math[display=block]").count(), 2);
    assert.equal(await prose.locator("mfrac").count(), 1);
    await send(page, "money", "emulator.money");
    await settled(page);
    const last = lastTurn(page).locator(".parts .prose");
    assert.equal(await last.locator("math").count(), 0);
    assert.match(
      await last.textContent(),
      /It costs \$5 to \$10, or \$5–\$10, and \$x\$ is code\. Broken: \$\\frac\{\$ ends\./,
    );
    await calm();
    await close();
  });

  test("only answers that need them load what shows code and formulas", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    const asked = [];
    page.context().on("request", (request) => asked.push(new URL(request.url()).pathname));
    await send(page, "Hello", "emulator.reasoning");
    await settled(page);
    // The service worker passes a request on, and is seen to ask, too.
    const lazy = () => [...new Set(asked)].filter((path) => /^\/(?:code|maths)\.js$/.test(path));
    assert.deepEqual(lazy(), []);
    await send(page, "code", "emulator.code");
    await settled(page);
    assert.deepEqual(lazy(), ["/code.js"]);
    await send(page, "tex", "emulator.tex");
    await settled(page);
    assert.deepEqual(lazy(), ["/code.js", "/maths.js"]);
    await calm();
    await close();
  });

  test("a picture is shown when it is whole, while the model goes on", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await send(page, "Paint", "emulator.picture");
    await page.waitForFunction(() => document.querySelector("figure img")?.naturalWidth === 1);
    assert(await page.isHidden("#go"), "the answer has not ended");
    await settled(page);
    await page.reload();
    await page.waitForFunction(() => document.querySelector("figure img")?.naturalWidth === 1);
    await calm();
    await close();
  });

  test("columns have the side that the answer asks for", async () => {
    const { prose, calm, close } = await answered("table");
    const sides = await prose
      .locator("tr:nth-child(2) td")
      .evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).textAlign));
    assert.deepEqual(sides, ["left", "right", "center"]);
    await calm();
    await close();
  });

  test("a wide table scrolls in its own box on a phone, and stays where the reader has scrolled it while it grows", async () => {
    const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true };
    const { page, calm, close } = await open(chromium, server.url, phone);
    await page.evaluate(() => {
      window.torn = [];
      new MutationObserver(() => {
        for (const row of document.querySelectorAll(".prose tr"))
          if (row.children.length !== 14) window.torn.push(row.textContent);
        for (const text of document.querySelectorAll(".prose p"))
          if (text.textContent.includes("|")) window.torn.push(text.textContent);
      }).observe(document.body, { childList: true, subtree: true });
    });
    await send(page, "wide", "emulator.wide");
    await page.waitForSelector(".prose tbody tr:nth-child(2)");
    await page.evaluate(() => {
      document.querySelector(".prose .table").scrollLeft = 150;
    });
    await page.waitForSelector(".prose tbody tr:nth-child(12)");
    assert.equal(await page.evaluate(() => document.querySelector(".prose .table").scrollLeft), 150);
    await settled(page);
    assert.deepEqual(await page.evaluate(() => window.torn), [], "no part of a row was shown as text");
    const { box, whole, over } = await page.evaluate(() => {
      const { clientWidth, scrollWidth } = document.querySelector(".prose .table");
      return { box: clientWidth, whole: scrollWidth, over: document.documentElement.scrollWidth - innerWidth };
    });
    assert(whole > box && over <= 0, `${whole} in ${box}, the page is ${over} px too wide`);
    await calm();
    await close();
  });

  test("formulas that mean harm hold nothing up and lead nowhere", async (context) => {
    const { page, calm, close } = await open(chromium, server.url);
    for (const name of Object.keys(BOMBS)) {
      await page.click("#new");
      await send(page, name, `emulator.bomb-${name}`);
      const began = performance.now();
      await settled(page, 60_000);
      context.diagnostic(`${name}: ${Math.round(performance.now() - began)} ms`);
      assert.equal(await page.locator(".problem").count(), 0, name);
      const { nodes, wide, deep } = await page.evaluate(() => {
        const all = [...document.querySelectorAll(".parts *")];
        const depthOf = (node) => (node?.closest(".parts") ? 1 + depthOf(node.parentElement) : 0);
        return {
          nodes: all.length,
          wide: document.documentElement.scrollWidth - innerWidth,
          deep: Math.max(0, ...all.slice(0, 4000).map(depthOf)),
        };
      });
      assert(nodes < 40_000 && deep < 80 && wide <= 0, `${name}: ${nodes} nodes, ${deep} deep, ${wide} px too wide`);
    }
    await page.click("#new");
    for (const index of PAYLOADS.keys()) {
      await send(page, `payload ${index}`, `emulator.payload-${index}`);
      await settled(page);
    }
    const wrong = await page.evaluate(() =>
      [...document.querySelectorAll(".parts *")].flatMap((element) => {
        const attributes = [...element.attributes].filter(
          ({ name, value }) =>
            /^(?:on|id$|style$|src)/.test(name) ||
            (name === "href" && !/^(?:https?|mailto):/.test(value)) ||
            (name === "class" && /\bturn\b/.test(value)),
        );
        const tag = /^(?:script|img|svg|iframe|object|style)$/i.test(element.tagName) ? [element.tagName] : [];
        return [...tag, ...attributes.map(({ name, value }) => `${element.tagName} ${name}=${value}`)];
      }),
    );
    assert.deepEqual(wrong, []);
    await calm();
    await close();
  });
});
