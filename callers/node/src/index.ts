// Calls Outcrop, a gRPC service in front of Amazon Bedrock.
export { type Answer, Collector, textOf, toolInput, toolResult, toolUses, user } from "./answer.js";
export { Client, type CallOptions, Conversation, type GenerateFields } from "./client.js";
export type { EndpointOptions } from "./endpoint.js";
export { OutcropError, type Phase, type Violation, type QuotaViolation } from "./errors.js";
export { Reason } from "./reason.js";
export { Stream } from "./stream.js";
export * from "./generated/outcrop/v1/chunk_pb.js";
export * from "./generated/outcrop/v1/content_pb.js";
export * from "./generated/outcrop/v1/conversation_pb.js";
export * from "./generated/outcrop/v1/count_tokens_pb.js";
export * from "./generated/outcrop/v1/generation_pb.js";
export * from "./generated/outcrop/v1/generation_service_pb.js";
export * from "./generated/outcrop/v1/quota_pb.js";
export * from "./generated/outcrop/v1/tool_pb.js";
