// The conversation that is open: it is opened, continued, branched and left here.
import { note } from "./about.js";
import { removeEmpty, send } from "./asking.js";
import { branchesLine, originLine } from "./branch.js";
import { composer } from "./composer.js";
import { attachedOf, newId, question, questionOf } from "./conversations.js";
import { byId, h } from "./dom.js";
import type { ContentBlock } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { branchAt, edit, keptTurn, stored } from "./kept.js";
import { latest } from "./latest.js";
import { explain } from "./problem.js";
import { closeDrawer } from "./rail.js";
import { beginning, type Reading, read } from "./reading.js";
import type { Saved } from "./save.js";
import { hooks, idInAddress, nothing, notice, say, state, views, welcome } from "./state.js";
import { tellTabs } from "./tabs.js";
import { showTitle } from "./title.js";
import { totals } from "./totals.js";
import { TurnView } from "./turn.js";
import { settingsRestored, type Unfinished, unsent } from "./unsent.js";

export const talk = {
  listen(changed: () => Promise<void>): void {
    Object.assign(hooks, { changed, reload: () => load(state.open.id), catchUp, stored });
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
  fresh,
  notice,
  openAddress,
  /** Opens the conversation that the address names when the page knows as whom it works. */
  async begin(started: Promise<void>): Promise<void> {
    state.opening = started.then(open);
    await state.opening;
    await hooks.changed();
  },
  /** Resolves when no conversation is being opened: whether the one that was is open. */
  ready: async (): Promise<boolean> => state.opening ?? true,
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
    if (views.querySelector(".copied") && !state.running) await load(state.open.id);
    await hooks.changed();
  },
  /** Another window has changed the conversation. */
  async heard(id: string, removed: boolean): Promise<void> {
    if (id !== (state.open.id || state.wanted)) return;
    if (state.running || state.reading) {
      // What is read here is read again. A turn that is running meets a removal by itself, and after it the page looks for a change.
      state.stale ||= !removed || !state.running;
    } else if (removed) {
      talk.removed(id);
      say("This conversation was deleted in another window.");
    } else {
      await catchUp();
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
  if (state.running) composer.running(false);
  state.running = undefined;
  state.sent = undefined;
  state.reading = undefined;
  state.stale = false;
  state.opening = undefined;
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

async function openAddress(): Promise<void> {
  if (idInAddress() === state.wanted) return;
  await open();
  await hooks.changed();
}

/** Opens the conversation that the address names. Answers whether it is open. */
async function open(): Promise<boolean> {
  const id = idInAddress();
  if (id === state.wanted) return talk.ready();
  leave(id);
  const opening = id ? load(id) : showBegun();
  state.opening = opening;
  const done = await opening;
  if (state.opening === opening) state.opening = undefined;
  return done;
}

/** Answers whether the conversation is shown as it is stored now. */
async function load(id: string): Promise<boolean> {
  const reading = Symbol(id);
  state.reading = reading;
  const wanted = () => state.reading === reading && idInAddress() === id;
  try {
    do {
      state.stale = false;
      const found = await read(id);
      if (!wanted()) return false;
      show(id, found);
    } while (state.stale);
    return true;
  } catch (error) {
    if (!wanted()) return false;
    state.wanted = undefined;
    notice(explain(error, false), openAddress);
    return false;
  } finally {
    if (state.reading === reading) state.reading = undefined;
  }
}

async function catchUp(): Promise<void> {
  const { id } = state.open;
  if (id && (await load(id))) say("This conversation has changed in another window. It is shown as it is now.");
}

function show(id: string, found: Reading): void {
  // What was set here since the conversation was opened stays.
  if (state.open.id !== id && !settingsRestored()) composer.set(found.model, found.system);
  const { title, exchanges, revision, origin } = found;
  state.open = { id, title, turns: exchanges, revision, ...(found.begun && { origin }) };
  const shown: HTMLElement[] = [];
  if (origin) shown.push(originLine(origin.id, found.originTitle));
  exchanges.forEach((turn, index) => {
    shown.push(keptTurn(turn, index));
    const here = found.branches.get(index);
    if (here) shown.push(branchesLine(here));
  });
  if (found.copied) shown.push(copyLine(found.copied));
  replaceViews(shown);
  totals.of(exchanges);
  welcome.hidden = true;
  byId("more").hidden = false;
  showTitle(title);
  latest.go();
}

/** Shows these, and behind them the turn that has not ended. If that was sent from here its element stays, with the focus that is in it. */
function replaceViews(shown: HTMLElement[]): void {
  const turn = unfinished();
  const sent = turn && state.sent?.turnId === turn.turnId ? state.sent.view.element : undefined;
  for (const element of [...views.children]) if (element !== sent) element.remove();
  views.prepend(...shown);
  if (sent && !sent.parentNode) views.append(sent);
  if (turn && !sent) showInterrupted(turn);
}

function copyLine(time: number): HTMLElement {
  const when = new Date(time).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  return h(
    "p",
    { class: "small copied" },
    `The server cannot be reached. This is the conversation as it was on ${when}.`,
  );
}

/** A conversation that has not been created yet, with what a branch begins with. Answers whether it is shown. */
async function showBegun(): Promise<boolean> {
  const { open } = state;
  const origin = unsent.of("")?.origin;
  try {
    const turns = origin ? await beginning(origin) : [];
    if (state.open !== open) return false;
    if (origin) state.open = { ...nothing(), turns, origin };
    replaceViews(turns.map(keptTurn));
    return true;
  } catch (error) {
    if (state.open === open) notice(explain(error, false), openAddress);
    return false;
  }
}

/** The turn of this conversation that was sent and is not stored. */
function unfinished(): Unfinished | undefined {
  const turn = unsent.of(state.open.id);
  if (!turn || !state.open.turns.some(({ turnId }) => turnId === turn.turnId)) return turn;
  unsent.end(turn.turnId);
  return undefined;
}

/** A turn that did not end before the page was reloaded. */
function showInterrupted(turn: Unfinished): void {
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
