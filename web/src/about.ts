// What only this browser knows of conversations: the titles that their reader gave them, and from which one a branch comes.
import { openShelf } from "./store.js";
import type { Origin } from "./unsent.js";

export type About = { title?: string; origin?: Origin };

const KEY = "about/";

export async function aboutAll(): Promise<Map<string, About>> {
  return new Map(await (await openShelf()).all<About>(KEY));
}

export async function note(id: string, about: About): Promise<void> {
  await (await openShelf()).put<About>(KEY + id, (old) => ({ ...old, ...about }));
}

export async function forgetAbout(id: string): Promise<void> {
  await (await openShelf()).remove(KEY + id);
}
