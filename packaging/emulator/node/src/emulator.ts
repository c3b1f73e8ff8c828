//! The operations of a running emulator, below `/_emulator/`.

import { request } from "node:http";
import { EmulatorError, RequestsMissing } from "./errors.js";
import { reply, type Script } from "./scripts.js";

/** The services that the emulator answers, as `AWS_ENDPOINT_URL_…` names them. */
const SERVICES = ["BEDROCK_RUNTIME", "BEDROCK", "BEDROCK_AGENT_RUNTIME", "SERVICE_QUOTAS", "STS"];

const REGION = "us-east-1";

export type Outcome = "running" | "completed" | "faulted" | "abandoned" | "refused";

/** Which requests are wanted. */
export interface Wanted {
  /** Such as `ConverseStream`. */
  operation?: string;
  model?: string;
  outcome?: Outcome;
}

/** A request that arrived, and what became of its answer. */
export interface CapturedRequest {
  number: number;
  operation: string;
  modelId: string;
  /** The body as JSON, or null if it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read members of it
  body: any;
  /** The HTTP status of the answer. Null before it. */
  status: number | null;
  outcome: Outcome;
  /** The region for which it was signed. */
  region: string;
  /** Bedrock's headers and those of traces. */
  headers: Record<string, string>;
}

export type RandomFault =
  | "throttle"
  | "unavailable"
  | "internal"
  | "exception"
  | "end"
  | "cut"
  | "reset"
  | "stall"
  | "corrupt";

/** The limits of a model. */
export interface Quota {
  tokens?: number;
  requests?: number;
  streams?: number;
  burndown?: number;
  max_tokens?: number;
  retry_after?: boolean;
  minute_ms?: number;
}

/** A quota, and what was used of it. */
export interface QuotaUsage {
  model_id: string;
  region: string | null;
  quota: Quota;
  usage: Record<string, number>;
}

/** An emulator at an endpoint, wherever it runs. */
export class Emulator {
  readonly endpoint: string;

  constructor(endpoint: string) {
    this.endpoint = endpoint.replace(/\/+$/, "");
  }

  /** What the clients of the AWS SDK need: `new BedrockRuntimeClient(bedrock.clientConfig)`. */
  get clientConfig() {
    const credentials = { accessKeyId: "emulator", secretAccessKey: "emulator" };
    return { endpoint: this.endpoint, region: REGION, credentials };
  }

  /** The variables with which SDKs and frameworks of AWS call the emulator: `Object.assign(process.env, bedrock.environment)`. */
  get environment(): Record<string, string> {
    return {
      ...Object.fromEntries(SERVICES.map((service) => [`AWS_ENDPOINT_URL_${service}`, this.endpoint])),
      // Anthropic's client has a variable of its own.
      ANTHROPIC_BEDROCK_BASE_URL: this.endpoint,
      AWS_ACCESS_KEY_ID: "emulator",
      AWS_SECRET_ACCESS_KEY: "emulator",
      AWS_REGION: REGION,
      AWS_DEFAULT_REGION: REGION,
      AWS_EC2_METADATA_DISABLED: "true",
    };
  }

  /**
   * Answers requests for this model id or ARN with a script, until `reset`. Of an array each request gets the next one, and the last one is
   * repeated. With a region, only requests that were signed for it.
   */
  async script(model: string, script: Script, region?: string): Promise<void> {
    const scripts = Array.isArray(script) ? script : [script];
    const json = scripts.map((one) => (typeof one === "string" ? reply(one) : one));
    await this.#call("PUT", `scripts/${path(model, region)}`, json);
  }

  /** Removes what `script` has set. */
  async removeScript(model: string, region?: string): Promise<void> {
    await this.#call("DELETE", `scripts/${path(model, region)}`);
  }

  /** Gives this share of the requests a fault, from 0 to 1. It replaces the shares that were set before. */
  async faults(shares: Partial<Record<RandomFault, number>>): Promise<void> {
    await this.#call("PUT", "faults", shares);
  }

  /** Enforces the quota of a model, with its counts at zero. `null` removes it. */
  async quota(model: string, quota: Quota | null, region?: string): Promise<void> {
    const method = quota === null ? "DELETE" : "PUT";
    await this.#call(method, `quotas/${path(model, region)}`, quota ?? undefined);
  }

  /** The quotas and what was used of each. */
  async quotas(): Promise<QuotaUsage[]> {
    return (await this.#call("GET", "quotas")) as QuotaUsage[];
  }

  /** The last 1,000 requests since the reset, from the oldest to the newest. */
  async requests(wanted: Wanted = {}): Promise<CapturedRequest[]> {
    const query = new URLSearchParams({ ...wanted });
    return ((await this.#call("GET", `requests?${query}`)) as { requests: CapturedRequest[] }).requests;
  }

  /** Waits until there are so many requests, and returns them. Rejects with `RequestsMissing` after `timeoutMs`. */
  async waitForRequests(count = 1, wanted: Wanted & { timeoutMs?: number } = {}): Promise<CapturedRequest[]> {
    const { timeoutMs = 10_000, ...which } = wanted;
    const query = new URLSearchParams({ ...which, wait: `${count}`, timeout_ms: `${timeoutMs}` });
    const { requests } = (await this.#call("GET", `requests?${query}`)) as { requests: CapturedRequest[] };
    if (requests.length >= count) return requests;
    const all = (await this.requests()).map(
      (one) => `\n  ${one.operation} ${one.modelId}: ${one.outcome}, status ${one.status}`,
    );
    const asked = `${requests.length} of ${count} requests came within ${timeoutMs} ms`;
    throw new RequestsMissing(`${asked} (${JSON.stringify(which)}). All requests:${all.join("") || " none"}`);
  }

  /** The state at the start: no requests and no scripts, and the faults and quotas of the command line. */
  async reset(): Promise<void> {
    await this.#call("POST", "reset");
  }

  /** Why the emulator cannot be reached. */
  protected unreachable(error: Error): EmulatorError {
    return new EmulatorError(`no emulator answers at ${this.endpoint}: ${error.message}`, { cause: error });
  }

  #call(method: string, path: string, body?: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // Of its own connection: one that is kept would keep the process of the test.
      const sent = request(`${this.endpoint}/_emulator/${path}`, { method, agent: false }, async (answer) => {
        try {
          const parts: Buffer[] = [];
          for await (const part of answer) parts.push(part as Buffer);
          const text = Buffer.concat(parts).toString();
          const json = text === "" ? undefined : JSON.parse(text);
          const status = answer.statusCode ?? 0;
          // 408 has the requests so far, after the time to wait for more.
          if (status < 400 || status === 408) resolve(json);
          else reject(new EmulatorError(`${method} /_emulator/${path}: ${json?.message ?? text}`));
        } catch (error) {
          reject(error);
        }
      });
      sent.on("error", (error) => reject(this.unreachable(error)));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

function path(model: string, region?: string): string {
  const name = region === undefined ? model : `${model}@${region}`;
  return name.split("/").map(encodeURIComponent).join("/");
}
