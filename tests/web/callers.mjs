// Callers with API keys, and the configuration file that has them.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The characters of the id of a key. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

/** A new API key, and the line that the configuration has of it. */
export function newKey(more = "") {
  const id = Array.from(randomBytes(12), (byte) => ALPHABET[byte % ALPHABET.length]).join("");
  const text = `oc_${id}_${randomBytes(32).toString("base64url")}`;
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { text, line: `{ id = "${id}", sha256 = "${sha256}"${more} }` };
}

/** A `[[caller]]` with these keys; `more` has further lines. */
export function caller(name, keys, more = "") {
  return `[[caller]]\nname = "${name}"\nkeys = [${keys.map(({ line }) => line).join(", ")}]\n${more}\n`;
}

/** A configuration file with these callers. */
export function configFile(...callers) {
  const path = join(mkdtempSync(join(tmpdir(), "outcrop-callers-")), "outcrop.toml");
  change(path, ...callers);
  return path;
}

/** Replaces the callers of a file. A running server takes them over. */
export const change = (path, ...callers) => writeFileSync(path, callers.join("\n"));

/** For `open`, of a page that asks for a key. */
export const signInShown = { until: () => document.getElementById("sign-in").open };

/** Waits for the form, and signs in. */
export async function signIn(page, key) {
  await page.waitForSelector("#sign-in[open]");
  await page.fill("#credential", key);
  await page.keyboard.press("Enter");
}

/** What the form says of a key that it refuses. */
export async function refusedWith(page, key) {
  await signIn(page, key);
  await page.waitForFunction(() => document.getElementById("sign-in-problem").textContent !== "");
  return page.textContent("#sign-in-problem");
}

/** Signs in, and waits until the page is ready. */
export async function signedIn(page, key) {
  await signIn(page, key);
  await page.waitForSelector("#sign-in:not([open])", { state: "attached" });
  await page.waitForFunction(() => document.getElementById("place").textContent !== "");
}

/** Signs out, and waits for the form of the page that is loaded anew. */
export async function signOut(page) {
  await page.click("#sign-out");
  await page.waitForSelector("#sign-in[open]");
}

/** Runs in the page: everything that it stores, shows and remembers, as one text. */
export async function everythingOf(page) {
  return page.evaluate(async () => {
    const databases = [];
    for (const { name } of await indexedDB.databases()) {
      const opened = await new Promise((resolve, reject) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      for (const store of opened.objectStoreNames) {
        const request = opened.transaction(store).objectStore(store).getAll();
        await new Promise((resolve) => {
          request.onsuccess = resolve;
        });
        const text = JSON.stringify(request.result, (_, value) =>
          value instanceof Uint8Array ? new TextDecoder().decode(value) : value,
        );
        databases.push(`${name}/${store}: ${text}`);
      }
      opened.close();
    }
    const caches = await window.caches.keys();
    return JSON.stringify({
      databases,
      caches,
      local: { ...localStorage },
      session: { ...sessionStorage },
      cookie: document.cookie,
      address: location.href,
      history: history.state,
      loaded: performance.getEntries().map(({ name }) => name),
      fields: [...document.querySelectorAll("input, textarea")].map(({ value }) => value),
      document: document.documentElement.outerHTML,
    });
  });
}
