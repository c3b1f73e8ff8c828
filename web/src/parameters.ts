// Every field of a request and where the page has it: a parameter of the panel, or what the page fills itself. A test compares this
// with the contract, so that no field is hidden.

export type Kind = "text" | "lines" | "integer" | "number" | "duration" | "choice" | "flag" | "object" | "array";

export type Parameter = {
  /** The field in the contract, and the end of the id of its control. */
  path: string;
  group: string;
  label: string;
  kind: Kind;
  /** The values of a choice, besides none. */
  choices?: readonly string[];
  range?: readonly [least: number, most: number];
  hint?: string;
  placeholder?: string;
  /** The id of the control, where it is not made of the path. */
  id?: string;
  wide?: boolean;
};

const MAX_INT = 2_147_483_647;
const TTL = ["default", "5m", "1h"] as const;

/** The parameters in the order in which the panel has them. */
export const PARAMETERS: readonly Parameter[] = [
  {
    path: "system",
    id: "system",
    group: "Prompt",
    label: "System prompt",
    kind: "text",
    placeholder: "none",
    wide: true,
  },
  { path: "system.guard_content", group: "Prompt", label: "The guardrail assesses the system prompt", kind: "flag" },

  {
    path: "inference_config.max_tokens",
    id: "max-tokens",
    group: "Sampling",
    label: "Maximum of tokens",
    kind: "integer",
    range: [1, MAX_INT],
    placeholder: "the model's",
  },
  {
    path: "inference_config.temperature",
    id: "temperature",
    group: "Sampling",
    label: "Temperature",
    kind: "number",
    range: [0, 1],
    placeholder: "the model's",
  },
  {
    path: "inference_config.top_p",
    id: "top-p",
    group: "Sampling",
    label: "Top p",
    kind: "number",
    range: [0, 1],
    placeholder: "the model's",
  },
  {
    path: "inference_config.stop_sequences",
    id: "stops",
    group: "Sampling",
    label: "Stop sequences, one per line",
    kind: "lines",
    placeholder: "none",
    wide: true,
  },

  { path: "output_config.effort", group: "Reasoning", label: "Effort", kind: "text", placeholder: "such as high" },
  {
    path: "reasoning.budget_tokens",
    group: "Reasoning",
    label: "Tokens to think with (Claude)",
    kind: "integer",
    range: [1024, MAX_INT],
    placeholder: "no thinking",
    hint: "Sent as thinking in the fields of the model.",
  },

  {
    path: "tool_config.tools",
    group: "Tools",
    label: "Tools, a JSON array",
    kind: "array",
    wide: true,
    placeholder:
      '[{"toolSpec": {"name": "clock", "description": "Tells the time", "inputSchema": {"json": {"type": "object"}}}}]',
    hint: "As in the API of Bedrock: toolSpec, systemTool or cachePoint. When the model calls one, the page asks for its result.",
  },
  {
    path: "tool_config.tool_choice",
    group: "Tools",
    label: "Which must be called",
    kind: "choice",
    choices: ["auto", "any", "tool"],
  },
  { path: "tool_config.tool_choice.tool.name", group: "Tools", label: "Name of that tool", kind: "text" },

  {
    path: "output_config.text_format.structure.json_schema.schema",
    group: "Form of the answer",
    label: "JSON schema",
    kind: "object",
    wide: true,
    placeholder: '{"type": "object", "properties": {}, "additionalProperties": false}',
  },
  {
    path: "output_config.text_format.structure.json_schema.name",
    group: "Form of the answer",
    label: "Name of the schema",
    kind: "text",
  },
  {
    path: "output_config.text_format.structure.json_schema.description",
    group: "Form of the answer",
    label: "Description for the model",
    kind: "text",
  },
  {
    path: "json_form",
    group: "Form of the answer",
    label: "JSON in results of tools",
    kind: "choice",
    choices: ["JSON_FORM_VALUE", "JSON_FORM_TEXT"],
  },
  { path: "include_message", group: "Form of the answer", label: "finish has the whole answer", kind: "flag" },

  { path: "guardrail_config.guardrail_identifier", group: "Guardrail", label: "Id or ARN", kind: "text", wide: true },
  {
    path: "guardrail_config.guardrail_version",
    group: "Guardrail",
    label: "Version",
    kind: "text",
    placeholder: "a number or DRAFT",
  },
  {
    path: "guardrail_config.trace",
    group: "Guardrail",
    label: "Trace",
    kind: "choice",
    choices: ["enabled", "disabled", "enabled_full"],
  },
  {
    path: "guardrail_config.stream_processing_mode",
    group: "Guardrail",
    label: "Processing",
    kind: "choice",
    choices: ["sync", "async"],
  },

  {
    path: "system.cache_point",
    group: "Prompt caching",
    label: "Cache the system prompt",
    kind: "choice",
    choices: TTL,
  },
  {
    path: "tool_config.tools.cache_point",
    group: "Prompt caching",
    label: "Cache the tools",
    kind: "choice",
    choices: TTL,
  },
  {
    path: "messages.cache_point",
    group: "Prompt caching",
    label: "Cache up to the next prompt, once",
    kind: "choice",
    choices: TTL,
    hint: "Bedrock takes at most four cache points in a request.",
  },
  { path: "cache_key", group: "Prompt caching", label: "Cache key", kind: "text", placeholder: "the conversation" },

  {
    path: "service_tier.type",
    group: "How it is served",
    label: "Service tier",
    kind: "choice",
    choices: ["priority", "default", "flex", "reserved"],
  },
  {
    path: "performance_config.latency",
    group: "How it is served",
    label: "Latency",
    kind: "choice",
    choices: ["standard", "optimized"],
  },
  {
    path: "priority",
    group: "How it is served",
    label: "Priority in the queue",
    kind: "choice",
    choices: ["PRIORITY_INTERACTIVE", "PRIORITY_BATCH"],
  },
  {
    path: "abandonment_mode",
    group: "How it is served",
    label: "When you press Stop",
    kind: "choice",
    choices: ["ABANDONMENT_MODE_CANCEL", "ABANDONMENT_MODE_DRAIN"],
  },
  {
    path: "operation",
    group: "How it is served",
    label: "Operation",
    kind: "choice",
    choices: ["OPERATION_CHOICE_CONVERSE", "OPERATION_CHOICE_NATIVE"],
  },
  {
    path: "model_family",
    group: "How it is served",
    label: "Native format",
    kind: "choice",
    choices:
      "anthropic anthropic-text nova titan cohere-command cohere-command-r llama2 llama3 llama4 mistral mistral-chat jamba jurassic2 deepseek-r1 deepseek openai qwen writer".split(
        " ",
      ),
  },

  { path: "time_limits.connect", group: "Time limits, in seconds", label: "Connection", kind: "duration" },
  { path: "time_limits.first_content", group: "Time limits, in seconds", label: "First content", kind: "duration" },
  { path: "time_limits.idle", group: "Time limits, in seconds", label: "Between two pieces", kind: "duration" },
  { path: "time_limits.total", group: "Time limits, in seconds", label: "Whole call", kind: "duration" },
  {
    path: "heartbeat_interval",
    group: "Time limits, in seconds",
    label: "Heartbeat every",
    kind: "duration",
    range: [0, 3600],
  },

  {
    path: "additional_model_request_fields",
    group: "More",
    label: "Fields of the model, a JSON object",
    kind: "object",
    wide: true,
    placeholder: '{"top_k": 50}',
  },
  {
    path: "additional_model_response_field_paths",
    group: "More",
    label: "Fields of the response, one JSON pointer per line",
    kind: "lines",
    wide: true,
    placeholder: "/stop_sequence",
  },
  {
    path: "prompt_variables",
    group: "More",
    label: "Variables of a prompt, a JSON object",
    kind: "object",
    wide: true,
    placeholder: '{"name": "text"}',
    hint: "If the model is the ARN of a prompt.",
  },
  {
    path: "request_metadata",
    group: "More",
    label: "Metadata for Bedrock's invocation log, a JSON object",
    kind: "object",
    wide: true,
    placeholder: '{"team": "tests"}',
  },
  {
    path: "native_body",
    group: "More",
    label: "Native body, a JSON object",
    kind: "object",
    wide: true,
    hint: "Sent unchanged in place of prompt, conversation and most parameters. Its turn is not stored.",
  },
];

/** What the page fills itself, and from what. */
export const FILLED: Readonly<Record<string, string>> = {
  model: "the field beside Go",
  prompt: "what is written",
  messages: "the history, where the browser stores it; attachments; results of tools",
  conversation_id: "the conversation that is open, where the server stores it",
  turn_id: "the server",
  conversation_revision: "what the page has seen of the conversation",
  "output_config.text_format.type": "json_schema, if there is a schema",
};

/** What can be combined with a native body. */
export const WITH_NATIVE_BODY: readonly string[] = [
  "model",
  "operation",
  "guardrail_config",
  "performance_config",
  "service_tier",
  "request_metadata",
  "time_limits",
  "abandonment_mode",
  "heartbeat_interval",
  "cache_key",
  "priority",
  "native_body",
];

/** The id of the control of a parameter. */
export const idOf = ({ id, path }: Parameter) => id ?? `p-${path.replace(/[._]/g, "-")}`;
