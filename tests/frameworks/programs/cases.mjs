// The cases that every framework runs, as cases.py has them for Python: the same argument, the same lines.
import { readFileSync } from "node:fs";

// Frameworks judge ids, so it is that of a real model.
export const MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

const FAULTS = ["end", "cut", "reset", "corrupt", "exception"];

export const DESCRIPTION = "Tells where an island is.";

// What the tool was called with, in this case.
const calls = [];

export function findIsland({ island }) {
  calls.push(island);
  return `${island} lies in the Inner Hebrides.`;
}

/** Whether the emulator is still sending the answer to this prompt. */
async function isRunning(history, prompt) {
  const answer = await fetch(`${history}/_emulator/requests?outcome=running`);
  return (await answer.text()).includes(prompt);
}

async function streamed(stream, history, prompt) {
  const pieces = [];
  let early;
  const onPiece = (text) => {
    if (!text) return;
    early ??= isRunning(history, prompt);
    pieces.push(text);
  };
  try {
    const reason = await stream(prompt, onPiece);
    return { pieces, reason: reason ?? null, early: (await early) === true };
  } catch (error) {
    return { pieces, error: error.name, message: String(error.message).slice(0, 1000) };
  }
}

async function looped(loop, prompt) {
  calls.length = 0;
  try {
    return { text: await loop(prompt), calls: [...calls] };
  } catch (error) {
    return { error: error.stack };
  }
}

const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))).version;

/** Runs the cases of `name`, which is a client of this package. */
export async function run(packageName, name, stream, loop) {
  const asked = JSON.parse(process.argv[2]);
  const faults = FAULTS.map((fault) => [fault, ` [emulator.${fault}]`]);
  const marks = { text: "", loop: " [emulator.call]", ...Object.fromEntries(faults) };
  for (const [way, given] of Object.entries(asked.ways)) {
    Object.assign(process.env, given.variables);
    for (const kind of given.cases ?? Object.keys(marks)) {
      const prompt = `Tell ${name} ${way} the ${kind} of the voyage to the islands, with all winds and all harbours, please${marks[kind]}`;
      const result = kind === "loop" ? await looped(loop, prompt) : await streamed(stream, asked.history, prompt);
      console.log(JSON.stringify({ name, version: versionOf(packageName), way, case: kind, prompt, ...result }));
    }
  }
}
