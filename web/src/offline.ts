// The service worker: it keeps the files of the page, so that the page opens without a connection. Calls and sign-ins never pass
// through it, so it holds nothing of any caller.

/** The files of the page, by name, with their hash; the build writes them here. The page itself has no name. */
declare const FILES: Record<string, string>;
/** Those of them that few answers need: they are kept when they are first used. */
declare const LAZY: string[];
/** Changes with every file. */
declare const VERSION: string;

/** The part of a service worker's world that this one uses. */
type Ending = Event & { waitUntil(work: Promise<unknown>): void };
type Fetching = Ending & { request: Request; respondWith(answer: Promise<Response>): void };
type World = {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Ending) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
};
const world = self as unknown as World;

const PREFIX = "outcrop-page-";
const CACHE = PREFIX + VERSION;
/** How a proxy says that the server is away. */
const AWAY = [502, 503, 504];

/** Takes all files of one version or none: while servers of two versions answer, a hash may be wrong, and the next visit tries again. */
async function install(): Promise<void> {
  const needed = Object.entries(FILES).filter(([name]) => !LAZY.includes(name));
  const files = await Promise.all(
    needed.map(async ([name, integrity]): Promise<[string, Response]> => {
      const address = new URL(name, world.registration.scope).href;
      const answer = await fetch(address, { integrity, cache: "no-cache", credentials: "same-origin" });
      if (!answer.ok) throw new Error(`${address} was answered with ${answer.status}`);
      return [address, answer];
    }),
  );
  const cache = await caches.open(CACHE);
  await Promise.all(files.map(([address, answer]) => cache.put(address, answer)));
  await world.skipWaiting();
}

async function activate(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await world.clients.claim();
}

/** The address of the file that is asked for; undefined for everything that is no file of the page. */
function fileOf({ method, url }: Request): string | undefined {
  const { origin, pathname } = new URL(url);
  const address = origin + pathname;
  const scope = world.registration.scope;
  const name = address.startsWith(scope) ? address.slice(scope.length) : undefined;
  return method === "GET" && name !== undefined && Object.hasOwn(FILES, name) ? address : undefined;
}

/** Keeps a file that is used for the first time, if it is of this version. */
async function keep(address: string, told: Response): Promise<void> {
  const name = address.slice(world.registration.scope.length);
  if (!told.ok || !LAZY.includes(name) || !(await caches.has(CACHE))) return;
  const bytes = await told.clone().arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const same = `sha256-${btoa(String.fromCharCode(...hash))}` === FILES[name];
  if (same) await (await caches.open(CACHE)).put(address, told);
}

/** The server's file, and what was kept of it only if the server cannot be reached. */
async function answer(event: Fetching, address: string): Promise<Response> {
  let failed = Response.error();
  try {
    const told = await fetch(event.request);
    if (!AWAY.includes(told.status)) {
      event.waitUntil(keep(address, told.clone()));
      return told;
    }
    failed = told;
  } catch {
    // There is no connection.
  }
  return (await caches.match(address, { cacheName: CACHE })) ?? failed;
}

world.addEventListener("install", (event) => event.waitUntil(install()));
world.addEventListener("activate", (event) => event.waitUntil(activate()));
world.addEventListener("fetch", (event) => {
  const address = fileOf(event.request);
  if (address) event.respondWith(answer(event, address));
});

export {};
