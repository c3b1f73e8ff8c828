// The page: which conversation is open, and what the buttons do.
import { start } from "./account.js";
import { partsOf } from "./answer.js";
import { client } from "./api.js";
import { composer } from "./composer.js";
import { byId } from "./dom.js";
import { Role } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { explain, type Problem } from "./problem.js";
import { closeDrawer, listenRail, place, showList } from "./rail.js";
import { run } from "./run.js";
import { openStore, promptOf } from "./store.js";
import { finishFacts, TurnView } from "./turn.js";

const turns = byId("turns");
const welcome = byId("welcome");

/** The conversation that is open; empty until its first prompt. */
let current = "";
let running: AbortController | undefined;
/** Whether the view keeps to the end of the answer: until the reader scrolls away. */
let following = true;

function say(text: string): void {
  byId("status").textContent = text;
}

function idInAddress(): string {
  return decodeURIComponent(location.hash.slice(1));
}

async function refreshList(): Promise<void> {
  try {
    const store = await openStore();
    showList(await store.list(), current, remove);
    place(store.place);
  } catch (error) {
    place(explain(error, false).title);
  }
}

async function remove(id: string): Promise<void> {
  try {
    await (await openStore()).remove(id);
    if (id === current) fresh();
  } catch (error) {
    notice(explain(error, false), () => remove(id));
  }
  await refreshList();
}

/** An empty conversation. */
function fresh(): void {
  running?.abort();
  current = "";
  if (location.hash) history.pushState(null, "", location.pathname);
  turns.replaceChildren();
  welcome.hidden = false;
  closeDrawer();
}

/** Opens the conversation that the address names. */
async function open(): Promise<void> {
  const id = idInAddress();
  if (id === current) return;
  clear(id);
  if (!id) return refreshList();
  try {
    const { model, system, turns: kept } = await (await openStore()).open(id);
    if (idInAddress() !== id) return;
    current = id;
    composer.set(model, system);
    turns.replaceChildren(...kept.map(keptTurn));
    scrollToEnd();
  } catch (error) {
    notice(explain(error, false), open);
  }
  await refreshList();
}

/** Clears the page for a conversation that is about to be opened, and leaves the address alone. */
function clear(id: string): void {
  running?.abort();
  current = "";
  turns.replaceChildren();
  welcome.hidden = id !== "";
  closeDrawer();
}

/** A failure outside of any turn. */
function notice(problem: Problem, again: () => void): void {
  const view = new TurnView("");
  view.element.classList.add("notice");
  view.fail(problem, () => {
    view.element.remove();
    again();
  });
  turns.append(view.element);
  say(problem.title);
}

function keptTurn(turn: Turn): HTMLElement {
  const view = new TurnView(promptOf(turn));
  const said = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
  view.show(partsOf(said), true);
  view.tell([...finishFacts(turn.usage, turn.stopReason, ""), turn.modelId]);
  return view.element;
}

async function conversation(signal: AbortSignal): Promise<string> {
  if (current) return current;
  const id = await (await openStore()).create(composer.model, composer.system);
  // The user may have opened another conversation meanwhile.
  if (signal.aborted) return id;
  current = id;
  history.pushState(null, "", `#${encodeURIComponent(id)}`);
  return id;
}

async function send(prompt: string): Promise<void> {
  const controller = new AbortController();
  running = controller;
  welcome.hidden = true;
  const view = new TurnView(prompt);
  turns.append(view.element);
  view.waiting(true);
  composer.running(true);
  following = true;
  scrollToEnd();
  say("Answering");
  const again = () => {
    if (running) return;
    view.element.remove();
    void send(prompt);
  };
  const outcome = await run(conversation, prompt, view, controller.signal);
  if (running === controller) {
    running = undefined;
    composer.running(false);
  }
  if (outcome.kind === "failed") {
    view.fail(outcome.problem, again);
    say(`Failed: ${outcome.problem.title}. ${outcome.problem.advice}`);
  } else if (outcome.kind === "stopped") {
    view.stopped(again);
    say("Stopped");
  } else {
    say(`The answer is complete, ${outcome.answer.finish?.usage?.outputTokens ?? "unknown"} tokens`);
  }
  if (following) scrollToEnd();
  await refreshList();
}

function scrollToEnd(): void {
  scrollTo({ top: document.documentElement.scrollHeight });
}

function listen(): void {
  listenRail();
  composer.listen(
    (text) => void send(text),
    () => running?.abort(),
  );
  byId("new").addEventListener("click", () => {
    fresh();
    composer.focus();
    void refreshList();
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    composer.focus();
  });
  for (const idea of document.querySelectorAll(".idea")) {
    idea.addEventListener("click", () => composer.write(idea.textContent ?? ""));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) running?.abort();
  });
  addEventListener("hashchange", () => void open());
  addEventListener("popstate", () => void open());
  addEventListener("scroll", () => {
    following = innerHeight + scrollY > document.documentElement.scrollHeight - 120;
  });
  new ResizeObserver(() => {
    if (following && (running || turns.querySelector("[aria-busy]"))) scrollToEnd();
  }).observe(turns);
}

async function models(): Promise<void> {
  try {
    const { models: known } = await client.listModels({});
    composer.suggest(
      known.map(({ name }) => name),
      known.find(({ isDefault }) => isDefault)?.name,
    );
  } catch {
    // A name may be typed all the same.
  }
}

if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("modifier").textContent = "⌘";
listen();
void start().then(() => {
  void models();
  if (location.hash) void open();
  else void refreshList();
});
