// What the page reads of a conversation before it shows it.
import { aboutAll } from "./about.js";
import { exchangesOf, type Opened, type Summary } from "./conversations.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { list } from "./list.js";
import { openStore } from "./store.js";
import type { Origin } from "./unsent.js";

export type Reading = Omit<Opened, "turns"> & {
  /** With one question and its answer each. Those of a branch without own turns are what it begins with. */
  exchanges: Turn[];
  /** Whether the exchanges are of the conversation from which the branch comes. */
  begun: boolean;
  origin: Origin | undefined;
  originTitle: string;
  /** The branches that depart from here, by how many exchanges they begin with. */
  branches: Map<number, Summary[]>;
};

export async function read(id: string): Promise<Reading> {
  const { turns, title, ...opened } = await (await openStore()).open(id);
  const about = await aboutAll();
  const branches = await list.branchesOf(id);
  const { title: named, origin } = about.get(id) ?? {};
  const own = exchangesOf(turns);
  // A branch whose first turn did not end begins again with what it began with.
  const before = own.length === 0 && origin ? await beginning(origin) : [];
  return {
    ...opened,
    title: named || title,
    exchanges: [...before, ...own],
    begun: before.length > 0,
    origin,
    originTitle: (origin && about.get(origin.id)?.title) || "",
    branches,
  };
}

/** The exchanges with which a branch begins. */
export async function beginning({ id, count }: Origin): Promise<Turn[]> {
  const origin = await (await openStore()).open(id);
  return exchangesOf(origin.turns).slice(0, count);
}
