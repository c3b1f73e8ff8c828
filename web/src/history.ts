// What is stored of an answer, and which of it goes back to the model when the conversation goes on.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Part } from "./answer.js";
import {
  type ContentBlock,
  ContentBlockSchema,
  type Message,
  MessageSchema,
  Role,
} from "./generated/outcrop/v1/content_pb.js";

/** What a browser stores of an answer. */
export function blocksOf(parts: Part[]): ContentBlock[] {
  return parts.flatMap((part) => {
    const block = blockOf(part);
    return block ? [create(ContentBlockSchema, { block })] : [];
  });
}

function blockOf(part: Part): MessageInitShape<typeof ContentBlockSchema>["block"] {
  switch (part.kind) {
    case "text":
      return part.text.trim() ? { case: "text", value: part.text } : undefined;
    case "reasoning":
      if (part.redacted.length > 0)
        return { case: "reasoningContent", value: { block: { case: "redactedContent", value: part.redacted } } };
      return {
        case: "reasoningContent",
        value: { block: { case: "reasoningText", value: { text: part.text, signature: part.signature } } },
      };
    case "tool":
      if (!part.id || !isJson(part.text || "{}")) return undefined;
      return {
        case: "toolUse",
        value: { toolUseId: part.id, name: part.name, type: part.type, inputJson: part.text || "{}" },
      };
    case "image":
      return part.bytes.length > 0
        ? { case: "image", value: { format: part.format, source: { source: { case: "bytes", value: part.bytes } } } }
        : undefined;
    default:
      return undefined;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The messages of a conversation as a model takes them back. Those of one role that follow each other are one: Bedrock wants turns. */
export function sendable(messages: Message[]): Message[] {
  const sent: Message[] = [];
  messages.forEach((message, index) => {
    const answered = new Set(resultsOf(messages[index + 1]));
    const goes = (block: ContentBlock) => message.role !== Role.ASSISTANT || goesBack(block, answered);
    const content = message.content.filter(goes);
    if (content.length === 0) return;
    const last = sent.at(-1);
    if (last?.role === message.role) last.content.push(...content);
    else sent.push(create(MessageSchema, { role: message.role, content }));
  });
  return sent;
}

const resultsOf = (message: Message | undefined) =>
  message?.content.flatMap(({ block }) => (block.case === "toolResult" ? [block.value.toolUseId] : [])) ?? [];

/**
 * Text goes back, and a use of a tool with its result. Reasoning goes back only with a use of a tool, which needs it: another model, to
 * which the conversation may have been given, does not take it. Models take no pictures as their own.
 */
function goesBack({ block }: ContentBlock, answered: Set<string>): boolean {
  if (block.case === "toolUse") return answered.has(block.value.toolUseId);
  if (block.case !== "reasoningContent") return block.case === "text" || block.case === "citationsContent";
  if (answered.size === 0) return false;
  const { block: inner } = block.value;
  return inner.case === "redactedContent" || (inner.case === "reasoningText" && inner.value.signature !== "");
}
