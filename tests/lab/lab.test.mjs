// The lab, as it is in the workshop, in a browser: against the emulator, and through Outcrop. It runs the commands of docs/lab.md.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, pictures, skip as withoutBrowser } from "../web/harness.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.OUTCROP_TARGET || join(root, "target/debug");
/** The environment of Python that has tests/lab/requirements.txt. */
const python = process.env.LAB_VENV || join(root, ".ci/tools/lab");
const prompt = "Write a story about two cats that go on an adventure:";

const installed = existsSync(join(python, "bin/streamlit"));
if (!installed && process.env.CI_REQUIRE_LAB === "1") {
  throw new Error(`CI_REQUIRE_LAB=1, and ${python} has no Streamlit: install tests/lab/requirements.txt there`);
}
const skip =
  withoutBrowser || (installed ? false : `SKIPPED: ${python} has no Streamlit of tests/lab/requirements.txt`);

/** The commands of docs/lab.md: the emulator, the lab, Outcrop, the lab. */
const section = readFileSync(join(root, "docs/lab.md"), "utf8").split("## The lab itself")[1];
const commands = [...section.matchAll(/^```bash\n(.*?)^```/gms)].map((match) => match[1]);

const running = [];

/** Runs a command that serves, with other ports than those of the document, until a line of its output matches. */
async function serve(command, ports, pattern) {
  const replaced = Object.entries(ports).reduce((text, [from, to]) => text.replaceAll(from, to), command);
  const lines = replaced
    .trim()
    .replace("cargo run -p bedrock-emulator --", join(target, "bedrock-emulator"))
    .replace("cargo run --", join(target, "outcrop"))
    .split("\n");
  lines.push(`exec ${lines.pop()}`);
  const environment = {
    PATH: `${join(python, "bin")}:${process.env.PATH}`,
    HOME: mkdtempSync(join(tmpdir(), "outcrop-lab-")),
    OUTCROP_LOG: "warn",
    // Streamlit would open a browser, and call home.
    STREAMLIT_SERVER_HEADLESS: "true",
    STREAMLIT_BROWSER_GATHER_USAGE_STATS: "false",
  };
  const child = spawn("bash", ["-c", lines.join("\n")], { cwd: root, env: environment });
  running.push(child);
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
  });
  child.stdout.on("data", (data) => {
    said += data;
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${command} ended with ${code}: ${said}`);
  });
  ended.catch(() => {});
  for (;;) {
    const found = pattern.exec(said);
    if (found) return found;
    await Promise.race([once(child.stdout, "data"), ended]);
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

let chromium;
let emulator;
let outcrop;
let story;

before(
  async () => {
    if (skip) return;
    assert.equal(commands.length, 4);
    chromium = await launch();
    [, emulator] = await serve(commands[0], { 8991: "0" }, /^listening on \S+:(\d+)$/m);
    // The whole answer, which no page has shown.
    const path = `http://127.0.0.1:${emulator}/model/cohere.command-text-v14/invoke`;
    const whole = await fetch(path, { method: "POST", body: JSON.stringify({ prompt, max_tokens: 4000 }) });
    story = (await whole.json()).generations[0].text;
    [, outcrop] = await serve(commands[2], { 50051: "0", 8991: emulator }, /^listening on \S+:(\d+)$/m);
  },
  { timeout: 60_000 },
);

after(async () => {
  await chromium?.close();
  for (const child of running) {
    const ended = once(child, "exit");
    if (child.exitCode === null && child.kill("SIGKILL")) await ended;
  }
});

/** The text without spaces, paragraphs, and the cursor that is at the end while the answer comes. */
const plain = (text) => text.replace(/[\s▕]/g, "");

/** Opens the page of the lab, types the prompt, presses Go, and returns every text that the page showed as the answer. */
async function answered(name, command, ports) {
  const port = await freePort();
  await serve(command, { 8080: port, ...ports }, /Local URL/);
  const page = await chromium.newPage({ viewport: { width: 900, height: 900 } });
  await page.goto(`http://127.0.0.1:${port}`);
  await page.fill("textarea", prompt);
  await page.click("button:has-text('Go')");
  const answer = page.getByTestId("stExpanderDetails");
  await answer.waitFor();
  const shown = [];
  while ((await page.getByText("Complete!").count()) === 0) {
    const text = plain(await answer.textContent());
    if (text !== "" && text !== shown.at(-1)) shown.push(text);
    if (shown.length === 20) await page.screenshot({ path: join(pictures(), `lab-${name}-running.png`) });
    await page.waitForTimeout(50);
  }
  // The handler of LangChain folds a complete answer.
  await page.getByText("Complete!").click();
  await answer.waitFor();
  await page.screenshot({ path: join(pictures(), `lab-${name}.png`) });
  return { shown, whole: plain(await answer.textContent()) };
}

describe("the lab as it is in the workshop", { skip, concurrency: true, timeout: 120_000 }, () => {
  const ways = {
    emulator: { command: 1, ports: () => ({ 8991: emulator }) },
    outcrop: { command: 3, ports: () => ({ 50051: outcrop }) },
  };
  for (const [name, { command, ports }] of Object.entries(ways)) {
    test(`tells its story on the page, word by word (${name})`, async () => {
      const { shown, whole } = await answered(name, commands[command], ports());
      assert.equal(whole, plain(story));
      assert(shown.length > 10, `the page showed ${shown.length} texts`);
      for (const [at, text] of shown.entries()) {
        assert(whole.startsWith(text), `${text} is not the beginning of the story`);
        assert(at === 0 || text.length > shown[at - 1].length, "the text grows");
      }
      assert(shown[0].length < whole.length / 2, "the first text is a part");
    });
  }
});

test("both ways of the lab reach Bedrock with the same request", { skip }, async () => {
  const streams = "operation=InvokeModelWithResponseStream";
  const answer = await fetch(`http://127.0.0.1:${emulator}/_emulator/requests?${streams}`);
  const { requests } = await answer.json();
  assert.equal(requests.length, 2);
  for (const { modelId, outcome, body } of requests) {
    assert.deepEqual([modelId, outcome], ["cohere.command-text-v14", "completed"]);
    assert(body.prompt.endsWith(`Human: ${prompt}\nAI:`), body.prompt);
  }
  assert.deepEqual(requests[0].body, requests[1].body);
});
