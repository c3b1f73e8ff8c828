// The conversation that is open: it is opened, continued, branched and left here.
import { aboutAll, note } from "./about.js";
import { partsOf } from "./answer.js";
import { removeEmpty, send } from "./asking.js";
import { branchButtons, branchesLine, originLine, showEditing } from "./branch.js";
import { composer } from "./composer.js";
import { attachedOf, exchangesOf, newId, type Opened, promptOf, question, questionOf } from "./conversations.js";
import { byId, h } from "./dom.js";
import { finishFacts } from "./facts.js";
import { type ContentBlock, Role } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { latest } from "./latest.js";
import { list } from "./list.js";
import { explain } from "./problem.js";
import { closeDrawer } from "./rail.js";
import type { Saved } from "./save.js";
import { hooks, idInAddress, nothing, notice, say, state, views, welcome } from "./state.js";
import { openStore } from "./store.js";
import { tellTabs } from "./tabs.js";
import { showTitle } from "./title.js";
import { offerTools } from "./tool-loop.js";
import { totals } from "./totals.js";
import { TurnView } from "./turn.js";
import { type Origin, settingsRestored, type Unfinished, unsent } from "./unsent.js";

export const talk = {
  listen(changed: () => Promise<void>): void {
    Object.assign(hooks, { changed, reload, stored });
  },
  get id() {
    return state.open.id;
  },
  get busy() {
    return !!state.running || !!views.querySelector("[aria-busy]");
  },
  stop(): void {
    state.running?.abort();
  },
  saved: (): Saved => ({ ...state.open, model: composer.model, system: composer.system }),
  openAddress,
  fresh,
  reload,
  say,
  notice,
  async send(text: string, more: ContentBlock[] = []): Promise<void> {
    const at = state.edited;
    edit(undefined);
    if (at === undefined) return send([question(text, more)], text, newId());
    // What was attached to the prompt stays attached to it.
    const attached = attachedOf(questionOf(state.open.turns[at] as Turn));
    const message = question(text, [...attached, ...more]);
    branchAt(at);
    await send([message], text, newId());
  },
  removed(id: string): void {
    unsent.end(unsent.of(id)?.turnId ?? "");
    if (id === state.open.id) fresh();
  },
  async rename(title: string): Promise<void> {
    state.open.title = title;
    showTitle(title);
    await note(state.open.id, { title });
    tellTabs({ id: state.open.id, what: "named" });
    await hooks.changed();
  },
  /** The connection is there again: what is only a copy is read from the server. */
  async reconnected(): Promise<void> {
    if (views.querySelector(".copied") && !state.running) await reload();
    else await hooks.changed();
  },
  /** Another window has changed the conversation. A turn that is running here meets that by itself. */
  async heard(id: string, removed: boolean): Promise<void> {
    if (id !== state.open.id || state.running) return;
    if (removed) {
      talk.removed(id);
      say("This conversation was deleted in another window.");
    } else if (await reload()) {
      say("This conversation has changed in another window. It is shown as it is now.");
    }
  },
};

/** An empty conversation. */
function fresh(): void {
  unsent.end(unsent.of("")?.turnId ?? "");
  leave("");
  if (location.hash) history.pushState(null, "", location.pathname);
}

/** Clears the page for a conversation that is about to be opened, and leaves the address alone. */
function leave(next: string): void {
  state.running?.abort();
  state.wanted = next;
  edit(undefined);
  const { id, revision } = state.open;
  if (id && revision === 0 && !unsent.of(id)) void removeEmpty(id);
  state.open = nothing();
  views.replaceChildren();
  totals.of([]);
  welcome.hidden = next !== "";
  byId("more").hidden = true;
  showTitle("");
  closeDrawer();
}

/** Opens the conversation that the address names. */
async function openAddress(): Promise<void> {
  const id = idInAddress();
  if (id === state.wanted) return;
  leave(id);
  if (id) await load(id);
  else await showBegun();
  await hooks.changed();
}

async function load(id: string): Promise<boolean> {
  try {
    const opened = await (await openStore()).open(id);
    if (idInAddress() !== id) return false;
    await show(id, opened);
    return true;
  } catch (error) {
    if (idInAddress() !== id) return false;
    state.wanted = undefined;
    notice(explain(error, false), openAddress);
    return false;
  }
}

/** Shows what is stored now. */
async function reload(): Promise<boolean> {
  const done = await load(state.open.id);
  await hooks.changed();
  return done;
}

