// Calls that fail, before and after content: `errors.mjs [--heartbeats] [--no-retries] MODEL...`. Without a model, an invalid request.
import { OutcropError, Reason } from "outcrop";
import { connect, show } from "./common.mjs";

const flags = process.argv.slice(2);
const models = flags.filter((flag) => !flag.startsWith("--"));
const heartbeats = flags.includes("--heartbeats") ? { heartbeatInterval: { nanos: 100_000_000 } } : {};

const client = connect({ retries: !flags.includes("--no-retries") });
for (const model of models.length ? models : [""]) {
  const invalid = model ? {} : { inferenceConfig: { temperature: 3, maxTokens: 0 } };
  try {
    await client.generate({ model, prompt: "hi", ...invalid, ...heartbeats }).answer();
    console.log("OK");
  } catch (error) {
    if (!(error instanceof OutcropError)) throw error;
    show(error);
    switch (error.reason) {
      case Reason.INVALID_REQUEST:
        console.log("  correct the request");
        break;
      case Reason.QUOTA_EXHAUSTED:
      case Reason.BEDROCK_THROTTLED:
        console.log("  try again later");
        break;
      case Reason.BUDGET_EXHAUSTED:
        console.log("  wait for the next day or month, or ask for more");
        break;
      default:
        if (error.phase === "after_content") console.log("  discard what has arrived");
    }
  }
}
client.close();
