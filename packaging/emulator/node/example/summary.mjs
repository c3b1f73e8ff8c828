//! The code under test: it knows nothing of the emulator.

import { BedrockRuntimeClient, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";

export const MODEL = "us.amazon.nova-lite-v1:0";

/** A summary by the model, or `null` if Bedrock has no capacity now. */
export async function summary(text) {
  const client = new BedrockRuntimeClient();
  const messages = [{ role: "user", content: [{ text: `Summarize: ${text}` }] }];
  const parts = [];
  let reason;
  try {
    const answer = await client.send(new ConverseStreamCommand({ modelId: MODEL, messages }));
    for await (const event of answer.stream) {
      parts.push(event.contentBlockDelta?.delta?.text ?? "");
      reason = event.messageStop?.stopReason ?? reason;
    }
  } catch (error) {
    if (error.name === "ThrottlingException") return null;
    throw error;
  } finally {
    client.destroy();
  }
  // The SDK takes an answer that ends early for one that has ended.
  if (reason === undefined) throw new Error(`incomplete: ${parts.join("")}`);
  return parts.join("");
}
