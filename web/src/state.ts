// What the page works with: the conversation that is open, and the turn that is running in it.
import { byId } from "./dom.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import type { Problem } from "./problem.js";
import { TurnView } from "./turn.js";
import type { Origin } from "./unsent.js";

export const views = byId("turns");
export const welcome = byId("welcome");

export type Open = {
  /** Empty until the first prompt. */
  id: string;
  title: string;
  /** The exchanges that are stored, and in a branch without own turns those that it begins with. */
  turns: Turn[];
  revision: number;
  /** Where the branch comes from. */
  origin?: Origin | undefined;
};
export const nothing = (): Open => ({ id: "", title: "", turns: [], revision: 0 });

type State = {
  open: Open;
  running: AbortController | undefined;
  /** The turn that was sent last, as it is shown. */
  sent: { turnId: string; view: TurnView } | undefined;
  /** The reading of a conversation that will be shown. A turn that begins, or another reading, takes its place. */
  reading: symbol | undefined;
  /** Whether another window has changed the conversation since its reading began. */
  stale: boolean;
  /** The opening of the conversation that the address names. Answers whether it is shown. */
  opening: Promise<boolean> | undefined;
  /** The removal of a conversation that has no turn: the next turn waits for it. */
  cleaning: Promise<void> | undefined;
  /** Which exchange's prompt is edited. */
  edited: number | undefined;
  /** The conversation that the address names, as far as the page has followed it. */
  wanted: string | undefined;
};
export const state: State = {
  open: nothing(),
  running: undefined,
  sent: undefined,
  reading: undefined,
  stale: false,
  opening: undefined,
  cleaning: undefined,
  edited: undefined,
  wanted: undefined,
};

/** What is done by those that need this state. */
export const hooks = {
  /** Something has changed that the rail shows. */
  changed: async (): Promise<void> => {},
  /** Shows what is stored now. Answers whether it could be read. */
  reload: async (): Promise<boolean> => false,
  /** Shows what another window has changed, and tells it. */
  catchUp: async (): Promise<void> => {},
  /** The turn of this view is stored. */
  stored: (_view: TurnView, _index: number): void => {},
};

export function say(text: string): void {
  byId("status").textContent = text;
}

export function idInAddress(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1);
  }
}

/** A failure outside of any turn. The newest takes the place of the one before. */
export function notice(problem: Problem, again: () => void): void {
  for (const old of views.querySelectorAll(".notice")) old.remove();
  const view = new TurnView("");
  view.element.classList.add("notice");
  view.fail(problem, () => {
    view.element.remove();
    again();
  });
  views.append(view.element);
  say(problem.title);
}
