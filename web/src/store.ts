// Conversations: kept by the server where it keeps any, and else by this browser.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { del, entries, get, set, update } from "idb-keyval";
import { session } from "./account.js";
import { client } from "./api.js";
import { storeOf } from "./forget.js";
import { type Message, Role, SystemContentBlockSchema } from "./generated/outcrop/v1/content_pb.js";
import { type Turn, TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";
import { isUnimplemented } from "./problem.js";
import type { Session } from "./session.js";

export type Summary = { id: string; title: string; updated: number };
export type Opened = { model: string; system: string; turns: Turn[] };
type Before = { conversationId: string } | { messages: Message[] };

export interface Store {
  /** Where conversations are, in words. */
  readonly place: string;
  /** The conversation that was used last comes first. */
  list(): Promise<Summary[]>;
  open(id: string): Promise<Opened>;
  create(model: string, system: string): Promise<string>;
  remove(id: string): Promise<void>;
  /** What a request needs so that the model knows what was said before. */
  before(id: string): Promise<Before>;
  /** Keeps a turn that ended well. */
  keep(id: string, turn: Turn): Promise<void>;
}

let opened: Promise<Store> | undefined;

/** The server's store, or the browser's if the server has none. */
export function openStore(): Promise<Store> {
  opened ??= probe();
  return opened;
}

async function probe(): Promise<Store> {
  try {
    await client.listConversations({ pageSize: 1 });
    return serverStore;
  } catch (error) {
    if (isUnimplemented(error)) return browserStore(await session());
    // The next call says what is wrong, and the one after it looks again.
    opened = undefined;
    return serverStore;
  }
}

export const systemBlocks = (text: string) =>
  text.trim() ? [create(SystemContentBlockSchema, { block: { case: "text", value: text } })] : [];

const serverStore: Store = {
  place: "Kept on the server",
  async list() {
    const { conversations } = await client.listConversations({ pageSize: 100 });
    return conversations.map(({ conversationId, title, updateTime }) => ({
      id: conversationId,
      title,
      updated: updateTime ? timestampMs(updateTime) : 0,
    }));
  },
  async open(conversationId) {
    const turns: Turn[] = [];
    let page = await client.getConversation({ conversationId });
    const conversation = page.conversation;
    turns.push(...page.turns);
    while (page.nextPageToken) {
      page = await client.getConversation({ conversationId, pageToken: page.nextPageToken });
      turns.push(...page.turns);
    }
    const system = conversation?.system.map(({ block }) => (block.case === "text" ? block.value : "")) ?? [];
    return { model: conversation?.model ?? "", system: system.join("\n\n"), turns };
  },
  async create(model, system) {
    const { conversation } = await client.createConversation({ model, system: systemBlocks(system) });
    return conversation?.conversationId ?? "";
  },
  async remove(conversationId) {
    await client.deleteConversation({ conversationId });
  },
  before: async (conversationId) => ({ conversationId }),
  // The server has kept it.
  keep: async () => {},
};

/** What IndexedDB holds of a conversation. */
type Kept = { title: string; updated: number; model: string; system: string; turns: Uint8Array[] };

function browserStore(owner: Session): Store {
  const kept = storeOf(owner);
  const turnsOf = async (id: string) =>
    ((await get<Kept>(id, kept))?.turns ?? []).map((bytes) => fromBinary(TurnSchema, bytes));
  return {
    place: "Kept in this browser",
    async list() {
      const all = (await entries<string, Kept>(kept)).filter(([, { turns }]) => turns.length > 0);
      const summaries = all.map(([id, { title, updated }]) => ({ id, title, updated }));
      return summaries.sort((left, right) => right.updated - left.updated);
    },
    async open(id) {
      const found = await get<Kept>(id, kept);
      if (!found) throw new ConnectError("This browser has no such conversation.", Code.NotFound);
      return { model: found.model, system: found.system, turns: await turnsOf(id) };
    },
    async create(model, system) {
      const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
        byte.toString(16).padStart(2, "0"),
      ).join("");
      const fresh: Kept = { title: "", updated: Date.now(), model, system, turns: [] };
      await set(id, fresh, kept);
      return id;
    },
    remove: (id) => del(id, kept),
    async before(id) {
      // A turn without any text cannot be sent back: Bedrock takes no empty message.
      const whole = (await turnsOf(id)).filter(({ messages }) => messages.every(({ content }) => content.length > 0));
      return { messages: whole.flatMap(({ messages }) => messages) };
    },
    keep: (id, turn) =>
      update<Kept>(
        id,
        (found) => {
          const conversation = found ?? { title: "", updated: 0, model: "", system: "", turns: [] };
          const title = conversation.title || promptOf(turn).slice(0, 120);
          const turns = [...conversation.turns, toBinary(TurnSchema, turn)];
          return { ...conversation, title, turns, updated: Date.now() };
        },
        kept,
      ),
  };
}

/** What the caller said in a turn. */
export function promptOf(turn: Turn): string {
  const said = turn.messages.filter(({ role }) => role === Role.USER).flatMap(({ content }) => content);
  return said.map(({ block }) => (block.case === "text" ? block.value : `(${block.case})`)).join("\n\n");
}
