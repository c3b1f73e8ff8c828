// The error of a call, from the details of its status.
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";
import { StatusSchema } from "./generated/google/rpc/status_pb.js";
import { Reason } from "./reason.js";

/** Whether content had arrived before the call failed. */
export type Phase = "before_content" | "after_content";

/** A field of the request that is invalid. */
export type Violation = { field: string; description: string };

/** A limit that is reached, and its subject. */
export type QuotaViolation = { subject: string; description: string };

type Details = {
  retryDelayMs?: number | undefined;
  violations?: Violation[];
  quotaViolations?: QuotaViolation[];
  metadata?: Record<string, string>;
  requestId?: string;
  generationId?: string;
};

/** A call failed. `reason` says why, and `phase` whether content had arrived before. */
export class OutcropError extends Error {
  /** The code of the status. */
  readonly code: status;
  /** A `Reason`, or one that this version of the package does not know. */
  readonly reason: Reason | (string & {});
  readonly phase: Phase;
  /** The milliseconds after which the call can be repeated, or undefined if a retry cannot help. */
  readonly retryDelayMs: number | undefined;
  /** The fields of the request that are invalid. */
  readonly violations: Violation[];
  /** The limits of the server that are reached. */
  readonly quotaViolations: QuotaViolation[];
  /** The metadata of ErrorInfo, such as `model_id`, `region` and `attempts`. */
  readonly metadata: Record<string, string>;
  /** The AWS request id, or an empty string. */
  readonly requestId: string;
  /** The id of the call in the log of the server, or an empty string. */
  readonly generationId: string;

  constructor(message: string, code: status, reason: string, phase: Phase, details: Details = {}, cause?: unknown) {
    super(`${reason}: ${message}`, { cause });
    this.name = "OutcropError";
    this.code = code;
    this.reason = reason;
    this.phase = phase;
    this.retryDelayMs = details.retryDelayMs;
    this.violations = details.violations ?? [];
    this.quotaViolations = details.quotaViolations ?? [];
    this.metadata = details.metadata ?? {};
    this.requestId = details.requestId ?? "";
    this.generationId = details.generationId ?? "";
  }

  /** The name of the code, such as `UNAVAILABLE`. */
  get codeName(): string {
    return status[this.code];
  }

  /** Whether the whole call can be repeated after `retryDelayMs`. What has arrived is then not a part of the new answer. */
  get isRetryable(): boolean {
    return this.retryDelayMs !== undefined;
  }
}

/** The error for a status of grpc-js, whether the server or the client made it. */
export function fromServiceError(error: ServiceError, phase: Phase, initial?: Metadata): OutcropError {
  const binary = error.metadata?.get("grpc-status-details-bin")[0];
  const details = binary instanceof Uint8Array ? fromBinary(StatusSchema, binary).details : [];
  const unpack = <T>(read: (detail: (typeof details)[number]) => T | undefined) => details.map(read).find((one) => one);
  const info = unpack((detail) => anyUnpack(detail, ErrorInfoSchema));
  const retry = unpack((detail) => anyUnpack(detail, RetryInfoSchema))?.retryDelay;
  const id = (error.metadata?.get("outcrop-generation-id")[0] ?? initial?.get("outcrop-generation-id")[0] ?? "") as string;
  const told = info?.metadata.phase === "after_content" || info?.metadata.phase === "before_content" ? info.metadata.phase : phase;
  const found = {
    retryDelayMs: retry && Number(retry.seconds) * 1000 + retry.nanos / 1e6,
    violations: unpack((detail) => anyUnpack(detail, BadRequestSchema))?.fieldViolations ?? [],
    quotaViolations: unpack((detail) => anyUnpack(detail, QuotaFailureSchema))?.violations ?? [],
    metadata: info?.metadata ?? {},
    requestId: unpack((detail) => anyUnpack(detail, RequestInfoSchema))?.requestId ?? "",
    generationId: id,
  };
  return new OutcropError(error.details, error.code, info?.reason ?? local(error.code), told, found, error);
}

/** The reason of a status that the client makes itself, which has no details. */
function local(code: status): Reason {
  if (code === status.CANCELLED) return Reason.CALLER_CANCELLED;
  return code === status.DEADLINE_EXCEEDED ? Reason.CALLER_DEADLINE : Reason.TRANSPORT;
}

/** The error for an answer that is not what the contract promises. A proxy can cause it. */
export function brokenContract(message: string, phase: Phase): OutcropError {
  return new OutcropError(message, status.DATA_LOSS, Reason.TRANSPORT, phase);
}
