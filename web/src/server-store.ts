// Conversations that the server stores. The browser has copies of those that it has shown, to be read without a connection.
import { toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { client } from "./api.js";
import {
  isUnreachable,
  type Kept,
  messagesOf,
  type Opened,
  promptOf,
  type Store,
  type Summary,
  systemBlocks,
  systemText,
  turnsOf,
} from "./conversations.js";
import { type Turn, TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";
import type { Shelf } from "./shelf.js";

const COPY = "seen/";
const LIST = "seen-list/";
/** How many conversations are copied. */
const MAX_COPIES = 100;
const PAGE_SIZE = 100;

export function serverStore(shelf: Shelf): Store {
  let away = false;
  /** What the server says, or what it said last if it cannot be reached. */
  const orCopy = async <T>(ask: () => Promise<T>, copy: () => Promise<T | undefined>): Promise<T> => {
    try {
      const told = await ask();
      away = false;
      return told;
    } catch (error) {
      away = isUnreachable(error);
      const kept = away ? await copy() : undefined;
      if (kept === undefined) throw error;
      return kept;
    }
  };
  return {
    get place() {
      return away ? "As last seen, without a connection" : "Kept on the server";
    },
    list: (limit) =>
      orCopy(
        async () => {
          const { summaries, whole } = await listed(limit);
          await shelf.put(LIST, () => summaries);
          await prune(shelf, whole ? summaries : undefined);
          return summaries;
        },
        () => shelf.get<Summary[]>(LIST),
      ),
    open: (id) =>
      orCopy(
        async () => {
          const { opened, kept } = await read(id);
          await shelf.put<Kept>(COPY + id, () => kept);
          return opened;
        },
        async () => {
          const kept = await shelf.get<Kept>(COPY + id);
          if (!kept) return undefined;
          const { title, model, system, revision = 0, copied = 0 } = kept;
          return { title, model, system, turns: turnsOf(kept), revision, copied };
        },
      ),
    async create(model, system) {
      const { conversation } = await client.createConversation({ model, system: systemBlocks(system) });
      const id = conversation?.conversationId ?? "";
      const now = Date.now();
      await shelf.put<Kept>(COPY + id, () => ({ title: "", updated: now, model, system, turns: [], copied: now }));
      return id;
    },
    async remove(conversationId) {
      await client.deleteConversation({ conversationId });
      await shelf.remove(COPY + conversationId);
    },
    async removeEmpty(conversationId) {
      const { conversation } = await client.getConversation({ conversationId, pageSize: 1 });
      if (conversation?.turnCount !== 0) return false;
      await client.deleteConversation({ conversationId });
      await shelf.remove(COPY + conversationId);
      return true;
    },
    // The server does it.
    hold: async () => () => {},
    before: async (conversationId, conversationRevision, base) => ({
      conversationId,
      conversationRevision,
      messages: conversationRevision === 0 ? messagesOf(base) : [],
    }),
    // The server has stored it; this is the copy.
    async keep(id, { turn, revision, base, told = revision + 1 }) {
      const copied = await shelf.get<Kept>(COPY + id);
      if (!copied) return told;
      const added = [...(revision === 0 ? base : []), turn];
      const turns = [...copied.turns, ...added.map((each) => toBinary(TurnSchema, each))];
      const title = copied.title || promptOf(added[0] ?? turn).slice(0, 120);
      await shelf.put<Kept>(COPY + id, () => ({ ...copied, title, turns, revision: told, copied: Date.now() }));
      return told;
    },
    async texts() {
      return new Map((await shelf.all<Kept>(COPY)).map(([id, kept]) => [id, turnsOf(kept)]));
    },
  };
}

async function listed(limit: number): Promise<{ summaries: Summary[]; whole: boolean }> {
  const summaries: Summary[] = [];
  let pageToken = "";
  do {
    const page = await client.listConversations({ pageSize: Math.min(PAGE_SIZE, limit), pageToken });
    for (const { conversationId, title, updateTime } of page.conversations) {
      summaries.push({ id: conversationId, title, updated: updateTime ? timestampMs(updateTime) : 0 });
    }
    pageToken = page.nextPageToken;
  } while (pageToken && summaries.length < limit);
  return { summaries, whole: !pageToken };
}

async function read(conversationId: string): Promise<{ opened: Opened; kept: Kept }> {
  const turns: Turn[] = [];
  let page = await client.getConversation({ conversationId });
  const { title = "", model = "", revision = 0, system: blocks = [], updateTime } = page.conversation ?? {};
  turns.push(...page.turns);
  while (page.nextPageToken) {
    page = await client.getConversation({ conversationId, pageToken: page.nextPageToken });
    turns.push(...page.turns);
  }
  const system = systemText(blocks);
  const bytes = turns.map((turn) => toBinary(TurnSchema, turn));
  const updated = updateTime ? timestampMs(updateTime) : 0;
  const kept: Kept = { title, model, system, revision, updated, turns: bytes, copied: Date.now() };
  return { opened: { title, model, system, turns, revision }, kept };
}

/** Removes the copies of conversations that the server no longer has, if it has told all of them, and the oldest ones. */
async function prune(shelf: Shelf, known: Summary[] | undefined): Promise<void> {
  const copies = (await shelf.all<Kept>(COPY)).sort(([, left], [, right]) => (right.copied ?? 0) - (left.copied ?? 0));
  const ids = known && new Set(known.map(({ id }) => id));
  const old = copies.filter(
    ([id, { turns }], index) => index >= MAX_COPIES || (turns.length > 0 && ids && !ids.has(id)),
  );
  for (const [id] of old) await shelf.remove(COPY + id);
}
