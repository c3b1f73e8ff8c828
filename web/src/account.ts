// As whom the page works. A page belongs to one caller until it is loaded again, in every window of the browser.
import { Code, ConnectError } from "@connectrpc/connect";
import { byId } from "./dom.js";
import { closeStores, databaseOf, forgetAll, forgetOthers, openStores } from "./forget.js";
import { forgetSession, recall, remember } from "./remembered.js";
import { beginSession, endSession, type Refusal, readSession, type Session } from "./session.js";
import { type SignIn, signInForm } from "./sign-in.js";
import { closeUnsent, openUnsent } from "./unsent.js";

/** What one window tells the others. */
type News = "signed in" | "signing out" | "signed out" | "still signed in";
const windows = new BroadcastChannel("outcrop-session");
const tellWindows = (news: News) => windows.postMessage(news);
let current: Session | undefined;
/** Whether the session is the one from before, because the server could not be asked. */
let unconfirmed = false;
let form: SignIn | undefined;
let signedIn: Promise<void> | undefined;

/** The session of this page. */
export async function session(): Promise<Session> {
  if (!current) await begin();
  if (!current) throw new ConnectError("The server does not tell as whom this page is signed in.", Code.Unavailable);
  return current;
}

/** Finds out as whom the page works, and asks for a key if it has to. */
export async function start(): Promise<void> {
  byId("sign-out").addEventListener("click", () => void signOut());
  windows.addEventListener("message", ({ data }: MessageEvent<News>) =>
    data === "signing out" ? closeStores() : void look(),
  );
  addEventListener("pageshow", ({ persisted }) => persisted && void look());
  addEventListener("online", () => void look());
  await begin();
}

async function begin(): Promise<void> {
  const found = await readSession();
  if (!found) {
    // If the server cannot be reached, the calls tell it, and what was stored for the last caller can be read.
    const last = recall()?.session;
    if (!last || current) return;
    unconfirmed = true;
    return adopt(last);
  }
  if (!found.required || found.caller) return adopt(found);
  forgetSession();
  const { problem, byCookie } = found;
  // Of a certificate, or what a proxy presents, the server's own words tell more.
  await signIn(problem && !byCookie ? { ...problem, reason: "" } : (problem ?? undefined));
}

/** Asks for a key, once for all calls that need it. The page goes on when the same caller is signed in, and begins again for another. */
export function signIn(why?: Refusal): Promise<void> {
  signedIn ??= askForKey(why).finally(() => {
    signedIn = undefined;
  });
  return signedIn;
}

async function askForKey(why?: Refusal): Promise<void> {
  form = signInForm(why, async (credential) => {
    const refused = await beginSession(credential);
    if (refused) return refused;
    const begun = await readSession();
    return begun?.caller ? begun : { reason: "COOKIE_BLOCKED", message: "" };
  });
  const found = await form.done;
  form = undefined;
  tellWindows("signed in");
  await adopt(found);
  if (document.activeElement === document.body) byId("prompt").focus({ preventScroll: true });
}

/** Takes a session as that of this page. */
async function adopt(found: Session): Promise<void> {
  if (current && databaseOf(current) !== databaseOf(found)) return beginAgain();
  if (!current) openUnsent(databaseOf(found));
  current = found;
  remember({ session: found });
  if (!found.required) return;
  await forgetOthers(found);
  byId("caller").textContent = found.subject ? `${found.subject} (${found.caller})` : (found.caller ?? "");
  byId("sign-out").hidden = !found.byCookie;
  byId("account").hidden = false;
}

/** Before a call: the caller that the page shows must be the one that the server knows, before anything of it is shown or stored. */
export async function confirm(): Promise<void> {
  if (unconfirmed) await look();
}

/** Another window has signed in or out, or the browser shows an old page again. */
async function look(): Promise<void> {
  const found = await readSession();
  if (!found) return;
  if (form && found.caller) return form.finish(found);
  const same = current && found.required === current.required && databaseOf(found) === databaseOf(current);
  if (!same) await beginAgain();
  openStores();
  unconfirmed = false;
}

async function signOut(): Promise<void> {
  closeStores();
  tellWindows("signing out");
  // Before the answer of the server, which lets the browser remove its databases.
  await forgetAll();
  if (!(await endSession())) {
    openStores();
    tellWindows("still signed in");
    byId("account-problem").textContent = "You are still signed in: the server cannot be reached. Try again.";
    return;
  }
  tellWindows("signed out");
  await beginAgain();
}

/** Loads the page anew, so that nothing of the session before is left in it. It does not return. */
function beginAgain(): Promise<never> {
  closeUnsent();
  location.replace(new URL(".", document.baseURI));
  return new Promise(() => {});
}
