// Cancels after the first text. Leaving the loop alone would not cancel: `cancel`, or the signal of the call, does.
import { connect, show } from "./common.mjs";

const client = connect();
const stream = client.generate({ model: "emulator.endless", prompt: "hi" });
for await (const _ of stream.text()) break;
stream.cancel();
await stream.answer().catch(show);

const abort = new AbortController();
const other = client.generate({ model: "emulator.endless", prompt: "hi" }, { signal: abort.signal });
for await (const _ of other.text()) break;
abort.abort();
console.log("left");
client.close();
