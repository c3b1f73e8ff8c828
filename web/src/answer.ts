// Chunks -> an answer in parts, and an answer that was kept -> the same parts.
import { create, toJsonString } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Chunk, type Finish, type Start, StopReason } from "./generated/outcrop/v1/chunk_pb.js";
import { type Citation, type ContentBlock, ContentBlockSchema } from "./generated/outcrop/v1/content_pb.js";

export type Part =
  | { kind: "text"; text: string; citations: Citation[] }
  | { kind: "reasoning"; text: string; hidden: boolean }
  | { kind: "tool"; name: string; text: string }
  | { kind: "result"; name: string; text: string }
  | { kind: "image"; format: string; bytes: Uint8Array; note: string }
  | { kind: "other"; name: string; text: string };

/** An answer as it comes in. */
export class Answer {
  readonly parts: Part[] = [];
  start: Start | undefined;
  finish: Finish | undefined;
  /** Chunks that carried something. */
  chunks = 0;
  firstAt = 0;
  lastAt = 0;
  /** Whether a sequence number was missing. */
  gap = false;
  private next = 0;
  private readonly blocks = new Map<number, Part>();

  constructor(readonly askedAt: number) {}

  take(chunk: Chunk, now: number): void {
    if (chunk.event.case === "heartbeat") return;
    if (chunk.sequence !== this.next) this.gap = true;
    this.next = (chunk.sequence ?? this.next) + 1;
    this.chunks += 1;
    this.firstAt ||= now;
    this.lastAt = now;
    this.event(chunk, chunk.contentBlockIndex ?? -1);
  }

  private event({ event }: Chunk, index: number): void {
    switch (event.case) {
      case "start":
        this.start = event.value;
        break;
      case "finish":
        this.finish = event.value;
        break;
      case "text":
        this.part(index, "text", () => ({ kind: "text", text: "", citations: [] })).text += event.value;
        break;
      case "citation":
        this.part(index, "text", () => ({ kind: "text", text: "", citations: [] })).citations.push(event.value);
        break;
      case "reasoning": {
        const part = this.part(index, "reasoning", () => ({ kind: "reasoning", text: "", hidden: false }));
        if (event.value.delta.case === "text") part.text += event.value.delta.value;
        if (event.value.delta.case === "redactedContent") part.hidden = true;
        break;
      }
      case "toolUseStart":
        this.part(index, "tool", () => ({ kind: "tool", name: event.value.name, text: "" }));
        break;
      case "toolUseInput":
        this.part(index, "tool", () => ({ kind: "tool", name: "", text: "" })).text += event.value;
        break;
      case "toolResultStart":
        this.part(index, "result", () => ({ kind: "result", name: event.value.status, text: "" }));
        break;
      case "toolResult":
        for (const { delta } of event.value.content) {
          const text = delta.case === "json" ? toJsonString(ValueSchema, delta.value) : (delta.value ?? "");
          this.part(index, "result", () => ({ kind: "result", name: "", text: "" })).text += `${text}\n`;
        }
        break;
      case "imageStart":
        this.image(index).format = event.value.format;
        break;
      case "image": {
        const part = this.image(index);
        const source = event.value.source?.source;
        if (source?.case === "bytes") part.bytes = joined(part.bytes, source.value);
        if (source?.case === "s3Location") part.note = source.value.uri;
        if (event.value.error) part.note = event.value.error.message || "The model made no picture.";
        break;
      }
      case "native":
        this.parts.push({ kind: "other", name: "native", text: event.value.json });
        break;
      case "other":
        this.parts.push({ kind: "other", name: event.value.eventType, text: event.value.json });
        break;
      default:
        break;
    }
  }

  private image(index: number) {
    return this.part(index, "image", () => ({ kind: "image", format: "", bytes: new Uint8Array(), note: "" }));
  }

  /** The part of a block; blocks may be interleaved. */
  private part<K extends Part["kind"]>(index: number, kind: K, make: () => Part): Extract<Part, { kind: K }> {
    let part = this.blocks.get(index);
    if (part?.kind !== kind) {
      part = make();
      this.blocks.set(index, part);
      this.parts.push(part);
    }
    return part as Extract<Part, { kind: K }>;
  }
}

/** All text, for the clipboard. */
export function textOf(parts: Part[]): string {
  const texts = parts.filter((part) => part.kind === "text").map((part) => part.text);
  return texts.filter((text) => text.trim()).join("\n\n");
}

/**
 * What a browser keeps of an answer, and sends back when the conversation goes on: what was said and what it rests on. Reasoning
 * has to go back only while a tool is used, and this page offers none.
 */
export function blocksOf(parts: Part[]): ContentBlock[] {
  return parts.flatMap((part) => {
    if (part.kind !== "text" || !part.text.trim()) return [];
    return [create(ContentBlockSchema, { block: { case: "text", value: part.text } })];
  });
}

/** The parts of a message that was kept. */
export function partsOf(blocks: ContentBlock[]): Part[] {
  return blocks.flatMap(({ block }): Part[] => {
    switch (block.case) {
      case "text":
        return [{ kind: "text", text: block.value, citations: [] }];
      case "citationsContent": {
        const text = block.value.content.map(({ content }) => content.value ?? "").join("");
        return [{ kind: "text", text, citations: block.value.citations }];
      }
      case "reasoningContent": {
        const { block: inner } = block.value;
        const text = inner.case === "reasoningText" ? inner.value.text : "";
        return [{ kind: "reasoning", text, hidden: inner.case === "redactedContent" }];
      }
      case "toolUse": {
        const { input, inputJson } = block.value;
        const text = input ? toJsonString(ValueSchema, input) : inputJson;
        return [{ kind: "tool", name: block.value.name, text }];
      }
      case "toolResult": {
        const texts = block.value.content.map(({ block: inner }) => {
          if (inner.case === "text" || inner.case === "jsonText") return inner.value;
          return inner.case === "json" ? toJsonString(ValueSchema, inner.value) : `(${inner.case ?? "unknown"})`;
        });
        return [{ kind: "result", name: block.value.status, text: texts.join("\n") }];
      }
      case "image": {
        const source = block.value.source?.source;
        const bytes = source?.case === "bytes" ? source.value : new Uint8Array();
        const note = source?.case === "s3Location" ? source.value.uri : (block.value.error?.message ?? "");
        return [{ kind: "image", format: block.value.format, bytes, note }];
      }
      default:
        return [{ kind: "other", name: block.case ?? "unknown", text: "" }];
    }
  });
}

/** Why the model stopped, in words. */
export function stopReason(reason: StopReason, name: string): string {
  const words: Record<number, string> = {
    [StopReason.END_TURN]: "complete",
    [StopReason.TOOL_USE]: "waits for a tool",
    [StopReason.MAX_TOKENS]: "cut at the maximum of tokens",
    [StopReason.STOP_SEQUENCE]: "at a stop sequence",
    [StopReason.GUARDRAIL_INTERVENED]: "a guardrail stepped in",
    [StopReason.CONTENT_FILTERED]: "filtered by the provider",
    [StopReason.MALFORMED_MODEL_OUTPUT]: "unreadable output of the model",
    [StopReason.MALFORMED_TOOL_USE]: "unreadable tool use",
    [StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED]: "the context window is full",
  };
  return words[reason] ?? name;
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const all = new Uint8Array(left.length + right.length);
  all.set(left);
  all.set(right, left.length);
  return all;
}