async function show(id: string, opened: Opened): Promise<void> {
  const about = await aboutAll();
  const branches = await list.branchesOf(id);
  const { title, origin } = about.get(id) ?? {};
  const turns = exchangesOf(opened.turns);
  state.open = { id, title: title || opened.title, turns, revision: opened.revision };
  // A branch whose first turn did not end begins again with what it began with.
  const begun = turns.length === 0 && origin ? await beginning(origin) : [];
  if (begun.length > 0) state.open = { ...state.open, turns: begun, origin };
  if (!settingsRestored()) composer.set(opened.model, opened.system);
  views.replaceChildren();
  if (origin) views.append(originLine(origin.id, about.get(origin.id)?.title || ""));
  state.open.turns.forEach((turn, index) => {
    views.append(keptTurn(turn, index));
    const here = branches.get(index);
    if (here) views.append(branchesLine(here));
  });
  totals.of(state.open.turns);
  welcome.hidden = true;
  if (opened.copied) views.append(copyLine(opened.copied));
  byId("more").hidden = false;
  showTitle(state.open.title);
  showUnfinished();
  latest.go();
}

function copyLine(time: number): HTMLElement {
  const when = new Date(time).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  return h(
    "p",
    { class: "small copied" },
    `The server cannot be reached. This is the conversation as it was on ${when}.`,
  );
}

/** A conversation that has not been created yet, with what a branch begins with. */
async function showBegun(): Promise<void> {
  const origin = unsent.of("")?.origin;
  try {
    if (origin) state.open = { ...nothing(), turns: await beginning(origin), origin };
    views.append(...state.open.turns.map(keptTurn));
    showUnfinished();
  } catch (error) {
    notice(explain(error, false), openAddress);
  }
}

async function beginning({ id, count }: Origin): Promise<Turn[]> {
  const origin = await (await openStore()).open(id);
  return exchangesOf(origin.turns).slice(0, count);
}

/** A turn that did not end before the page was reloaded. */
function showUnfinished(): void {
  const turn = unsent.of(state.open.id);
  if (!turn) return;
  if (state.open.turns.some(({ turnId }) => turnId === turn.turnId)) {
    unsent.end(turn.turnId);
    return;
  }
  welcome.hidden = true;
  const view = new TurnView(turn.prompt, attachedOf(turn.messages));
  views.append(view.element);
  view.show(turn.parts, true);
  view.interrupted(() => void askAgain(view, turn));
  say("The answer was interrupted.");
}

async function askAgain(view: TurnView, turn: Unfinished): Promise<void> {
  if (state.running) return;
  view.element.remove();
  const messages = turn.messages.length > 0 ? turn.messages : [question(turn.prompt)];
  await send(messages, turn.prompt, turn.turnId);
}

function keptTurn(turn: Turn, index: number): HTMLElement {
  const view = new TurnView(promptOf(turn), attachedOf(questionOf(turn)));
  const said = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
  view.show(partsOf(said), true);
  view.tell([...finishFacts(turn.usage, turn.stopReason, ""), turn.modelId]);
  stored(view, index);
  return view.element;
}

/** What can be done with a turn that is stored. */
function stored(view: TurnView, index: number): void {
  addBranchButtons(view.element, index);
  const turn = state.open.turns[index];
  if (turn && index === state.open.turns.length - 1) offerTools(view, turn, sendResults);
}

/** Goes on with a turn whose tools were executed. */
function sendResults(results: ContentBlock[]): void {
  if (!state.running) void send([question("", results)], "", newId());
}

function addBranchButtons(element: HTMLElement, index: number): void {
  element.dataset.exchange = String(index);
  branchButtons(element, {
    edit: () => {
      if (state.running) return;
      composer.write(promptOf(state.open.turns[index] as Turn));
      edit(index);
    },
    regenerate: () => {
      const turn = state.open.turns[index];
      if (state.running || !turn) return;
      edit(undefined);
      branchAt(index);
      void send(questionOf(turn), promptOf(turn), newId());
    },
  });
}

function edit(index: number | undefined): void {
  const cancel = () => {
    edit(undefined);
    composer.write("");
  };
  state.edited = index;
  showEditing(index === undefined ? undefined : cancel);
}

/** Makes the page show a branch that begins with the first `count` exchanges. It is created with its first turn. */
function branchAt(count: number): void {
  const origin = state.open.origin && state.open.revision === 0 ? state.open.origin : { id: state.open.id, count };
  state.open = {
    id: "",
    title: "",
    turns: state.open.turns.slice(0, count),
    revision: 0,
    origin: { ...origin, count },
  };
  for (const element of [...views.children]) {
    const at = Number((element as HTMLElement).dataset.exchange ?? "NaN");
    if (!(at < count)) element.remove();
  }
  state.wanted = "";
  history.pushState(null, "", location.pathname);
}
