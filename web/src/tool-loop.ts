// The tool loop: a turn that ended with calls of tools offers a form, which stays until a turn with the results has ended well.
import { callsOf, partsOf } from "./answer.js";
import { StopReason } from "./generated/outcrop/v1/chunk_pb.js";
import { type ContentBlock, Role } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import type { TurnView } from "./turn.js";

const forms = () => document.querySelectorAll<HTMLElement>(".tool-form");

/** Takes away the forms of turns before, and offers one for this turn if it waits for tools. */
export function offerTools(view: TurnView, turn: Turn, send: (results: ContentBlock[]) => void): void {
  for (const form of forms()) form.remove();
  if (turn.stopReason !== StopReason.TOOL_USE) return;
  const said = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
  const calls = callsOf(partsOf(said));
  if (calls.length > 0) view.askForResults(calls, send);
}

/** The turn with the results did not end well: they can be sent again. */
offerTools.again = () => {
  for (const form of forms()) form.hidden = false;
};
