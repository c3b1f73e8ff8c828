// What the browser stores, by caller, and how it is removed.
import { clear, createStore } from "idb-keyval";
import type { Session } from "./session.js";

/** The beginning of the names of this page's databases. */
const PREFIX = "outcrop";
/** The one store of each database. */
const STORE = "conversations";

/** The database of a caller. Without callers it is that of all who use this browser. */
export function databaseOf({ caller, subject }: Session): string {
  return [PREFIX, caller, subject].filter((part) => !!part).join("/");
}

export const storeOf = (session: Session) => createStore(databaseOf(session), STORE);

/** Removes what other callers stored. */
export async function forgetOthers(session: Session): Promise<void> {
  const own = databaseOf(session);
  await forget((name) => name !== own);
}

/** Removes everything that this page stored. */
export async function forgetAll(): Promise<void> {
  await forget(() => true);
  try {
    localStorage.clear();
    sessionStorage.clear();
    for (const name of await caches.keys()) await caches.delete(name);
  } catch {
    // The browser forbids storage, so there is nothing in it.
  }
  for (const form of document.forms) form.reset();
}

async function forget(which: (name: string) => boolean): Promise<void> {
  try {
    for (const { name } of await indexedDB.databases()) {
      if (!name || !isOurs(name) || !which(name)) continue;
      // A database that another window has open cannot be deleted. Its content can.
      await clear(createStore(name, STORE));
      indexedDB.deleteDatabase(name);
    }
  } catch {
    // The browser forbids storage, or does not list its databases.
  }
}

const isOurs = (name: string) => name === PREFIX || name.startsWith(`${PREFIX}/`);
