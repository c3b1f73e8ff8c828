// Files that go with a prompt: chosen, pasted and dropped, with the limits told before anything is sent.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { lastTurn, launch, open, send, serveWithEmulator, settled, skip } from "./harness.mjs";

/** A picture of one pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
/** The width of a picture, when it is decoded. */
const width = (image) => image.decode().then(() => image.naturalWidth);
const file = (name, mimeType, buffer) => ({ name, mimeType, buffer: Buffer.from(buffer) });

describe("attachments", { skip }, () => {
  let chromium;
  let server;
  before(async () => {
    chromium = await launch();
    server = await serveWithEmulator();
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  const names = (page) => page.locator("#tray li > span").allTextContents();
  const attach = async (page, files) => {
    await page.setInputFiles("#files", files);
    const most = (count) =>
      document.querySelectorAll("#tray li").length >= count || document.getElementById("complaint").textContent;
    await page.waitForFunction(most, [files].flat().length);
  };

  test("files are shown before they are sent, can be removed, and are stored with the turn", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await attach(page, [
      file("pixel.png", "image/png", PNG),
      file("notes about: cats.md", "text/markdown", "# Cats"),
      file("code.rs", "text/x-rust", "fn main() {}"),
      file("no.pdf", "application/pdf", "%PDF"),
    ]);
    assert.deepEqual(await names(page), [
      "pixel.png image, 70 B",
      "notes about- cats document, 6 B",
      "code document, 12 B",
      "no document, 4 B",
    ]);
    assert.equal(await page.locator("#tray img").evaluate(width), 1);
    await page.click('#tray [aria-label="Remove no"]');
    assert.equal(await page.evaluate(() => document.activeElement.id), "attach");
    await send(page, "What is this?", "emulator.reasoning");
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0, await lastTurn(page).textContent());
    assert(await page.isHidden("#tray"));
    const { body } = await server.lastRequest();
    assert.deepEqual(body.messages[0].content, [
      { image: { format: "png", source: { bytes: PNG.toString("base64") } } },
      {
        document: {
          format: "md",
          name: "notes about- cats",
          source: { bytes: Buffer.from("# Cats").toString("base64") },
        },
      },
      { document: { format: "txt", name: "code", source: { bytes: Buffer.from("fn main() {}").toString("base64") } } },
      { text: "What is this?" },
    ]);
    const shown = async () => [
      await lastTurn(page).locator(".prompt").textContent(),
      await lastTurn(page).locator(".attached img").evaluate(width),
      await lastTurn(page).locator(".attached .file").allTextContents(),
    ];
    const before = await shown();
    assert.deepEqual(before, ["What is this?", 1, ["notes about- cats md, 6 B", "code txt, 12 B"]]);
    await page.reload();
    await page.waitForSelector(".turn");
    await settled(page);
    assert.deepEqual(await shown(), before);
    await send(page, "And now?", "emulator.reasoning");
    await settled(page);
    assert.equal((await server.lastRequest()).body.messages[0].content.length, 4, "the model sees them again");
    await calm();
    await close();
  });

  test("what Bedrock would refuse is said when it is chosen", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    const cases = [
      [
        file("big.png", "image/png", Buffer.alloc(3_750_001)),
        /big\.png has 3\.8 MB\. Bedrock takes at most 3\.8 MB of images/,
      ],
      [file("empty.txt", "text/plain", ""), /empty\.txt is empty/],
      [file("a.zip", "application/zip", "PK"), /a\.zip: models take images, documents/],
      [
        Array.from({ length: 6 }, (_, index) => file(`${index}.txt`, "text/plain", "x")),
        /5\.txt: Bedrock takes at most 5 documents/,
      ],
    ];
    for (const [files, told] of cases) {
      await page.setInputFiles("#files", files);
      await page.waitForFunction(() => document.getElementById("complaint").textContent !== "");
      assert.match(await page.textContent("#complaint"), told);
      await page.fill("#prompt", "x");
    }
    assert.equal((await names(page)).length, 5, "those that fit are kept");
    // Of files on the disk the browser gets only the names.
    const folder = mkdtempSync(join(tmpdir(), "outcrop-attached-"));
    const large = ["one.mp4", "two.mp3"].map((name) => join(folder, name));
    for (const path of large) writeFileSync(path, Buffer.alloc(20_000_000));
    await page.setInputFiles("#files", large);
    await page.waitForFunction(() => document.getElementById("complaint").textContent !== "");
    assert.match(await page.textContent("#complaint"), /two\.mp3: all attachments together would have 40\.0 MB/);
    rmSync(folder, { recursive: true });
    await calm();
    await close();
  });

  test("pictures can be pasted, and files dropped; a dropped file does not replace the page", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    const give = (type, bytes, name) =>
      page.evaluate(
        ([kind, content, called]) => {
          const data = new DataTransfer();
          data.items.add(
            new File([new Uint8Array(content)], called, { type: called.endsWith(".png") ? "image/png" : "text/plain" }),
          );
          const target = document.getElementById("prompt");
          const event =
            kind === "paste"
              ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
              : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
          return !target.dispatchEvent(event);
        },
        [type, [...bytes], name],
      );
    assert(await give("paste", PNG, "image.png"));
    assert(await give("dragover", PNG, "image.png"), "otherwise the browser refuses the drop");
    assert(await give("drop", Buffer.from("a,b"), "table.csv"));
    await page.waitForFunction(() => document.querySelectorAll("#tray li").length === 2);
    assert.deepEqual(await names(page), ["image.png image, 70 B", "table document, 3 B"]);
    await calm();
    await close();
  });

  test("a turn that failed has its attachments when it is asked again", async () => {
    const { page, calm, close } = await open(chromium, server.url);
    await attach(page, file("pixel.png", "image/png", PNG));
    await send(page, "Look", "emulator.exception");
    await settled(page);
    await page.fill("#model", "emulator.reasoning");
    await lastTurn(page).locator(".problem button").click();
    await settled(page);
    assert.equal(await page.locator(".problem").count(), 0);
    const { body } = await server.lastRequest();
    assert.deepEqual(
      body.messages[0].content.map((block) => Object.keys(block)[0]),
      ["image", "text"],
    );
    await calm();
    await close();
  });
});
