// Whether everybody can use it (axe-core), and pictures of it for a look by eye: target/page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { caller, configFile, newKey, refusedWith, signedIn } from "./callers.mjs";
import { launch, open, pictures, require, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SIZES = {
  desktop: { width: 1280, height: 900 },
  tablet: { width: 768, height: 1024 },
  phone: { width: 360, height: 640 },
};
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const ANSWER = `Sandstone begins as a mountain and ends as a beach that has been forgotten. It takes four steps, and the last one never quite stops.

### From mountain to sand

1. **Weathering.** Frost and rain take granite apart. Feldspar turns to clay; *quartz* does not.
2. **Transport.** Rivers sort the grains by size, because slow water drops what fast water carries.

| Grain | Diameter | Settles in |
|---|---:|---|
| Sand | 0.06–2 mm | rivers, dunes |
| Silt | 0.004–0.06 mm | lakes |

How fast a grain sinks is Stokes' law, $v = \\frac{2}{9} \\frac{(\\rho_p - \\rho_f)}{\\mu} g r^2$:

$$
v = \\frac{2}{9}\\,\\frac{\\rho_p - \\rho_f}{\\mu}\\,g\\,r^2, \\qquad \\int_0^h \\frac{dz}{v(z)} = \\sum_{i=1}^{n} \\sqrt{t_i}
$$

\`\`\`python
def settling_speed(radius, density=2650, viscosity=1.0e-3):
    """Metres per second, for small grains in water."""
    return 2 / 9 * (density - 1000) * 9.81 * radius**2 / viscosity
\`\`\`

> A grain of quartz may go round more than once: sandstone weathers into sand, too.

What holds it together is \`SiO2\`, calcite or iron oxide; the last gives it [its colour](https://en.wikipedia.org/wiki/Sandstone).`;

describe("the look", { skip }, () => {
  let chromium;
  let server;
  let guarded;
  const key = newKey();
  before(async () => {
    const event = (type, payload) => ({ event: { type, payload } });
    const thought = event("contentBlockDelta", {
      contentBlockIndex: 0,
      delta: { reasoningContent: { text: "Four steps, and a formula." } },
    });
    const pieces = ANSWER.match(/.{1,12}/gs);
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder({ sandstone: script(pieces, [thought]) })]);
    guarded = await serve(["--local", "--config", configFile(caller("ada-lovelace.of-the-analytical-engine", [key]))]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
    await guarded?.stop();
  });

  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      test(`${colorScheme}, ${size}: nothing that axe-core calls serious, and nothing wider than the screen`, async () => {
        const phone = size !== "desktop";
        const { page, calm, close } = await open(chromium, server.url, {
          colorScheme,
          viewport,
          isMobile: phone,
          hasTouch: phone,
          reducedMotion: "reduce",
        });
        const look = async (name) => {
          await check(page, `${name}, ${colorScheme}, ${size}`);
          await page.screenshot({ path: join(pictures(), `${name}-${colorScheme}-${size}.png`) });
        };
        await look("empty");
        await page.click("#settings");
        const closed = page.locator("#parameters details:not([open]) > summary");
        while ((await closed.count()) > 0) await closed.first().click();
        await page.fill("#p-tool-config-tools", '[{"toolSpec": {"name": "search", }]');
        await page.locator("#p-tool-config-tools").blur();
        await page.locator("#p-tool-config-tools").scrollIntoViewIfNeeded();
        await look("panel-open");
        await page.click("#panel-reset");
        await page.click("#panel-close");
        await page.setInputFiles("#files", [
          { name: "pixel.png", mimeType: "image/png", buffer: PNG },
          { name: "a rather long name of a document about sandstone.md", mimeType: "text/markdown", buffer: PNG },
        ]);
        await page.waitForSelector("#tray li:nth-child(2)");
        await look("attached");
        await send(page, "Explain how sandstone is formed, step by step", "emulator.sandstone");
        await settled(page);
        await page.evaluate(() => scrollTo(0, 0));
        await look("answer");
        await send(page, "Everything at once, please", "emulator.everything");
        await settled(page);
        await page.locator("details.fold summary").last().click();
        await look("sources");
        await page.evaluate(() => scrollTo(0, 0));
        await page.click("#more summary");
        await page.waitForSelector("#latest:not([hidden])");
        await look("menu");
        await page.click("#more summary");
        await page.locator(".turn .edit").last().click();
        await look("editing");
        await page.click("#editing button");
        await page.locator(".inspect").last().click();
        await look("inspector");
        await page.keyboard.press("Escape");
        await send(page, "And now with a fault", "emulator.exception");
        await settled(page);
        await look("error");
        await send(page, "And use a tool", "emulator.tools");
        await settled(page);
        await page.locator(".tool-form").scrollIntoViewIfNeeded();
        await look("tools");
        await page.fill("#prompt", " ");
        await page.click("#go");
        if (phone) await page.click("#menu");
        await look("list");
        await calm();
        await close();
      });

      test(`${colorScheme}, ${size}: the same of the sign-in`, async () => {
        const phone = size !== "desktop";
        const { page, calm, close } = await open(chromium, guarded.url, {
          until: () => document.getElementById("sign-in").open,
          colorScheme,
          viewport,
          isMobile: phone,
          hasTouch: phone,
          reducedMotion: "reduce",
        });
        const look = async (name) => {
          await check(page, `${name}, ${colorScheme}, ${size}`);
          await page.screenshot({ path: join(pictures(), `${name}-${colorScheme}-${size}.png`) });
        };
        await look("sign-in");
        await refusedWith(page, newKey().text);
        await look("sign-in-refused");
        await signedIn(page, key.text);
        if (phone) await page.click("#menu");
        await look("signed-in");
        await calm(/status of 401/);
        await close();
      });
    }
  }

  test("on a phone the buttons below an answer stand in one row, however it ended", async () => {
    const { page, calm, close } = await open(chromium, server.url, { viewport: SIZES.phone, isMobile: true });
    for (const [model, buttons] of Object.entries({ sandstone: 3, exception: 2 })) {
      await send(page, "Hello", `emulator.${model}`);
      await settled(page);
      const tops = await page
        .locator(".turn")
        .last()
        .locator(".foot button")
        .evaluateAll((all) => all.map((button) => Math.round(button.getBoundingClientRect().top)));
      assert.deepEqual(tops, Array(buttons).fill(tops[0]), model);
    }
    await calm();
    await close();
  });

  test("the theme that was chosen stays, and the other system's does not matter", async () => {
    const { page, calm, close } = await open(chromium, server.url, { colorScheme: "light" });
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await page.click("#theme");
    const dark = await paper();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await paper(), dark);
    await page.click("#theme");
    assert.equal(await paper(), light);
    await calm();
    await close();
  });
});

async function check(page, where) {
  // Given to the browser by its debugger, so that the page's own policy stays what it is.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
  assert.deepEqual(told, [], where);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${where} is ${wide} px wider than the screen`);
}
