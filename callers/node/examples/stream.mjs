// Prints the text of an answer as it arrives, and then why it ended.
import { StopReason } from "outcrop";
import { connect } from "./common.mjs";

const client = connect();
const stream = client.generate({ prompt: process.argv.slice(2).join(" ") || "hi" });
for await (const text of stream.text()) process.stdout.write(text);
const { finish } = await stream.answer();
console.log();
console.log(`STOP_REASON_${StopReason[finish.stopReason]}`, finish.usage?.outputTokens, "output tokens");
client.close();
