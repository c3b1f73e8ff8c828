// What both stores of conversations have in common: what they keep, and turns in the form in which the page works with them.
import { create, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import {
  type ContentBlock,
  ContentBlockSchema,
  type Message,
  MessageSchema,
  Role,
  SystemContentBlockSchema,
} from "./generated/outcrop/v1/content_pb.js";
import { type Turn, TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";

export type Summary = { id: string; title: string; updated: number };
export type Opened = {
  title: string;
  model: string;
  system: string;
  turns: Turn[];
  /** Changes with every turn. */
  revision: number;
  /** When the server was last asked, in milliseconds, if it cannot be reached and this is a copy. */
  copied?: number;
};
export type Before = { conversationId?: string; conversationRevision?: number; messages: Message[] };
/** A turn that ended well, with what the page knew when it was sent. */
export type NewTurn = { turn: Turn; revision: number; base: Turn[]; told: number | undefined };

export interface Store {
  /** Where conversations are, in words. */
  readonly place: string;
  /** The conversations that were used last, at most `limit`. */
  list(limit: number): Promise<Summary[]>;
  open(id: string): Promise<Opened>;
  create(model: string, system: string): Promise<string>;
  remove(id: string): Promise<void>;
  /** Removes a conversation if it has no turn, and answers whether it had none. */
  removeEmpty(id: string): Promise<boolean>;
  /** What a request needs so that the model knows what was said before. `base` is what a branch without own turns begins with. */
  before(id: string, revision: number, base: Turn[]): Promise<Before>;
  /** Takes the conversation for one turn. Answers how it is given back. */
  hold(id: string): Promise<() => void>;
  /** Keeps a turn, and answers the revision after it. */
  keep(id: string, turn: NewTurn): Promise<number>;
  /** The turns that this browser has, by conversation, for a search. */
  texts(): Promise<Map<string, Turn[]>>;
}

/** What the browser has of a conversation. */
export type Kept = {
  title: string;
  updated: number;
  model: string;
  system: string;
  turns: Uint8Array[];
  revision?: number;
  copied?: number;
};

export const turnsOf = (kept: Kept | undefined): Turn[] =>
  (kept?.turns ?? []).map((bytes) => fromBinary(TurnSchema, bytes));

export const systemBlocks = (text: string) =>
  text.trim() ? [create(SystemContentBlockSchema, { block: { case: "text", value: text } })] : [];

export const systemText = (blocks: ReturnType<typeof systemBlocks>): string =>
  blocks.flatMap(({ block }) => (block.case === "text" ? [block.value] : [])).join("\n\n");

/** An error with a reason, as the server's errors have. */
export function refusal(reason: string, message: string, code: Code): ConnectError {
  const error = new ConnectError(message, code);
  error.details = [{ desc: ErrorInfoSchema, value: { reason, domain: "page" } }];
  return error;
}

export const gone = () => refusal("CONVERSATION_NOT_FOUND", "This browser has no such conversation.", Code.NotFound);
export const changed = () =>
  refusal("CONVERSATION_CHANGED", "Another window has added a turn to this conversation.", Code.Aborted);

/** Whether no connection to the server was made, or it broke: there is no answer of the server. */
export function isUnreachable(thrown: unknown): boolean {
  const error = ConnectError.from(thrown);
  const silent = error.findDetails(ErrorInfoSchema).length === 0;
  return silent && (error.cause instanceof TypeError || error.code === Code.Unavailable);
}

/** The messages of turns, for a request. A turn without any content cannot be sent back: Bedrock takes no empty message. */
export function messagesOf(turns: Turn[]): Message[] {
  const whole = turns.filter(({ messages }) => messages.every(({ content }) => content.length > 0));
  return whole.flatMap(({ messages }) => messages);
}

/** Turns with one question and its answer each. The first turn of a branch holds all that it began with. */
export function exchangesOf(turns: Turn[]): Turn[] {
  return turns.flatMap((turn) => {
    const groups: Message[][] = [];
    for (const message of turn.messages) {
      const group = groups.at(-1);
      const asks = message.role === Role.USER && group?.at(-1)?.role !== Role.USER;
      if (group && !asks) group.push(message);
      else groups.push([message]);
    }
    if (groups.length < 2) return [turn];
    return groups.map((messages, index) =>
      index === groups.length - 1 ? { ...turn, messages } : create(TurnSchema, { messages, turnId: turn.turnId }),
    );
  });
}

/** What the caller said in a turn. */
export function promptOf(turn: Turn): string {
  const said = questionOf(turn).flatMap(({ content }) => content);
  return said.flatMap(({ block }) => (block.case === "text" ? [block.value] : [])).join("\n\n");
}

/** What the caller said, for a request that says it again. */
export function questionOf(turn: Turn): Message[] {
  return turn.messages.filter(({ role }) => role === Role.USER);
}

/** What the caller says: text after what is attached to it, and before a cache point. */
export function question(text: string, more: ContentBlock[] = []): Message {
  const points = more.filter(({ block }) => block.case === "cachePoint");
  const attached = more.filter((block) => !points.includes(block));
  const said = text ? [create(ContentBlockSchema, { block: { case: "text", value: text } })] : [];
  return create(MessageSchema, { role: Role.USER, content: [...attached, ...said, ...points] });
}

/** What was sent with a prompt: attachments, results of tools, a cache point. */
export function attachedOf(messages: Message[]): ContentBlock[] {
  return messages.flatMap(({ content }) => content).filter(({ block }) => block.case !== "text");
}

export function newId(): string {
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(12)));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
