// Puts the chunks of an answer together into a message that can be sent back as history. It is complete: reasoning has its signature and its
// redacted bytes, tool uses have their ids, and text has its citations.
import { create, fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type Chunk,
  type Finish,
  FinishSchema,
  type OtherEvent,
  type Start,
  StartSchema,
  type ToolUseStart,
  ToolUseStartSchema,
} from "./generated/outcrop/v1/chunk_pb.js";
import {
  type Citation,
  type ContentBlock,
  ContentBlockSchema,
  type ImageBlock,
  ImageBlockSchema,
  type Message,
  MessageSchema,
  type ReasoningTextBlock,
  ReasoningTextBlockSchema,
  Role,
  type ToolResultBlock,
  ToolResultBlockSchema,
  type ToolResultContentBlock,
  ToolResultContentBlockSchema,
  type ToolUseBlock,
  ToolUseBlockSchema,
} from "./generated/outcrop/v1/content_pb.js";
import { nested, parse, survives } from "./json.js";

/** A complete answer. */
export type Answer = {
  /** The first chunk: id, model, region, attempts. */
  start: Start;
  /** The message of the assistant. Send it back unchanged. */
  message: Message;
  /** The last chunk: stop reason, usage, trace. */
  finish: Finish;
  /** Events that the server does not know. `message` does not contain them. */
  others: OtherEvent[];
  /** Members that the server does not know, in order of arrival. */
  unrecognized: JsonObject[];
};

/** The text of all blocks of an answer. */
export function textOf(answer: Answer): string {
  const texts = answer.message.content.map(({ block }) => {
    if (block.case === "text") return block.value;
    return block.case === "citationsContent" ? block.value.content.map((piece) => piece.content.value ?? "").join("") : "";
  });
  return texts.join("");
}

/** The tool uses for the caller to execute. */
export function toolUses(answer: Answer): ToolUseBlock[] {
  const uses = answer.message.content.flatMap(({ block }) => (block.case === "toolUse" ? [block.value] : []));
  return uses.filter((use) => use.type !== "server_tool_use");
}

/** A message of the user, from text and content blocks. */
export function user(...content: (string | ContentBlock)[]): Message {
  const text = (value: string) => create(ContentBlockSchema, { block: { case: "text", value } });
  return create(MessageSchema, { role: Role.USER, content: content.map((one) => (typeof one === "string" ? text(one) : one)) });
}

/** The result of a tool use: text for a string, otherwise JSON. Put all results of an answer into one message of the user. */
export function toolResult(use: ToolUseBlock, result: JsonValue, isError = false): ContentBlock {
  const block = typeof result === "string" ? { case: "text", value: result } as const : { case: "jsonText", value: JSON.stringify(result) } as const;
  const value = { toolUseId: use.toolUseId, content: [{ block }], status: isError ? "error" : "success" };
  return create(ContentBlockSchema, { block: { case: "toolResult", value: create(ToolResultBlockSchema, value) } });
}

/** The input of a tool use. Whole numbers beyond 2^53 are not exact in JavaScript; `inputJson` of the use then has the text. */
export function toolInput(use: ToolUseBlock): JsonValue {
  if (use.inputJson) return JSON.parse(use.inputJson);
  return use.input ? toJson(ValueSchema, use.input) : {};
}

/** The content of a block so far. Bedrock sends one kind of content in a block. If there are several, each becomes a block. */
class Parts {
  text: string[] = [];
  citations: Citation[] = [];
  reasoning: ReasoningTextBlock | undefined;
  redacted: Uint8Array[] = [];
  toolUse: ToolUseStart | undefined;
  toolInput: string[] = [];
  toolResult: ToolResultBlock | undefined;
  image: ImageBlock | undefined;

  blocks(): ContentBlock["block"][] {
    const blocks: ContentBlock["block"][] = [];
    const reasoning = (block: { case: "reasoningText"; value: ReasoningTextBlock } | { case: "redactedContent"; value: Uint8Array }) =>
      blocks.push(create(ContentBlockSchema, { block: { case: "reasoningContent", value: { block } } }).block);
    if (this.reasoning) reasoning({ case: "reasoningText", value: this.reasoning });
    if (this.redacted.some((piece) => piece.length)) reasoning({ case: "redactedContent", value: new Uint8Array(Buffer.concat(this.redacted)) });
    const value = this.text.join("");
    if (this.citations.length) {
      const cited = { content: [{ content: { case: "text" as const, value } }], citations: this.citations };
      blocks.push(create(ContentBlockSchema, { block: { case: "citationsContent", value: cited } }).block);
      // Bedrock does not accept blank text.
    } else if (value.trim()) blocks.push({ case: "text", value });
    if (this.toolUse) blocks.push({ case: "toolUse", value: toolUse(this.toolUse, this.toolInput.join("")) });
    if (this.toolResult) blocks.push({ case: "toolResult", value: this.toolResult });
    // Bedrock does not accept an image without a source, which has only an error.
    if (this.image?.source) blocks.push({ case: "image", value: this.image });
    return blocks;
  }
}

