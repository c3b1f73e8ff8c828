// Anthropic's client for Bedrock in JavaScript. The tool loop is that of its own tool runner.
import AnthropicBedrock from "@anthropic-ai/bedrock-sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";
import { DESCRIPTION, findIsland, MODEL, run } from "./cases.mjs";

const request = (prompt) => ({ model: MODEL, max_tokens: 1000, messages: [{ role: "user", content: prompt }] });

async function stream(prompt, onPiece) {
  const answer = new AnthropicBedrock({ maxRetries: 0 }).messages.stream(request(prompt));
  answer.on("text", onPiece);
  return (await answer.finalMessage()).stop_reason;
}

async function loop(prompt) {
  const inputSchema = z.object({ island: z.enum(["Skye", "Iona"]) });
  const tool = betaZodTool({ name: "find_island", description: DESCRIPTION, inputSchema, run: findIsland });
  const answer = await new AnthropicBedrock().beta.messages.toolRunner({ ...request(prompt), tools: [tool] });
  return answer.content.map((block) => block.text ?? "").join("");
}

await run("@anthropic-ai/bedrock-sdk", "anthropic, AnthropicBedrock (JavaScript)", stream, loop);
