// The form for a key. It covers the page until a caller is signed in, so that the next person does not see what was there.
import { byId } from "./dom.js";
import type { Refusal, Session } from "./session.js";

const dialog = byId<HTMLDialogElement>("sign-in");
const form = byId<HTMLFormElement>("sign-in-form");
const credential = byId<HTMLInputElement>("credential");
const complaint = byId("sign-in-problem");
const submit = byId<HTMLButtonElement>("sign-in-go");

/** What to tell of each reason. */
const WORDS: Record<string, string> = {
  CREDENTIALS_INVALID: "This key is not valid here. Check that you copied all of it.",
  CREDENTIALS_EXPIRED: "This key has expired. Use a newer one, or ask the operator for one.",
  CREDENTIALS_REVOKED: "The operator has revoked this key. Ask for another one.",
  AUTHENTICATION_THROTTLED: "There were too many attempts from this address.",
  IDENTITY_PROVIDER: "The server cannot check tokens at the moment. Try again shortly.",
  SESSION_ENDED: "You were signed out. Sign in to go on where you were.",
  COOKIE_BLOCKED: "The browser did not keep the cookie. Allow cookies for this page, then try again.",
};

/** The form while it is shown. */
export type SignIn = {
  done: Promise<Session>;
  /** Ends it with a session that another window has begun. */
  finish(session: Session): void;
};

/** Shows the form until an attempt succeeds. An attempt gives the session, or why there is none. */
export function signInForm(
  why: Refusal | undefined,
  attempt: (credential: string) => Promise<Session | Refusal>,
): SignIn {
  const end = new AbortController();
  let finish: SignIn["finish"] = () => {};
  const done = new Promise<Session>((resolve) => {
    finish = (session) => {
      end.abort();
      credential.value = "";
      dialog.close();
      resolve(session);
    };
  });
  const submitted = async (event: SubmitEvent) => {
    event.preventDefault();
    const session = await tried(attempt);
    if (session) finish(session);
  };
  form.addEventListener("submit", submitted, { signal: end.signal });
  // Some browsers close a dialog all the same when Esc is pressed twice.
  dialog.addEventListener("cancel", (event) => event.preventDefault(), { signal: end.signal });
  dialog.addEventListener("close", () => dialog.showModal(), { signal: end.signal });
  complain(why ? wordsOf(why) : "");
  dialog.showModal();
  return { done, finish };
}

/** One attempt with what the form has. */
async function tried(attempt: (credential: string) => Promise<Session | Refusal>): Promise<Session | undefined> {
  if (submit.disabled) return undefined;
  const text = credential.value.trim();
  if (!text) {
    complain("Paste a key first.");
    credential.focus();
    return undefined;
  }
  // From here on the request alone has it.
  credential.value = "";
  submit.disabled = true;
  complain("");
  const result = await attempt(text);
  submit.disabled = false;
  if (!("reason" in result)) return result;
  complain(wordsOf(result));
  credential.focus();
  return undefined;
}

function wordsOf({ reason, message, retryAfterSeconds }: Refusal): string {
  const wait = retryAfterSeconds ? ` Try again in ${retryAfterSeconds} s.` : "";
  return (WORDS[reason] ?? `${message.charAt(0).toUpperCase()}${message.slice(1)}`) + wait;
}

function complain(text: string): void {
  complaint.textContent = text;
  if (text) credential.setAttribute("aria-invalid", "true");
  else credential.removeAttribute("aria-invalid");
}
