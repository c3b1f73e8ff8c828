// What went wrong -> what to tell: the reason, the message, and what to do about it.
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";
import type { Refusal } from "./session.js";

export type Problem = {
  title: string;
  reason: string;
  message: string;
  advice: string;
  /** What is wrong where: violations of the request, limits that were met. */
  list: string[];
  facts: string;
};

/** A title and an advice for each reason that a reader can do something about. */
const REASONS: Record<string, [title: string, advice: string]> = {
  INVALID_REQUEST: ["The request breaks a rule", "Change what is listed and send it again."],
  MALFORMED_REQUEST: [
    "The server cannot read the request",
    "The page and the server may be of different versions: reload the page.",
  ],
  MESSAGE_TOO_LARGE: ["The request is too large", "Send less, or begin a new conversation."],
  UNKNOWN_METHOD: [
    "The server does not know this call",
    "The page and the server may be of different versions: reload the page.",
  ],
  PERMISSION_DENIED: [
    "Your key does not allow this",
    "Its message says what is not allowed. The operator of the server can change it.",
  ],
  CREDENTIALS_MISSING: ["You are not signed in", "Sign in, then try again."],
  CREDENTIALS_INVALID: ["Your key is not valid here", "Sign in with another one, then try again."],
  CREDENTIALS_EXPIRED: ["Your key has expired", "Sign in with a newer one, then try again."],
  CREDENTIALS_REVOKED: ["The operator has revoked your key", "Sign in with another one, then try again."],
  AUTHENTICATION_THROTTLED: ["Too many sign-ins have failed", "Wait a little and try again."],
  IDENTITY_PROVIDER: ["The server cannot check your token", "Its issuer does not answer. Try again in a moment."],
  BEDROCK_VALIDATION: [
    "Bedrock refused the request",
    "Its message says what to change; often a parameter does not go with the model.",
  ],
  BEDROCK_ACCESS_DENIED: [
    "The account may not use this model",
    "Choose another model, or ask for access to it in the AWS account.",
  ],
  UPSTREAM_CREDENTIALS: ["The server has no valid AWS credentials", "Its operator must renew them."],
  BEDROCK_MODEL_NOT_FOUND: ["There is no such model here", "Check the model's name and the region."],
  BEDROCK_THROTTLED: ["Bedrock's quota is used up", "Wait a little and try again."],
  BEDROCK_UNAVAILABLE: ["Bedrock cannot serve for now", "Try again in a moment."],
  BEDROCK_MODEL_NOT_READY: ["The model is being loaded", "Try again in a few seconds."],
  BEDROCK_INTERNAL: ["Bedrock failed", "Try again in a moment."],
  UPSTREAM_UNREACHABLE: [
    "The server cannot reach Bedrock",
    "Try again; if it stays so, its operator must look at the network.",
  ],
  UPSTREAM_TRUNCATED: ["The answer broke off", "Bedrock's stream ended too soon. Try again."],
  UPSTREAM_CORRUPT: ["The answer was damaged on its way", "Try again."],
  CONNECT_TIMEOUT: ["No connection to Bedrock in time", "Try again in a moment."],
  FIRST_CONTENT_TIMEOUT: ["Bedrock did not begin to answer in time", "Try again, or choose a faster model."],
  IDLE_TIMEOUT: ["Bedrock sent nothing for too long", "Try again."],
  TOTAL_TIMEOUT: ["The answer took too long", "Ask for less at once, or set fewer tokens as the maximum."],
  MODEL_TIMEOUT: ["The model took too long", "Try again, or ask for less at once."],
  MODEL_ERROR: ["The model failed", "Try again."],
  CALLER_DEADLINE: [
    "The time allowed for the call is over",
    "Something between this page and the server limits calls; ask for less at once.",
  ],
  CALLER_CANCELLED: ["The call was cancelled", "Send it again if that was not meant."],
  LOCAL_LIMIT: ["A limit of this server is reached", "Wait until another answer has ended, then try again."],
  DRAINING: ["The server is shutting down", "Another one, or this one later, will answer: try again in a moment."],
  CONVERSATION_NOT_FOUND: ["This conversation is gone", "It was deleted or has grown too old. Begin a new one."],
  CONVERSATION_BUSY: [
    "A turn of this conversation is still running",
    "Wait until it has ended, perhaps in another window.",
  ],
  CONVERSATION_CHANGED: [
    "This conversation was continued in another window",
    "It is shown as it is now. Ask again if your prompt still fits.",
  ],
  CONVERSATION_TURN_STORED: ["This turn is stored already", "The conversation has it."],
  CONVERSATION_LEASE_LOST: [
    "The turn was not stored",
    "The server lost the conversation for a moment. Send the prompt again.",
  ],
  CONVERSATION_OUTCOME_UNKNOWN: ["The turn may be stored", "Reload the conversation to see whether it is there."],
  UNREAD_TIMEOUT: ["This page did not read the answer", "Send the prompt again and keep the page open."],
  CONVERSATION_STORE: ["The server cannot reach its conversations", "Try again in a moment."],
  INTERNAL: ["The server has a defect", "Tell its operator, with the request id."],
  OFFLINE: ["This device is offline", "Connect it and try again."],
  UNREACHABLE: ["The server cannot be reached", "Is it running? Try again in a moment."],
  CONNECTION_LOST: ["The connection to the server was lost", "What has arrived is not the whole answer. Try again."],
};