/**
 * A tool use with its complete input. Input that was truncated by `max_tokens` is not JSON and becomes a string. Input whose numbers are not exact as
 * doubles stays text, if the server accepts them there.
 */
function toolUse({ toolUseId, name, type }: ToolUseStart, text: string): ToolUseBlock {
  const use = create(ToolUseBlockSchema, { toolUseId, name, type });
  const value = parse(text || "{}");
  if (value === undefined) use.input = fromJson(ValueSchema, text);
  else if (survives(text, value)) use.input = fromJson(ValueSchema, nested(value));
  else use.inputJson = text;
  return use;
}

/** Puts an answer together from its chunks. */
export class Collector {
  readonly #blocks = new Map<number, Parts>();
  readonly #others: OtherEvent[] = [];
  readonly #unrecognized: JsonObject[] = [];
  #start = create(StartSchema);
  #finish = create(FinishSchema);

  /** Adds the next chunk. */
  add(chunk: Chunk): void {
    if (chunk.unrecognized) this.#unrecognized.push(chunk.unrecognized);
    const index = chunk.contentBlockIndex ?? 0;
    const parts = this.#blocks.get(index) ?? new Parts();
    this.#blocks.set(index, parts);
    const { event } = chunk;
    if (event.case === "start") this.#start = event.value;
    else if (event.case === "finish") this.#finish = event.value;
    else if (event.case === "other") this.#others.push(event.value);
    else addTo(parts, event);
  }

  /** The answer so far. It is complete after the chunk with `finish`. Its message is that of `finish`, if the request has `includeMessage`. */
  answer(): Answer {
    const blocks = [...this.#blocks].sort(([a], [b]) => a - b).flatMap(([, parts]) => parts.blocks());
    const content = blocks.map((block) => create(ContentBlockSchema, { block }));
    const message = this.#finish.message ?? create(MessageSchema, { role: Role.ASSISTANT, content });
    return { start: this.#start, message, finish: this.#finish, others: this.#others, unrecognized: this.#unrecognized };
  }
}

function addTo(parts: Parts, event: Chunk["event"]): void {
  switch (event.case) {
    case "text":
      parts.text.push(event.value);
      break;
    case "citation":
      parts.citations.push(event.value);
      break;
    case "reasoning": {
      const { delta } = event.value;
      if (delta.case === "redactedContent") parts.redacted.push(delta.value);
      else if (delta.case) {
        parts.reasoning ??= create(ReasoningTextBlockSchema);
        parts.reasoning[delta.case] += delta.value;
      }
      break;
    }
    case "toolUseStart":
      parts.toolUse = event.value;
      parts.toolInput = [];
      break;
    case "toolUseInput":
      parts.toolUse ??= create(ToolUseStartSchema);
      parts.toolInput.push(event.value);
      break;
    case "toolResultStart": {
      const { toolUseId, status, type } = event.value;
      parts.toolResult = create(ToolResultBlockSchema, { toolUseId, status, type });
      break;
    }
    case "toolResult": {
      parts.toolResult ??= create(ToolResultBlockSchema);
      const deltas = event.value.content.filter(({ delta }) => delta.case);
      parts.toolResult.content.push(...deltas.map(({ delta }): ToolResultContentBlock => create(ToolResultContentBlockSchema, { block: delta })));
      break;
    }
    case "imageStart":
      parts.image ??= create(ImageBlockSchema);
      parts.image.format = event.value.format;
      break;
    case "image":
      addImage(parts, event.value);
  }
}

function addImage(parts: Parts, { source, error }: { source?: ImageBlock["source"]; error?: ImageBlock["error"] }): void {
  parts.image ??= create(ImageBlockSchema);
  const image = parts.image;
  if (error && image.error) image.error.message += error.message;
  else if (error) image.error = error;
  if (!source?.source.case) return;
  const old = image.source?.source;
  if (old?.case === "bytes" && source.source.case === "bytes") {
    source.source.value = new Uint8Array(Buffer.concat([old.value, source.source.value]));
  }
  image.source = source;
}
