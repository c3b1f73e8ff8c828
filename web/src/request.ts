// What stands in the panel -> the fields of a request, or what is wrong with them. No element of the page is needed for it.
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { GenerateRequestSchema } from "./generated/outcrop/v1/generation_pb.js";
import { parseJson } from "./json-place.js";
import { idOf, PARAMETERS, type Parameter, WITH_NATIVE_BODY } from "./parameters.js";

/** What is written in each control, by the path of its parameter. */
export type Values = Readonly<Record<string, string>>;
/** What is wrong with a parameter; `offset` is where, in the text of its control. */
export type Issue = { id: string; label: string; wrong: string; offset?: number };
export type Built = { request: JsonObject; issues: Issue[] };

/** The fields of a request, in the JSON form of the contract. */
export function build(values: Values): Built {
  const request: JsonObject = {};
  const issues: Issue[] = [];
  for (const parameter of PARAMETERS) {
    const text = values[parameter.path] ?? "";
    if (text.trim() === "") continue;
    const made = read(parameter, text);
    const wrong = "wrong" in made ? made : refused(parameter, made.value);
    if (wrong) issues.push({ id: idOf(parameter), label: parameter.label, ...wrong });
    else if ("value" in made) put(request, parameter.path, made.value);
  }
  combine(request, values, issues);
  const native = request.native_body !== undefined;
  const kept = Object.entries(request).filter(([name]) => !native || WITH_NATIVE_BODY.includes(name));
  return { request: Object.fromEntries(kept), issues };
}

type Wrong = { wrong: string; offset?: number };

function read({ kind, path, range }: Parameter, text: string): { value: JsonValue } | Wrong {
  switch (kind) {
    case "lines":
      return { value: text.split("\n").filter((line) => line !== "") };
    case "flag":
      return { value: true };
    case "integer":
    case "number":
    case "duration": {
      const number = Number(text);
      const [least, most] = range ?? [Number.MIN_VALUE, Number.MAX_VALUE];
      if (!Number.isFinite(number)) return { wrong: `${JSON.stringify(text)} is not a number` };
      if (kind === "integer" && !Number.isInteger(number)) return { wrong: "must be a whole number" };
      if (number < least || number > most)
        return { wrong: range ? `must be from ${least} to ${most.toLocaleString("en")}` : "must be greater than 0" };
      return { value: kind === "duration" ? `${number.toFixed(3)}s` : number };
    }
    case "object":
    case "array": {
      const parsed = parseJson(text);
      if ("wrong" in parsed) return parsed;
      const fits = kind === "array" ? Array.isArray(parsed.value) : isObject(parsed.value);
      if (!fits) return { wrong: kind === "array" ? "must be an array: [ … ]" : "must be an object: { … }", offset: 0 };
      return shaped(path, text, parsed.value as JsonValue);
    }
    default:
      return { value: text };
  }
}

/** JSON in the form that the field has. */
function shaped(path: string, text: string, value: JsonValue): { value: JsonValue } | Wrong {
  if (path === "native_body" || path.endsWith(".schema")) return { value: text };
  if (path !== "prompt_variables") return { value };
  const entries = Object.entries(value as JsonObject);
  return { value: Object.fromEntries(entries.map(([name, one]) => [name, isObject(one) ? one : { text: one }])) };
}

const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Parameters that are no field by themselves. */
const NOT_FIELDS = new Set([
  "system",
  "system.guard_content",
  "system.cache_point",
  "tool_config.tool_choice",
  "tool_config.tool_choice.tool.name",
  "tool_config.tools.cache_point",
  "messages.cache_point",
  "reasoning.budget_tokens",
]);

/** Why the contract refuses a value. */
function refused({ path }: Parameter, value: JsonValue): Wrong | undefined {
  if (NOT_FIELDS.has(path)) return undefined;
  const request: JsonObject = {};
  put(request, path, value);
  try {
    fromJson(GenerateRequestSchema, request);
    return undefined;
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    return { wrong: told.replace(/^cannot decode (?:field|message) /, "").replaceAll("outcrop.v1.", ""), offset: 0 };
  }
}

function put(request: JsonObject, path: string, value: JsonValue): void {
  if (NOT_FIELDS.has(path)) return;
  const names = path.split(".");
  const last = names.pop() ?? "";
  let inner = request;
  for (const name of names) {
    inner[name] ??= {};
    inner = inner[name] as JsonObject;
  }
  inner[last] = value;
}

/** A cache point for a choice of the panel. */
export const cachePoint = (ttl: string): JsonObject => ({
  cache_point: { type: "default", ...(ttl !== "default" && { ttl }) },
});

/** What is made of several parameters. */
function combine(request: JsonObject, values: Values, issues: Issue[]): void {
  const value = (path: string) => values[path]?.trim() ?? "";
  const wrong = (path: string, text: string) => {
    const parameter = PARAMETERS.find((one) => one.path === path);
    if (parameter && !issues.some(({ id }) => id === idOf(parameter)))
      issues.push({ id: idOf(parameter), label: parameter.label, wrong: text });
  };
  const text = values.system ?? "";
  if (text.trim()) {
    const block = value("system.guard_content") ? { guard_content: { text: { text } } } : { text };
    const ttl = value("system.cache_point");
    request.system = [block, ...(ttl ? [cachePoint(ttl)] : [])];
  }
  combineTools(request, value, wrong);
  const schema = (request.output_config as JsonObject | undefined)?.text_format as JsonObject | undefined;
  if (schema) {
    schema.type = "json_schema";
    if (!value("output_config.text_format.structure.json_schema.schema"))
      wrong("output_config.text_format.structure.json_schema.schema", "is missing, and a name or a description is set");
  }
  const budget = value("reasoning.budget_tokens");
  if (budget) {
    request.additional_model_request_fields ??= {};
    const fields = request.additional_model_request_fields as JsonObject;
    if (fields.thinking !== undefined)
      wrong("reasoning.budget_tokens", "the fields of the model have thinking already");
    fields.thinking ??= { type: "enabled", budget_tokens: Number(budget) };
  }
}

function combineTools(
  request: JsonObject,
  value: (path: string) => string,
  wrong: (path: string, text: string) => void,
): void {
  const config = request.tool_config as JsonObject | undefined;
  const choice = value("tool_config.tool_choice");
  const name = value("tool_config.tool_choice.tool.name");
  const ttl = value("tool_config.tools.cache_point");
  if (!config) {
    if (choice && !value("tool_config.tools")) wrong("tool_config.tool_choice", "there are no tools to choose from");
    return;
  }
  if (ttl) config.tools = [...(config.tools as JsonValue[]), cachePoint(ttl)];
  if (choice === "tool" && !name) wrong("tool_config.tool_choice.tool.name", "is missing");
  if (choice) config.tool_choice = { [choice]: choice === "tool" ? { name } : {} };
}
