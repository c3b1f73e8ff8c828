// A turn from its sending to what follows from its end: it is stored, it can be asked again, or its conversation never began.
import { note } from "./about.js";
import { composer } from "./composer.js";
import { attachedOf, promptOf } from "./conversations.js";
import { byId } from "./dom.js";
import type { Message } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { latest } from "./latest.js";
import { type Outcome, run } from "./run.js";
import { hooks, type Open, say, state, views, welcome } from "./state.js";
import { openStore } from "./store.js";
import { tellTabs } from "./tabs.js";
import { showTitle } from "./title.js";
import { offerTools } from "./tool-loop.js";
import { totals } from "./totals.js";
import { TurnView } from "./turn.js";
import { unsent } from "./unsent.js";

/** The id of the conversation, which is created if there is none. */
async function created(mine: Open, signal: AbortSignal): Promise<string> {
  await state.cleaning;
  if (mine.id) return mine.id;
  const id = await (await openStore()).create(composer.model, composer.system);
  mine.id = id;
  if (mine.origin) await note(id, { origin: mine.origin });
  // The user may have opened another conversation meanwhile.
  if (!signal.aborted) {
    unsent.move(id);
    state.wanted = id;
    const address = `#${encodeURIComponent(id)}`;
    if (mine.origin) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }
  return id;
}

export async function send(messages: Message[], prompt: string, turnId: string): Promise<void> {
  const controller = new AbortController();
  const mine = state.open;
  state.running = controller;
  // What is being read would take the place of this turn. It is read again when the turn has ended.
  state.stale ||= !!state.reading;
  state.reading = undefined;
  welcome.hidden = true;
  const view = new TurnView(prompt, attachedOf(messages));
  state.sent = { turnId, view };
  views.append(view.element);
  view.waiting(true);
  composer.running(true);
  latest.go();
  say("Answering");
  if (!mine.title) showTitle(prompt);
  unsent.begin({ conversation: mine.id, messages, prompt, turnId, origin: mine.origin });
  const base = mine.revision === 0 ? mine.turns : [];
  const asked = { messages, turnId, revision: mine.revision, base };
  let release = () => {};
  const conversation = async (signal: AbortSignal) => {
    const id = await created(mine, signal);
    release = await (await openStore()).hold(id);
    return id;
  };
  const outcome = await run({ ...asked, conversation }, view, controller.signal);
  release();
  const again = () => {
    if (state.running) return;
    view.element.remove();
    void send(messages, prompt, turnId);
  };
  const kept = await ended(outcome, mine, view, { turnId, again, signal: controller.signal });
  // Only now: what is sent before the page shows how this turn ended would be sent into what is about to be replaced.
  const left = state.running !== controller;
  if (!left) {
    state.running = undefined;
    composer.running(false);
  }
  if (latest.following) latest.go();
  state.cleaning = kept ? undefined : removeUnstarted(mine);
  await state.cleaning;
  if (!left && state.stale && !state.running) await hooks.catchUp();
  await hooks.changed();
}

/** What follows from the end of a turn. Answers whether the turn is stored, or may be. */
async function ended(
  outcome: Outcome,
  mine: Open,
  view: TurnView,
  { turnId, again, signal }: { turnId: string; again(): void; signal: AbortSignal },
): Promise<boolean> {
  const here = mine === state.open;
  if (outcome.kind === "whole") {
    unsent.end(turnId);
    mine.turns = [...mine.turns, outcome.turn];
    mine.revision = outcome.revision;
    mine.title ||= promptOf(mine.turns[0] as Turn);
    tellTabs({ id: mine.id, what: "changed" });
    if (!here) return true;
    hooks.stored(view, mine.turns.length - 1);
    if (outcome.answer.finish) totals.add(outcome.answer.finish);
    byId("more").hidden = false;
    showTitle(mine.title);
    say(`The answer is complete, ${outcome.answer.finish?.usage?.outputTokens ?? "unknown"} tokens`);
    return true;
  }
  if (outcome.kind === "apart") {
    unsent.end(turnId);
    if (here) say("The answer is complete. It is no part of the conversation.");
    return mine.revision > 0;
  }
  if (here) offerTools.again();
  if (outcome.kind === "stopped") {
    view.stopped(again);
    if (here) say("Stopped");
    return false;
  }
  const { problem } = outcome;
  const { reason } = problem;
  const stored = reason === "CONVERSATION_TURN_STORED";
  if (stored) unsent.end(turnId);
  // The page shows what the other window added, and then this prompt, unless it is part of that.
  const readable = here && (stored || reason === "CONVERSATION_CHANGED");
  const shown = readable && (await Promise.race([hooks.reload(), aborted(signal)]));
  if (shown && stored) {
    say("The turn was stored already.");
    return true;
  }
  view.fail(problem, again);
  if (state.sent?.view === view) say(`Failed: ${problem.title}. ${problem.advice}`);
  return stored || reason === "CONVERSATION_OUTCOME_UNKNOWN";
}

/** Resolves to false when the reader stops waiting, or has left. */
const aborted = (signal: AbortSignal) =>
  new Promise<false>((resolve) => {
    if (signal.aborted) resolve(false);
    signal.addEventListener("abort", () => resolve(false));
  });

/** Removes the conversation if its first turn failed, so that no empty one is left. */
async function removeUnstarted(mine: Open): Promise<void> {
  const { id } = mine;
  // If the reader has left, the turn can be asked again on the way back.
  if (!id || mine.revision > 0 || (mine !== state.open && unsent.of(id))) return;
  if (!(await removeEmpty(id))) return;
  if (unsent.of(id)) unsent.move("");
  mine.id = "";
  if (mine !== state.open) return;
  state.wanted = "";
  history.replaceState(null, "", location.pathname);
}

/** Answers whether the conversation is no longer there. */
export async function removeEmpty(id: string): Promise<boolean> {
  try {
    const store = await openStore();
    return await store.removeEmpty(id);
  } catch {
    // It is not listed, and the server removes it when it has grown old.
    return false;
  }
}
