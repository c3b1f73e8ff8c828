// A conversation as a file: Markdown for people, JSON for programs.
import { toJson } from "@bufbuild/protobuf";
import { partsOf, textOf } from "./answer.js";
import { promptOf } from "./conversations.js";
import { Role } from "./generated/outcrop/v1/content_pb.js";
import { type Turn, TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";

export type Saved = { id: string; title: string; model: string; system: string; turns: Turn[] };

export function asMarkdown({ title, system, turns }: Saved): string {
  const instructions = system.trim() ? [`> System: ${system.trim().replace(/\n/g, "\n> ")}`] : [];
  const said = turns.flatMap((turn) => {
    const answers = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
    const model = turn.modelId ? ` (${turn.modelId})` : "";
    return ["## Prompt", promptOf(turn), `## Answer${model}`, textOf(partsOf(answers))];
  });
  return `${[`# ${oneLine(title) || "Conversation"}`, ...instructions, ...said].join("\n\n")}\n`;
}

/** The turns have the form of the API. */
export function asJson({ id, title, model, system, turns }: Saved): string {
  const all = turns.map((turn) => toJson(TurnSchema, turn));
  return `${JSON.stringify({ conversationId: id, title, model, system, turns: all }, null, 2)}\n`;
}

export function download(saved: Saved, kind: "md" | "json"): void {
  const text = kind === "md" ? asMarkdown(saved) : asJson(saved);
  const type = kind === "md" ? "text/markdown" : "application/json";
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${fileName(saved.title)}.${kind}`;
  link.click();
  // The browser has to read it first.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

const oneLine = (text: string) => text.replace(/\s+/g, " ").trim();

/** A name that every system takes. */
function fileName(title: string): string {
  const name = oneLine(title.replace(/[^\p{L}\p{N} _-]+/gu, " ")).slice(0, 60);
  return name || "conversation";
}
