// A deadline for the whole stream.
import { connect, show } from "./common.mjs";

const client = connect();
await client.generate({ model: "emulator.endless", prompt: "hi" }, { timeoutMs: 1000 }).answer().catch(show);
client.close();
