// What the conversation that is open has used, below the form.
import { byId } from "./dom.js";
import { money } from "./facts.js";
import type { Finish } from "./generated/outcrop/v1/chunk_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";

let tokensIn = 0;
let tokensOut = 0;
/** Of the answers of this visit: stored turns do not tell what they cost. */
let micros: number | undefined;

type Used = Pick<Turn, "usage"> | Pick<Finish, "usage" | "costMicros">;

export const totals = {
  /** Begins again, with what is stored of a conversation. */
  of(turns: Turn[]): void {
    tokensIn = 0;
    tokensOut = 0;
    micros = undefined;
    for (const turn of turns) count(turn);
    show();
  },
  add(used: Used): void {
    count(used);
    show();
  },
};

function count(used: Used): void {
  const { usage } = used;
  tokensIn += (usage?.inputTokens ?? 0) + (usage?.cacheReadInputTokens ?? 0) + (usage?.cacheWriteInputTokens ?? 0);
  tokensOut += usage?.outputTokens ?? 0;
  if ("costMicros" in used && used.costMicros !== undefined) micros = (micros ?? 0) + Number(used.costMicros);
}

function show(): void {
  const any = tokensIn + tokensOut > 0;
  const cost = micros === undefined ? "" : `, cost ${money(micros)}`;
  byId("totals").textContent = any
    ? `Tokens used: ${tokensIn.toLocaleString("en")} in, ${tokensOut.toLocaleString("en")} out${cost}`
    : "";
}
