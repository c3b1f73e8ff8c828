// What the browser stores of one caller, by key. If the browser refuses storage, has no more room, or does not answer, this page keeps it
// in memory and says so.
import { del, get, promisifyRequest, type UseStore, update } from "idb-keyval";

/** How long the browser's database can hold up an action. */
const TIMEOUT_MS = 3000;

export class Shelf {
  private readonly memory = new Map<string, unknown>();
  private readonly removed = new Set<string>();
  /** Whether the database did not answer: it is not asked again. */
  private hangs = false;
  /** Why new values are only in memory. Empty: they are stored. */
  problem = "";

  constructor(private readonly store: UseStore) {}

  async get<T>(key: string): Promise<T | undefined> {
    if (this.removed.has(key)) return undefined;
    if (this.memory.has(key)) return this.memory.get(key) as T;
    return this.tried(() => get<T>(key, this.store), undefined);
  }

  /** The values whose keys begin with `prefix`, by the rest of their keys. */
  async all<T>(prefix: string): Promise<[string, T][]> {
    const stored = await this.tried(() => entries<T>(this.store, prefix), []);
    const found = new Map([...stored, ...(this.memory as Map<string, T>)]);
    for (const key of this.removed) found.delete(key);
    const matching = [...found].filter(([key]) => key.startsWith(prefix));
    return matching.map(([key, value]) => [key.slice(prefix.length), value]);
  }

  /** Replaces a value by what `change` makes of it, in one transaction. What `change` throws is thrown, and nothing is changed. */
  async put<T>(key: string, change: (old: T | undefined) => T): Promise<void> {
    let refused: { error: unknown } | undefined;
    const guarded = (old: T | undefined) => {
      try {
        return change(old);
      } catch (error) {
        refused = { error };
        throw error;
      }
    };
    if (!this.memory.has(key) && !this.removed.has(key)) {
      const stored = await this.tried(async () => {
        await update<T>(key, guarded, this.store);
        return true;
      }, false);
      if (refused) throw refused.error;
      if (stored) {
        this.problem = "";
        return;
      }
    }
    const old = await this.get<T>(key);
    this.memory.set(key, change(old));
    this.removed.delete(key);
  }

  async remove(key: string): Promise<void> {
    this.memory.delete(key);
    const gone = await this.tried(async () => {
      await del(key, this.store);
      return true;
    }, false);
    if (!gone) this.removed.add(key);
  }

  /** The result of a request to the database, or `otherwise` if it fails or does not end. */
  private async tried<T>(request: () => Promise<T>, otherwise: T): Promise<T> {
    if (this.hangs) return otherwise;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.hangs = true;
        reject(new Error("The browser's database does not answer."));
      }, TIMEOUT_MS);
    });
    try {
      return await Promise.race([request(), late]);
    } catch (error) {
      this.problem = problemOf(error);
      return otherwise;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The entries of one kind, without reading those of the others. */
function entries<T>(store: UseStore, prefix: string): Promise<[string, T][]> {
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  return store("readonly", async (all) => {
    const [keys, values] = await Promise.all([
      promisifyRequest(all.getAllKeys(range) as IDBRequest<string[]>),
      promisifyRequest(all.getAll(range) as IDBRequest<T[]>),
    ]);
    return keys.map((key, index): [string, T] => [key, values[index] as T]);
  });
}

function problemOf(error: unknown): string {
  return error instanceof DOMException && error.name === "QuotaExceededError"
    ? "The browser has no more room: new turns are kept until this page is closed. Delete conversations to make room."
    : "The browser refuses to store conversations: they are kept until this page is closed.";
}
