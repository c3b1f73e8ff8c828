// One turn at a time in a conversation that this browser stores, among all its windows. A lock ends with the window that holds it.
import { Code } from "@connectrpc/connect";
import { refusal } from "./conversations.js";

/** Takes the lock, or throws if another window has it. Answers how it is given back. */
export function holdTurn(id: string): Promise<() => void> {
  const locks = navigator.locks as LockManager | undefined;
  return new Promise((resolve, reject) => {
    const nothing = () => {};
    // Without TLS there are no locks; then the revision is compared when the turn is stored.
    if (!locks) return resolve(nothing);
    const begun = (lock: Lock | null) => {
      if (!lock) return reject(busy());
      return new Promise<void>((release) => resolve(release));
    };
    locks.request(`outcrop-turn/${id}`, { ifAvailable: true }, begun).catch(() => resolve(nothing));
  });
}

const busy = () => refusal("CONVERSATION_BUSY", "Another window is adding a turn to this conversation.", Code.Aborted);