/** How browsers say that a connection was not made, or broke: none of it says more than the title. */
const NO_CONNECTION = /^(?:failed to fetch|network ?error|load failed)/i;

/** Explains an error; `begun` is whether a part of the answer had arrived. */
export function explain(thrown: unknown, begun: boolean): Problem {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const reason = info?.reason || withoutReason(error, begun);
  const [title, advice] = REASONS[reason] ?? [
    "The call failed",
    "Try again; if it stays so, tell the server's operator.",
  ];
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const seconds = delay ? Number(delay.seconds) + delay.nanos / 1e9 : 0;
  const wait =
    seconds > 0 ? ` The server asks to wait ${seconds < 10 ? seconds.toFixed(1) : Math.ceil(seconds)} s.` : "";
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  const quotas = error.findDetails(QuotaFailureSchema).flatMap(({ violations: met }) => met);
  const id = error.findDetails(RequestInfoSchema)[0]?.requestId;
  const { exception, model_id, region, attempts } = info?.metadata ?? {};
  const tried = Number(attempts) > 1 ? `${attempts} attempts` : "";
  const ofBrowser = !info && NO_CONNECTION.test(error.rawMessage);
  return {
    title,
    reason,
    message: ofBrowser ? "" : error.rawMessage,
    advice: advice + wait,
    list: [
      ...violations.map(({ field, description }) => (field ? `${field} ${description}` : description)),
      ...quotas.map(({ subject, description }) => `${subject}: ${description}`),
    ],
    facts: [!ofBrowser && Code[error.code], exception, model_id, region, tried, id && `request ${id}`]
      .filter(Boolean)
      .join(" · "),
  };
}

/** An answer that ended without its end. */
export function broken(message: string): Problem {
  const [title, advice] = REASONS.CONNECTION_LOST ?? ["", ""];
  return { title, reason: "CONNECTION_LOST", message, advice, list: [], facts: "" };
}

/** Every status of the server has a reason; what has none did not come from it. */
function withoutReason(error: ConnectError, begun: boolean): string {
  if (begun) return "CONNECTION_LOST";
  if (!navigator.onLine) return "OFFLINE";
  return error.cause instanceof TypeError || error.code === Code.Unavailable
    ? "UNREACHABLE"
    : Code[error.code] || "UNKNOWN";
}

/** Why a call was refused, if the reason is that no caller is signed in. */
export function endedSession(thrown: unknown): Refusal | undefined {
  const error = ConnectError.from(thrown);
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  if (reason === "CREDENTIALS_MISSING") return { reason: "SESSION_ENDED", message: error.rawMessage };
  return /^CREDENTIALS_(INVALID|EXPIRED|REVOKED)$/.test(reason) ? { reason, message: error.rawMessage } : undefined;
}

export function isUnimplemented(thrown: unknown): boolean {
  return ConnectError.from(thrown).code === Code.Unimplemented;
}
