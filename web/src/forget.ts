// What the browser stores, by caller, and how it is removed.
import { clear, createStore, type UseStore } from "idb-keyval";
import { forgetForOffline } from "./install.js";
import type { Session } from "./session.js";

/** The beginning of the names of this page's databases. */
const PREFIX = "outcrop";
/** The one store of each database. */
const STORE = "conversations";
/** How long a database that does not answer can hold up a sign-in or a sign-out. */
const TIMEOUT_MS = 3000;

/** The database of a caller. Without callers it is that of all who use this browser. */
export function databaseOf({ caller, subject }: Session): string {
  return [PREFIX, caller, subject].filter((part) => !!part).join("/");
}

/** Whether nothing is stored: a caller is signing out. */
let closed = false;

/** Between the removal of what is stored and the end of the page, an answer may arrive that would be stored. */
export function closeStores(): void {
  closed = true;
}

/** The caller is signed in all the same. */
export function openStores(): void {
  closed = false;
}

export function storeOf(session: Session): UseStore {
  const store = createStore(databaseOf(session), STORE);
  return (mode, work) =>
    store(mode, (all) => {
      if (closed) throw new Error("The caller signs out.");
      return work(all);
    });
}

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
    await forgetForOffline();
  } catch {
    // The browser forbids storage, so there is nothing in it.
  }
  for (const form of document.forms) form.reset();
}

function forget(which: (name: string) => boolean): Promise<void> {
  return Promise.race([clearDatabases(which), new Promise<void>((resolve) => setTimeout(resolve, TIMEOUT_MS))]);
}

async function clearDatabases(which: (name: string) => boolean): Promise<void> {
  try {
    for (const { name } of await indexedDB.databases()) {
      // Only its content: a database that a window has open cannot be deleted, and opening it again would wait for that.
      if (name && isOurs(name) && which(name)) await clear(createStore(name, STORE));
    }
  } catch {
    // The browser forbids storage, or does not list its databases.
  }
}

const isOurs = (name: string) => name === PREFIX || name.startsWith(`${PREFIX}/`);
