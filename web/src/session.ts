// The requests about the sign-in. The credential goes to the server once, and comes back in a cookie that no script can read.

/** Why a sign-in failed, or ended. */
export type Refusal = { reason: string; message: string; retryAfterSeconds?: number | null };

/** As whom the page is signed in. */
export type Session = {
  /** Whether the server serves only known callers. */
  required: boolean;
  caller?: string | null;
  /** The subject, for a token: one of many of a caller. */
  subject?: string | null;
  /** Whether a cookie is what the browser presents, and not a certificate, or a header of a proxy. */
  byCookie?: boolean;
  problem?: Refusal | null;
};

const address = new URL("session", document.baseURI).href;

function ask(method: string, more: RequestInit = {}): Promise<Response> {
  return fetch(address, { method, credentials: "same-origin", cache: "no-store", redirect: "error", ...more });
}

/** As whom the page is signed in; undefined if the server does not tell. */
export async function readSession(): Promise<Session | undefined> {
  try {
    const answer = await ask("GET");
    return answer.ok ? ((await answer.json()) as Session) : undefined;
  } catch {
    return undefined;
  }
}

/** Signs in. Answers why it failed, if it failed. */
export async function beginSession(credential: string): Promise<Refusal | undefined> {
  try {
    const headers = { "content-type": "application/json" };
    const answer = await ask("POST", { headers, body: JSON.stringify({ credential }) });
    return answer.ok ? undefined : await refusalOf(answer);
  } catch {
    return { reason: "UNREACHABLE", message: "The server cannot be reached. Try again in a moment." };
  }
}

/** Signs out. Answers whether the cookie is removed. */
export async function endSession(): Promise<boolean> {
  try {
    return (await ask("DELETE")).ok;
  } catch {
    return false;
  }
}

async function refusalOf(answer: Response): Promise<Refusal> {
  try {
    return (await answer.json()) as Refusal;
  } catch {
    return { reason: "UNKNOWN", message: `The server, or a proxy before it, answered with ${answer.status}.` };
  }
}
