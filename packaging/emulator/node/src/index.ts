//! Amazon Bedrock Runtime for tests: `start` runs the emulator as a process; `Emulator` talks to one that runs elsewhere.

export {
  type CapturedRequest,
  Emulator,
  type Outcome,
  type Quota,
  type QuotaUsage,
  type RandomFault,
  type Wanted,
} from "./emulator.js";
export { EmulatorError, NotReady, RequestsMissing } from "./errors.js";
export { Process, type StartOptions, start } from "./process.js";
export { fault, refuse, reply, type Script, type ScriptObject, toolUse } from "./scripts.js";
