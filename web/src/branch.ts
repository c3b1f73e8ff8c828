// The buttons of a turn that begin a branch: another answer to the same prompt, or an answer to a changed prompt. A branch is a
// conversation of its own, so what it departs from stays as it is.

import type { Summary } from "./conversations.js";
import { byId, h } from "./dom.js";

export type Branch = { edit(): void; regenerate(): void };

export function branchButtons(turn: HTMLElement, { edit, regenerate }: Branch): void {
  const editing = h("button", { type: "button", class: "quiet edit", click: edit }, "Edit");
  editing.title = "Change this prompt and go on from here in a new branch";
  const again = h("button", { type: "button", class: "quiet again", click: regenerate }, "Regenerate");
  again.title = "Another answer to this prompt, in a new branch";
  turn.querySelector(".asked")?.append(editing);
  turn.querySelector(".foot")?.append(again);
}

/** Tells above the form that the prompt is a changed one. */
export function showEditing(cancel: (() => void) | undefined): void {
  const place = byId("editing");
  place.hidden = !cancel;
  place.replaceChildren();
  if (!cancel) return;
  const button = h("button", { type: "button", class: "quiet", click: cancel }, "Cancel");
  place.append("Sending this begins a branch. The conversation stays as it is. ", button);
}

/** Where a branch comes from, above its turns. */
export function originLine(id: string, title: string): HTMLElement {
  return h(
    "p",
    { class: "small origin" },
    "A branch of ",
    h("a", { href: `#${id}` }, title.trim() || "another conversation"),
  );
}

/** Which branches depart at a turn, below it. */
export function branchesLine(branches: Summary[]): HTMLElement {
  const links = branches.flatMap(({ id, title }, index) => [
    index > 0 && ", ",
    h("a", { href: `#${id}` }, title.trim() || "Untitled"),
  ]);
  return h("p", { class: "small branches" }, branches.length > 1 ? "Branches here: " : "A branch here: ", ...links);
}
