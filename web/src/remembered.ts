// What the page has to know without a connection: as whom it was signed in last, and where the conversations are.
import type { Session } from "./session.js";

export type Place = "server" | "browser";
type Remembered = { session?: Session; place?: Place };

const KEY = "outcrop-last";

export function recall(): Remembered | undefined {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Remembered;
  } catch {
    return undefined;
  }
}

export function remember(more: Remembered): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...recall(), ...more }));
  } catch {
    // The browser forbids storage: without a connection the page cannot show anything.
  }
}

/** After a session has ended, nothing can be read without a connection. */
export function forgetSession(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // The browser forbids storage, so there is nothing in it.
  }
}
