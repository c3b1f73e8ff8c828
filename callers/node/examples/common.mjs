// Where the server is: OUTCROP_ENDPOINT, OUTCROP_API_KEY, and OUTCROP_CA with the authorities to trust.
import { readFileSync } from "node:fs";
import { Client } from "outcrop";

export function connect(options = {}) {
  const { OUTCROP_ENDPOINT: endpoint, OUTCROP_API_KEY: key, OUTCROP_CA: ca } = process.env;
  return new Client(endpoint || "localhost:50051", { apiKey: key || undefined, ca: ca ? readFileSync(ca) : undefined, ...options });
}

/** Prints what a program can decide by. */
export function show(error) {
  console.log(error.reason, error.codeName, error.phase, error.isRetryable ? "retry" : "no retry");
  for (const violation of error.violations) console.log("  field", violation.field);
  for (const violation of error.quotaViolations) console.log("  quota", violation.subject);
}
