// Vercel's AI SDK: streamText streams, and runs the tool loop.
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { DESCRIPTION, findIsland, MODEL, run } from "./cases.mjs";

async function streamed(options, onPiece) {
  let failed;
  const onError = ({ error }) => {
    failed = error;
  };
  const answer = streamText({ model: createAmazonBedrock()(MODEL), onError, ...options });
  for await (const text of answer.textStream) onPiece(text);
  if (failed) throw failed;
  return answer;
}

const stream = async (prompt, onPiece) => (await streamed({ prompt }, onPiece)).finishReason;

async function loop(prompt) {
  const inputSchema = z.object({ island: z.enum(["Skye", "Iona"]) });
  const tools = { find_island: tool({ description: DESCRIPTION, inputSchema, execute: findIsland }) };
  return (await streamed({ prompt, tools, stopWhen: isStepCount(4) }, () => {})).text;
}

await run("@ai-sdk/amazon-bedrock", "Vercel AI SDK, amazon-bedrock", stream, loop);
