//! The scripts that most tests need. The reference of the emulator describes all members of a script.

/** A script as JSON. */
export type ScriptObject = { readonly [member: string]: unknown };

/** A text, a script, or an array of these for consecutive requests. */
export type Script = string | ScriptObject | readonly (string | ScriptObject)[];

/** A whole answer with this text, one event for each word. */
export const reply = (text: string): ScriptObject => ({ steps: [{ reply: text }] });

/** An HTTP error in place of an answer. SDKs raise it as the exception of this name. */
export const refuse = (
  exception = "ThrottlingException",
  status = 429,
  message = "Too many requests.",
): ScriptObject => ({ refuse: { status, exception, message } });

/**
 * An answer with this text that has a fault after so many events: it ends there cleanly (`end`), its connection closes (`cut`) or is reset
 * (`reset`), nothing more comes (`stall`), or the checksum of an event is wrong (`corrupt`).
 */
export const fault = (
  kind: "end" | "cut" | "reset" | "stall" | "corrupt",
  text: string,
  after = 3,
): ScriptObject => ({ ...reply(text), fault: { kind, at: { event: after } } });

/** Converse and ConverseStream: a call of this tool. A request that ends with the result of a tool is answered with `then`. */
export function toolUse(name: string, input: object, then: string | ScriptObject = "Done."): ScriptObject {
  const event = (type: string, payload: object) => ({ event: { type, payload } });
  return {
    steps: [
      event("messageStart", { role: "assistant" }),
      event("contentBlockStart", {
        contentBlockIndex: 0,
        start: { toolUse: { toolUseId: "tooluse_emulated1", name } },
      }),
      event("contentBlockDelta", { contentBlockIndex: 0, delta: { toolUse: { input: JSON.stringify(input) } } }),
      event("contentBlockStop", { contentBlockIndex: 0 }),
      event("messageStop", { stopReason: "tool_use" }),
      event("metadata", {
        usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
        metrics: { latencyMs: 1 },
      }),
    ],
    on_tool_result: typeof then === "string" ? reply(then) : then,
  };
}
