// A conversation that the server stores: a turn, resumed by the id of the conversation, and what is refused.
import { equals } from "@bufbuild/protobuf";
import { GenerationService, MessageSchema } from "outcrop";
import { connect, show } from "./common.mjs";

const client = connect();
const conversation = await client.createConversation({ system: [{ block: { case: "text", value: "Be brief." } }] });
const turn = { model: process.argv[2] ?? "emulator.everything", prompt: "Show everything.", turnId: "1" };
const first = await conversation.generate(turn).answer();
console.log("revision", conversation.revision);

// Another program resumes it. What is stored is what the stream put together, with signatures and citations.
const resumed = client.conversation(conversation.id);
const stored = [];
for await (const one of resumed.turns()) stored.push(one);
console.log("same", equals(MessageSchema, stored[0].messages.at(-1), first.message), first.message.content.length, "blocks");

// The server puts the message together too, if it is asked to.
const again = await client.generate({ ...turn, turnId: "", includeMessage: true }).answer();
console.log("included", again.finish.message !== undefined && equals(MessageSchema, again.message, first.message));

// The same turn again calls no model.
await client.conversation(conversation.id).generate(turn).answer().catch(show);
await client.conversation(conversation.id, 0).generate({ prompt: "Who are you?" }).answer().catch(show);
await resumed.delete();
await client.call(GenerationService.method.getConversation, { conversationId: conversation.id }).catch(show);
client.close();
