// Words, names and formulas that are longer than a line of a phone.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, script, scriptFolder, send, serve, settled, skip } from "./harness.mjs";

const LONG = "x".repeat(300);
const ANSWER = `# ${LONG}

${LONG} \`${LONG}\` [${LONG}](https://a.example/${LONG})

> ${LONG}

- ${LONG}

The formula $${"x".repeat(200)}$, and $$${"a+".repeat(150)}b$$

| ${LONG} | b |
|---|---|
| ${LONG} | ${LONG} |

\`\`\`${LONG}
${LONG}
\`\`\`
`;

describe("what is wider than the screen", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    const event = (type, payload) => ({ event: { type, payload } });
    const delta = (index, body) => event("contentBlockDelta", { contentBlockIndex: index, delta: body });
    const location = { web: { url: `https://a.example/${LONG}`, domain: LONG } };
    const wide = script(
      [ANSWER],
      [
        delta(0, { reasoningContent: { text: LONG } }),
        event("contentBlockStop", { contentBlockIndex: 0 }),
        event("contentBlockStart", { contentBlockIndex: 1, start: { toolUse: { toolUseId: "t1", name: LONG } } }),
        delta(1, { toolUse: { input: JSON.stringify({ [LONG]: LONG }) } }),
        event("contentBlockStop", { contentBlockIndex: 1 }),
        delta(9, { citation: { title: LONG, source: LONG, sourceContent: [{ text: LONG }], location } }),
      ],
    );
    wide.steps.at(-2).event.payload.stopReason = "tool_use";
    chromium = await launch();
    server = await serve(["--local", "--scripts", scriptFolder({ wide })]);
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  for (const [name, viewport] of Object.entries({
    phone: { width: 360, height: 640 },
    desktop: { width: 1280, height: 900 },
  })) {
    test(`on a ${name} it is broken or scrolls by itself, and the page does not`, async () => {
      const { page, calm, close } = await open(chromium, server.url, { viewport });
      await page.setInputFiles("#files", { name: `${LONG}.md`, mimeType: "text/markdown", buffer: Buffer.from("x") });
      await page.waitForSelector("#tray li");
      await send(page, LONG, "emulator.wide");
      await settled(page);
      await page.locator("details.fold summary").first().click();
      await page.locator(".tool-form textarea").fill("The result");
      await fits(page, "the answer");
      // The whole formula can be read.
      const formula = lastTurn(page).locator("p:has(> math)");
      assert(await formula.evaluate((paragraph) => paragraph.scrollTo(1e6, 0) ?? paragraph.scrollLeft > 0));
      await page.fill("#model", LONG);
      await page.click(".tool-form button");
      await settled(page);
      await page.waitForSelector(".problem");
      await fits(page, "the error");
      await calm();
      await close();
    });
  }
});

async function fits(page, what) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${what} makes the page ${wide} px wider than the screen`);
  const form = await page
    .locator(".tool-form")
    .evaluateAll((all) => all.map((one) => one.scrollWidth - one.clientWidth));
  assert(
    form.every((pixels) => pixels <= 0),
    `${what}: the form of the tool is ${form} px too wide`,
  );
}
