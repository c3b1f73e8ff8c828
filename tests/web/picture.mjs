// Takes docs/page.png: the page of `outcrop serve --local`, which has answered the prompt of the README. Run by hand when the page has changed:
// `node tests/web/picture.mjs`.
import { fileURLToPath } from "node:url";
import { launch, open, send, serve, settled, skip } from "./harness.mjs";

const PROMPT = "Write a story about two cats that go on an adventure:";

if (skip) throw new Error(skip);
const server = await serve(["--local"]);
const chromium = await launch();
try {
  const { page, calm } = await open(chromium, server.url, {
    colorScheme: "light",
    reducedMotion: "reduce",
    viewport: { width: 1280, height: 1180 },
  });
  await send(page, PROMPT);
  await settled(page);
  if (await page.evaluate(() => scrollY > 0)) throw new Error("The page is higher than the picture.");
  await page.screenshot({ path: fileURLToPath(new URL("../../docs/page.png", import.meta.url)) });
  await calm();
} finally {
  await chromium.close();
  await server.stop();
}
