// What survives a reload in this tab: what was typed, and a turn that has not ended. It is in the tab's session storage, which is written
// at once, so that it is there even if the page is closed in the middle of an answer.
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import type { Part } from "./answer.js";
import { type Message, MessageSchema } from "./generated/outcrop/v1/content_pb.js";

/** Where a branch comes from: a conversation, and how many of its exchanges the branch begins with. */
export type Origin = { id: string; count: number };
/** A turn that has not ended. */
export type Unfinished = {
  /** Empty: the conversation is not created yet. */
  conversation: string;
  messages: Message[];
  prompt: string;
  turnId: string;
  origin?: Origin | undefined;
  parts: Part[];
};

const DRAFT = "outcrop-draft";
const TURN = "outcrop-turn";
const FIELDS = "#composer :is(input, textarea, select)[id], [data-draft] :is(input, textarea, select)[id]";
/** How much of an answer is kept, in characters. Browsers give a tab about 5 million. */
const MAX_ANSWER = 400_000;
const INTERVAL_MS = 1000;
/** How long after the last key what was typed is written. */
const TYPING_MS = 250;

let owner = "";
let closed = false;
let unfinished: Unfinished | undefined;
let written = 0;
let typing: ReturnType<typeof setTimeout> | undefined;
let restored = false;

/** Takes what is stored as that of a caller. What another one left is removed. */
export function openUnsent(database: string): void {
  owner = database;
  restoreDraft();
  unfinished = readTurn();
  addEventListener("pagehide", save);
  document.addEventListener("visibilitychange", () => document.hidden && save());
  document.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(saveDraft, TYPING_MS);
  });
}

/** Removes everything, and writes nothing more. */
export function closeUnsent(): void {
  closed = true;
  unfinished = undefined;
  for (const key of [DRAFT, TURN]) write(key, undefined);
}

export const unsent = {
  begin(turn: Omit<Unfinished, "parts">): void {
    unfinished = { ...turn, parts: [] };
    save();
  },
  grow(parts: Part[]): void {
    if (!unfinished) return;
    unfinished.parts = parts;
    if (performance.now() - written > INTERVAL_MS) saveTurn();
  },
  /** The conversation of the turn was created, or was removed again. */
  move(conversation: string): void {
    if (!unfinished) return;
    unfinished.conversation = conversation;
    saveTurn();
  },
  /** The turn of this id is stored, or the reader has dismissed it. */
  end(turnId: string): void {
    if (unfinished?.turnId !== turnId) return;
    unfinished = undefined;
    saveTurn();
  },
  of: (conversation: string) => (unfinished?.conversation === conversation ? unfinished : undefined),
};

function save(): void {
  saveDraft();
  saveTurn();
}

function fields(): (HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement)[] {
  const all = [...document.querySelectorAll<HTMLInputElement>(FIELDS)];
  return all.filter(({ type }) => type !== "file" && type !== "password");
}

type Draft = { owner: string; at: string; values: Record<string, string | boolean> };

function saveDraft(): void {
  const values = fields().map((field) => [field.id, isSwitch(field) ? field.checked : field.value]);
  const some = values.filter(([, value]) => value !== "" && value !== false);
  write(DRAFT, { owner, at: location.hash, values: Object.fromEntries(some) });
}

/** Puts back what was typed: the prompt anywhere, and the settings in the conversation in which they were made. */
function restoreDraft(): void {
  const draft = read<Draft>(DRAFT);
  if (!draft) return;
  restored = draft.at === location.hash;
  for (const field of fields()) {
    const value = draft.values[field.id];
    if (value === undefined || (!restored && field.id !== "prompt")) continue;
    if (isSwitch(field)) field.checked = value === true;
    else field.value = String(value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

const isSwitch = (field: Element): field is HTMLInputElement =>
  field instanceof HTMLInputElement && /checkbox|radio/.test(field.type);

/** Whether the settings on the page are those from before the reload. Told once. */
export function settingsRestored(): boolean {
  const told = restored;
  restored = false;
  return told;
}

function saveTurn(): void {
  written = performance.now();
  if (!unfinished) {
    write(TURN, undefined);
    return;
  }
  const { messages, parts, ...rest } = unfinished;
  let room = MAX_ANSWER;
  const kept = parts.map((part): Part => {
    if (part.kind === "image")
      return { ...part, bytes: new Uint8Array(), note: "It was lost when the page was reloaded." };
    const text = part.text.slice(0, room);
    room -= text.length;
    return part.kind === "text" ? { kind: "text", text, citations: [] } : { ...part, text };
  });
  const turn = { owner, ...rest, parts: kept };
  const said = messages.map((message) => toJson(MessageSchema, message));
  // With attachments it may be too large; then the prompt alone is kept.
  if (!write(TURN, { ...turn, messages: said })) write(TURN, { ...turn, parts: [], messages: [] });
}

function readTurn(): Unfinished | undefined {
  const turn = read<Omit<Unfinished, "messages"> & { messages: JsonValue[] }>(TURN);
  if (!turn) return undefined;
  try {
    const messages = turn.messages.map((message) => fromJson(MessageSchema, message));
    const parts = turn.parts.map((part) => (part.kind === "image" ? { ...part, bytes: new Uint8Array() } : part));
    return { ...turn, messages, parts };
  } catch {
    // Another version of the page wrote it.
    return undefined;
  }
}

function read<T>(key: string): T | undefined {
  try {
    const value = JSON.parse(sessionStorage.getItem(key) ?? "null") as (T & { owner: string }) | null;
    if (value?.owner === owner) return value;
    sessionStorage.removeItem(key);
  } catch {
    // The browser forbids storage.
  }
  return undefined;
}

/** Answers whether it is written. */
function write(key: string, value: unknown): boolean {
  try {
    if (value === undefined) sessionStorage.removeItem(key);
    else if (!closed && owner) sessionStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
