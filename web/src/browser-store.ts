// Conversations that this browser stores, because the server stores none.
import { toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  changed,
  gone,
  type Kept,
  messagesOf,
  newId,
  promptOf,
  refusal,
  type Store,
  turnsOf,
} from "./conversations.js";
import { TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";
import type { Shelf } from "./shelf.js";
import { holdTurn } from "./turn-lock.js";

/** The other keys of the shelf have a slash. */
const isConversation = (id: string) => !id.includes("/");

export function browserStore(shelf: Shelf): Store {
  const all = async () => (await shelf.all<Kept>("")).filter(([id]) => isConversation(id));
  return {
    get place() {
      return shelf.problem || "Kept in this browser";
    },
    async list(limit) {
      const some = (await all()).filter(([, { turns }]) => turns.length > 0);
      const summaries = some.map(([id, { title, updated }]) => ({ id, title, updated }));
      return summaries.sort((left, right) => right.updated - left.updated).slice(0, limit);
    },
    async open(id) {
      const found = isConversation(id) ? await shelf.get<Kept>(id) : undefined;
      if (!found) throw gone();
      const { title, model, system, turns } = found;
      return { title, model, system, turns: turnsOf(found), revision: turns.length };
    },
    async create(model, system) {
      const id = newId();
      await shelf.put<Kept>(id, () => ({ title: "", updated: Date.now(), model, system, turns: [] }));
      return id;
    },
    remove: (id) => shelf.remove(id),
    async removeEmpty(id) {
      const found = await shelf.get<Kept>(id);
      if (found && found.turns.length > 0) return false;
      await shelf.remove(id);
      return true;
    },
    hold: holdTurn,
    async before(id, revision, base) {
      const found = await shelf.get<Kept>(id);
      if (!found) throw gone();
      const turns = turnsOf(found);
      if (turns.length !== revision) throw changed();
      return { messages: messagesOf(turns.length > 0 ? turns : base) };
    },
    async keep(id, { turn, revision, base }) {
      let length = 0;
      await shelf.put<Kept>(id, (found) => {
        if (!found) throw gone();
        const last = turnsOf(found).at(-1);
        if (last?.turnId && last.turnId === turn.turnId) throw stored();
        if (found.turns.length !== revision) throw changed();
        const added = [...(revision === 0 ? base : []), turn];
        const title = found.title || promptOf(added[0] ?? turn).slice(0, 120);
        const turns = [...found.turns, ...added.map((each) => toBinary(TurnSchema, each))];
        length = turns.length;
        return { ...found, title, turns, updated: Date.now() };
      });
      return length;
    },
    texts: async () => new Map((await all()).map(([id, kept]) => [id, turnsOf(kept)])),
  };
}

const stored = () => refusal("CONVERSATION_TURN_STORED", "This turn is stored already.", Code.AlreadyExists);
