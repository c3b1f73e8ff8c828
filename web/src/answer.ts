// Chunks -> an answer in parts, and an answer that was kept -> the same parts.
import { toJsonString } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Chunk, type Finish, type QuotaWait, type Start, StopReason } from "./generated/outcrop/v1/chunk_pb.js";
import type { Citation, ContentBlock } from "./generated/outcrop/v1/content_pb.js";

export type Part =
  | { kind: "text"; text: string; citations: Citation[] }
  | {
      kind: "reasoning";
      text: string;
      /** Whether a piece of it is encrypted. */
      hidden: boolean;
      /** What proves to the model, if the reasoning goes back, that it is the model's. */
      signature: string;
      redacted: Uint8Array;
      /** When it began and ended, in the time of the page. */
      since: number;
      until?: number;
    }
  | {
      kind: "tool";
      name: string;
      text: string;
      id: string;
      /** Empty if the caller has to execute it. */
      type: string;
    }
  | { kind: "result"; name: string; text: string }
  | { kind: "image"; format: string; bytes: Uint8Array; note: string; whole?: boolean }
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
  /** The wait for quota, while the call waits. */
  waiting: QuotaWait | undefined;
  /** Whether a sequence number was missing. */
  gap = false;
  private next = 0;
  private readonly blocks = new Map<number, Part>();

  constructor(readonly askedAt: number) {}

  take(chunk: Chunk, now: number): void {
    this.waiting = chunk.event.case === "heartbeat" ? chunk.event.value.quotaWait : undefined;
    if (chunk.event.case === "heartbeat") return;
    if (chunk.sequence !== this.next) this.gap = true;
    this.next = (chunk.sequence ?? this.next) + 1;
    this.chunks += 1;
    this.firstAt ||= now;
    this.lastAt = now;
    this.event(chunk, chunk.contentBlockIndex ?? -1, now);
  }

  /** For how long the model has thought, in milliseconds. */
  get thoughtMs(): number {
    const times = this.parts.map((part) => (part.kind === "reasoning" ? (part.until ?? this.lastAt) - part.since : 0));
    return times.reduce((sum, time) => sum + time, 0);
  }

  /** The tools that the caller has to execute. */
  get calls(): ToolCall[] {
    return callsOf(this.parts);
  }

  private event({ event }: Chunk, index: number, now: number): void {
    const before = this.blocks.get(index);
    const thinks = event.case === "reasoning";
    for (const part of thinks ? [] : this.parts) if (part.kind === "reasoning") part.until ??= now;
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
        const part = this.part(index, "reasoning", () => thought(now));
        const { delta } = event.value;
        if (delta.case === "text") part.text += delta.value;
        if (delta.case === "signature") part.signature += delta.value;
        if (delta.case === "redactedContent") part.redacted = joined(part.redacted, delta.value);
        part.hidden = part.redacted.length > 0;
        break;
      }
      case "toolUseStart":
        this.part(index, "tool", () => {
          const { name, toolUseId: id, type } = event.value;
          return { kind: "tool", name, text: "", id, type };
        });
        break;
      case "toolUseInput":
        this.part(index, "tool", () => ({ kind: "tool", name: "", text: "", id: "", type: "" })).text += event.value;
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
      case "blockStop":
        if (before?.kind === "image") before.whole = true;
        break;
      case "native":
        this.part(index, "other", () => ({
          kind: "other",
          name: "native chunks",
          text: "",
        })).text += `${event.value.json}\n`;
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

/** A tool that the caller has to execute. */
export type ToolCall = { id: string; name: string; input: string };

export function callsOf(parts: Part[]): ToolCall[] {
  return parts.flatMap((part) =>
    part.kind === "tool" && part.id && !part.type ? [{ id: part.id, name: part.name, input: part.text }] : [],
  );
}

const thought = (since: number): Extract<Part, { kind: "reasoning" }> => ({
  kind: "reasoning",
  text: "",
  hidden: false,
  signature: "",
  redacted: new Uint8Array(),
  since,
});

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
        return [{ ...thought(0), text, hidden: inner.case === "redactedContent", until: 0 }];
      }
      case "toolUse": {
        const { input, inputJson } = block.value;
        const text = input ? toJsonString(ValueSchema, input) : inputJson;
        return [{ kind: "tool", name: block.value.name, text, id: block.value.toolUseId, type: block.value.type }];
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
