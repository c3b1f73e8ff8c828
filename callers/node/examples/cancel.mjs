// Cancels after the first text. Leaving the loop alone does not cancel: `cancel`, or the signal of the call, does. `--wait` waits for a line in between.
import { once } from "node:events";
import { connect, show } from "./common.mjs";

const client = connect();
const stream = client.generate({ model: "emulator.endless", prompt: "hi" });
for await (const _ of stream.text()) break;
if (process.argv.includes("--wait")) {
  console.log("left the loop, and the call goes on");
  await once(process.stdin, "data");
  process.stdin.destroy();
}
stream.cancel();
await stream.answer().catch(show);

const abort = new AbortController();
const other = client.generate({ model: "emulator.endless", prompt: "hi" }, { signal: abort.signal });
for await (const _ of other.text()) break;
abort.abort();
console.log("left");
client.close();
