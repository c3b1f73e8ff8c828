// One turn from the click to its end.
import { create } from "@bufbuild/protobuf";
import { signIn } from "./account.js";
import { Answer } from "./answer.js";
import { client } from "./api.js";
import { composer } from "./composer.js";
import { facts, progress } from "./facts.js";
import type { Chunk } from "./generated/outcrop/v1/chunk_pb.js";
import { type Message, MessageSchema, Role } from "./generated/outcrop/v1/content_pb.js";
import { type Turn, TurnSchema } from "./generated/outcrop/v1/conversation_pb.js";
import type { GenerateRequest } from "./generated/outcrop/v1/generation_pb.js";
import { blocksOf, sendable } from "./history.js";
import { broken, endedSession, explain, type Problem } from "./problem.js";
import { openStore } from "./store.js";
import { Trace } from "./trace.js";
import type { TurnView } from "./turn.js";
import { unsent } from "./unsent.js";

/** What is asked, and where. */
export type Asked = {
  /** What the caller says. */
  messages: Message[];
  turnId: string;
  /** The revision of the conversation that is shown. */
  revision: number;
  /** What a branch begins with, until it has a turn of its own. */
  base: Turn[];
  /** The id of the conversation, which is created if there is none. */
  conversation(signal: AbortSignal): Promise<string>;
};
export type Outcome =
  | { kind: "whole"; answer: Answer; turn: Turn; revision: number }
  /** An answer to a native body, which is no part of the conversation. */
  | { kind: "apart"; answer: Answer }
  | { kind: "stopped" }
  | { kind: "failed"; problem: Problem };

/** Asks, shows the answer as it grows, and keeps it if it is whole. */
export async function run(asked: Asked, view: TurnView, signal: AbortSignal): Promise<Outcome> {
  const answer = new Answer(performance.now());
  const request = composer.request();
  const apart = request.nativeBody !== "";
  const timer = setInterval(() => {
    view.tell(progress(answer));
    show();
  }, 250);
  let pending = false;
  const show = () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      view.show(answer.parts, false);
    });
  };
  try {
    const store = await openStore();
    const id = apart ? "" : await asked.conversation(signal);
    if (!apart) {
      const before = await store.before(id, asked.revision, asked.base);
      const messages = sendable([...before.messages, ...asked.messages]);
      Object.assign(request, before, { messages, turnId: asked.turnId });
    }
    const trace = new Trace(request);
    view.inspectable(trace);
    for await (const chunk of chunksOf(request, signal)) {
      trace.take(chunk);
      answer.take(chunk, performance.now());
      unsent.grow(answer.parts);
      view.waiting(answer.parts.length === 0);
      show();
    }
    if (!answer.finish) return failed(broken("The stream ended without its last chunk."));
    if (answer.gap) return failed(broken("A chunk was lost on the way."));
    if (apart) return { kind: "apart", answer };
    const turn = turnOf(asked, answer);
    const { revision, base } = asked;
    const kept = await store.keep(id, { turn, revision, base, told: answer.finish.conversationRevision });
    return { kind: "whole", answer, turn, revision: kept };
  } catch (error) {
    if (signal.aborted) return { kind: "stopped" };
    return failed(explain(error, answer.chunks > 0));
  } finally {
    clearInterval(timer);
    pending = true;
    view.waiting(false);
    view.show(answer.parts, true);
    view.tell(facts(answer));
  }
}

/** The chunks of an answer. A call that is refused before them because no caller is signed in waits for one, and is sent again. */
async function* chunksOf(request: GenerateRequest, signal: AbortSignal): AsyncIterable<Chunk> {
  let begun = false;
  for (;;) {
    try {
      for await (const chunk of client.generate(request, { signal })) {
        begun = true;
        yield chunk;
      }
      return;
    } catch (error) {
      const refusal = begun ? undefined : endedSession(error);
      if (!refusal) throw error;
      await signIn(refusal);
    }
  }
}

const failed = (problem: Problem): Outcome => ({ kind: "failed", problem });

function turnOf({ messages, turnId }: Asked, { parts, start, finish }: Answer): Turn {
  return create(TurnSchema, {
    turnId,
    messages: [...messages, create(MessageSchema, { role: Role.ASSISTANT, content: blocksOf(parts) })],
    modelId: start?.modelId ?? "",
    stopReason: finish?.stopReason ?? 0,
    ...(finish?.usage && { usage: finish.usage }),
  });
}
