// src/icon.svg -> the pictures that devices want of an installed page. Run by hand when the icon has changed: `node build/icons.js`.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const svg = readFileSync("src/icon.svg", "utf8");
// What a device cuts to its own shape has no corners of its own, and nothing near its edges.
const whole = svg.replace(' rx="7"', "").replace("0 0 32 32", "-4 -4 40 40").replace("<rect ", '<rect x="-4" y="-4" ');
const maskable = whole.replace('width="32" height="32"', 'width="40" height="40"');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
for (const [name, size, picture] of [
  ["icon-192", 192, svg],
  ["icon-512", 512, svg],
  ["icon-maskable", 512, maskable],
]) {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  const source = `data:image/svg+xml;base64,${Buffer.from(picture).toString("base64")}`;
  await page.setContent(`<body style="margin:0"><img src="${source}" style="display:block;width:100vw">`);
  await page.screenshot({ path: `src/${name}.png`, omitBackground: true });
}
await browser.close();
