// The built programs on free loopback ports, a browser, and watchers that see what must never happen.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { withPageOf } from "./folder.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.OUTCROP_TARGET || join(root, "target/debug");
export const require = createRequire(join(root, "web/package.json"));

const browser = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);
if (!browser && process.env.CI_REQUIRE_BROWSER === "1") {
  throw new Error(
    "CI_REQUIRE_BROWSER=1, and there is no Chromium: install the package chromium, or name one in CHROMIUM",
  );
}
/** Why tests with a browser are skipped, if they are. */
export const skip = browser
  ? false
  : "SKIPPED: there is no Chromium. Install the package chromium, or name one in CHROMIUM";

/** Starts one of our programs and waits for the line that says where it listens. */
async function program(name, flags, environment = {}) {
  const quiet = { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: "true", OUTCROP_LOG: "warn" };
  const child = spawn(join(target, name), flags, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...quiet, ...environment },
  });
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
    process.stderr.write(data);
  });
  const line = await new Promise((resolve, reject) => {
    child.stdout.once("data", (data) => resolve(String(data).trim()));
    child.once("exit", (code) => reject(new Error(`${name} ${flags.join(" ")} ended with ${code}`)));
  });
  const address = /^listening on (\S+)$/.exec(line)?.[1];
  assert(address, `${name} printed ${line}`);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const url = address.startsWith("http") ? address : `http://${address}`;
  /** Waits until it has said this on standard error. */
  const saying = async (pattern) => {
    while (!pattern.test(said)) await once(child.stderr, "data");
    return pattern.exec(said)[0];
  };
  return { url, stop, saying };
}

export async function serve(flags, environment, address = "127.0.0.1:0") {
  const server = await program("outcrop", ["serve", "--listen", address, ...flags], environment);
  const folder = process.env.OUTCROP_PAGE_FOLDER;
  return folder && !flags.includes("--no-page") ? withPageOf(resolve(root, folder), server) : server;
}

/** The emulator by itself, so that its counts can be read, and a server that asks it. */
export async function serveWithEmulator(flags = []) {
  const emulator = await program("bedrock-emulator", ["--listen", "127.0.0.1:0"]);
  const server = await serve(["--default-model", "emulator.default", ...flags], {
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "id",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: emulator.url,
  });
  const read = async (path) => (await fetch(`${emulator.url}/_emulator/${path}`)).json();
  const stop = async () => {
    await server.stop();
    await emulator.stop();
  };
  return { url: server.url, stats: () => read("stats"), lastRequest: () => read("last-request"), stop };
}

export const launch = (flags = []) =>
  require("playwright-core").chromium.launch({
    executablePath: browser,
    args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), ...flags],
  });

const listShown = () => document.getElementById("place").textContent !== "";

/** Opens the page, with watchers, and waits `until` it is ready. `calm()` fails if anything happened that must not. */
export async function open(chromium, address, { until = listShown, ...options } = {}) {
  const url = new URL(address).origin;
  const context = await chromium.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  await context.addInitScript(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const own = request.url().startsWith(`${url}/`) || request.url().startsWith("data:");
    if (!own) wrong.push(`request: ${request.url()}`);
  });
  page.on("popup", (popup) => wrong.push(`popup: ${popup.url()}`));
  await page.goto(address);
  await page.waitForFunction(until);
  const calm = async (expected = /(?!)/) => {
    const violations = await page.evaluate(() => window.violations);
    assert.deepEqual(
      [...violations, ...wrong].filter((line) => !expected.test(line)),
      [],
    );
    assert(page.url().startsWith(`${url}/`), `the page went to ${page.url()}`);
  };
  return { page, context, calm, close: () => context.close() };
}

/** A proxy that serves the page below a path, as nginx does. */
export async function belowPath(server) {
  const seen = [];
  const proxy = http.createServer((asked, answer) => {
    seen.push(asked.url);
    if (!asked.url.startsWith("/outcrop/")) {
      answer.writeHead(404).end();
      return;
    }
    const target = server + asked.url.slice("/outcrop".length);
    const passed = http.request(target, { method: asked.method, headers: asked.headers }, (told) => {
      answer.writeHead(told.statusCode, told.headers);
      told.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    proxy.closeAllConnections();
    proxy.close();
  };
  return { url: `http://127.0.0.1:${proxy.address().port}/outcrop/`, seen, stop };
}

export async function send(page, prompt, model) {
  if (model !== undefined) await page.fill("#model", model);
  await page.fill("#prompt", prompt);
  await page.click("#go");
}

/** Waits until no answer is running and everything is shown. */
export async function settled(page, timeout = 30_000) {
  await page.waitForSelector("#go:not([hidden])", { timeout });
  await page.waitForFunction(() => !document.querySelector("[aria-busy]"), null, { timeout });
}

export const lastTurn = (page) => page.locator(".turn").last();

/** A script of the emulator that answers with these pieces of text. */
export function script(pieces, before = []) {
  const event = (type, payload) => ({ event: { type, payload } });
  const text = (piece) => event("contentBlockDelta", { contentBlockIndex: 9, delta: { text: piece } });
  return {
    steps: [
      event("messageStart", { role: "assistant" }),
      ...before,
      ...pieces.map(text),
      event("contentBlockStop", { contentBlockIndex: 9 }),
      event("messageStop", { stopReason: "end_turn" }),
      event("metadata", { usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 }, metrics: { latencyMs: 1 } }),
    ],
  };
}

/** A folder of scripts; `name` becomes the model `emulator.name`. */
export function scriptFolder(scripts) {
  const folder = mkdtempSync(join(tmpdir(), "outcrop-page-"));
  for (const [name, value] of Object.entries(scripts))
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(value));
  return folder;
}

/** Where pictures of the page are put. */
export function pictures() {
  const folder = join(root, "target/page");
  mkdirSync(folder, { recursive: true });
  return folder;
}
