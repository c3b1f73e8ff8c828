// A tool loop: the model calls a tool, the program executes it, and the model answers with the result.
import { StopReason, textOf, toolInput, toolResult, toolUses, user } from "outcrop";
import { connect } from "./common.mjs";

const schema = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}';
const spec = { name: "get_weather", description: "The weather in a city.", inputSchema: { schema: { case: "jsonText", value: schema } } };
const toolConfig = { tools: [{ tool: { case: "toolSpec", value: spec } }] };
const getWeather = ({ city }) => ({ city, sky: "clear", degrees: 21 });

const client = connect();
const messages = [user("What is the weather in Paris?")];
for (;;) {
  const answer = await client.generate({ model: "emulator.call", messages, toolConfig }).answer();
  messages.push(answer.message); // Unchanged, with reasoning and signatures.
  if (answer.finish.stopReason !== StopReason.TOOL_USE) {
    console.log("answer", messages.length, textOf(answer).trim() !== "");
    break;
  }
  const results = toolUses(answer).map((use) => {
    console.log("tool", use.name);
    return toolResult(use, getWeather(toolInput(use)));
  });
  messages.push(user(...results));
}
client.close();
