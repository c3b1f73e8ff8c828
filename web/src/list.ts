// The list of conversations as the rail shows it: with the titles that their reader gave them, and narrowed by a search.
import { type About, aboutAll, forgetAbout } from "./about.js";
import { partsOf, textOf } from "./answer.js";
import { promptOf, type Summary } from "./conversations.js";
import { Role } from "./generated/outcrop/v1/content_pb.js";
import type { Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { openStore } from "./store.js";

/** How many conversations are listed at first, how many more at each request, and how many a search looks through. */
const STEP = 100;
const SEARCHED = 1000;
/** How much of a text that was found is shown around it, in characters. */
const AROUND = 30;

export type Entry = Summary & {
  branch: boolean;
  /** Where the text that was searched for stands. */
  found?: string;
};

let limit = STEP;

export const list = {
  more(): void {
    limit += STEP;
  },
  /** The conversations that have all words of `query`, those used last first. */
  async entries(query: string): Promise<{ entries: Entry[]; more: boolean }> {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const store = await openStore();
    const wanted = words.length > 0 ? SEARCHED : limit;
    const [summaries, about] = await Promise.all([store.list(wanted), aboutAll()]);
    const all = summaries.map((summary) => entryOf(summary, about.get(summary.id)));
    if (words.length === 0) return { entries: all, more: all.length >= limit };
    const texts = await store.texts();
    const found = all.flatMap((entry) => {
      const text = `${entry.title}\n${plain(texts.get(entry.id) ?? [])}`;
      const low = text.toLowerCase();
      if (!words.every((word) => low.includes(word))) return [];
      const at = low.indexOf(words[0] ?? "", entry.title.length);
      return [at < 0 ? entry : { ...entry, found: around(text, at) }];
    });
    return { entries: found, more: false };
  },
  /** The branches that depart from a conversation, by how many of its exchanges they begin with. */
  async branchesOf(id: string): Promise<Map<number, Summary[]>> {
    const origins = [...(await aboutAll())].filter(([, { origin }]) => origin?.id === id);
    const branches = new Map<number, Summary[]>();
    if (origins.length === 0) return branches;
    const { entries } = await list.entries("");
    for (const [branch, { origin }] of origins) {
      const entry = entries.find((each) => each.id === branch);
      const count = origin?.count ?? 0;
      if (entry) branches.set(count, [...(branches.get(count) ?? []), entry]);
    }
    return branches;
  },
  async remove(id: string): Promise<void> {
    await (await openStore()).remove(id);
    await forgetAbout(id);
  },
};

function entryOf(summary: Summary, about: About | undefined): Entry {
  return { ...summary, title: about?.title || summary.title, branch: !!about?.origin };
}

function plain(turns: Turn[]): string {
  const said = turns.map((turn) => {
    const answers = turn.messages.filter(({ role }) => role !== Role.USER).flatMap(({ content }) => content);
    return `${promptOf(turn)}\n${textOf(partsOf(answers))}`;
  });
  return said.join("\n");
}

function around(text: string, at: number): string {
  const piece = text.slice(Math.max(0, at - AROUND), at + 2 * AROUND).replace(/\s+/g, " ");
  return `${at > AROUND ? "…" : ""}${piece.trim()}…`;
}
