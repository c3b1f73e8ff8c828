// Starts the service worker, which lets the page open without a connection, and ends it with the session.
import { scriptAddress } from "./policy.js";

/** How long a service worker that is being installed can hold up a sign-out. */
const TIMEOUT_MS = 2000;

/** Keeps the files of the page when the browser has nothing better to do. Without TLS browsers offer this on loopback addresses alone. */
export function keepForOffline(): void {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return;
  const register = () =>
    void workers.register(scriptAddress("offline"), { updateViaCache: "none" }).catch(() => {
      // The browser forbids it, or the server is away: the page works all the same while it is connected.
    });
  const idle = () => ("requestIdleCallback" in window ? requestIdleCallback(register, { timeout: 5000 }) : register());
  if (document.readyState === "complete") idle();
  else addEventListener("load", idle, { once: true });
}

/** Ends the service worker, and removes what it kept. */
export async function forgetForOffline(): Promise<void> {
  try {
    const found = await navigator.serviceWorker.getRegistration();
    await found?.unregister();
    if (found?.installing) await installed(found.installing);
  } catch {
    // This browser has no service workers here.
  }
  for (const name of await caches.keys()) await caches.delete(name);
}

function installed(worker: ServiceWorker): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, TIMEOUT_MS);
    worker.addEventListener("statechange", () => resolve(), { once: true });
  });
}
