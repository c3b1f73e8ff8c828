// A turn that is stored, on the page, and what can be done with it: its tools, another answer, a changed prompt.
import { partsOf } from "./answer.js";
import { send } from "./asking.js";
import { branchButtons, showEditing } from "./branch.js";
import { composer } from "./composer.js";
import { attachedOf, newId, promptOf, question, questionOf } from "./conversations.js";
import { finishFacts } from "./facts.js";
import { type ContentBlock, Role } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { state, views } from "./state.js";
import { offerTools } from "./tool-loop.js";
import { TurnView } from "./turn.js";

export function keptTurn(turn: Turn, index: number): HTMLElement {
  const view = new TurnView(promptOf(turn), attachedOf(questionOf(turn)));
  const said = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
  view.show(partsOf(said), true);
  view.tell([...finishFacts(turn.usage, turn.stopReason, ""), turn.modelId]);
  stored(view, index);
  return view.element;
}

/** What can be done with a turn that is stored. */
export function stored(view: TurnView, index: number): void {
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

export function edit(index: number | undefined): void {
  const cancel = () => {
    edit(undefined);
    composer.write("");
  };
  state.edited = index;
  showEditing(index === undefined ? undefined : cancel);
}

/** Makes the page show a branch that begins with the first `count` exchanges. It is created with its first turn. */
export function branchAt(count: number): void {
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
  state.reading = undefined;
  state.stale = false;
  state.wanted = "";
  history.pushState(null, "", location.pathname);
}
