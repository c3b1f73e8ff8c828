// What a turn sent and received, for the inspector.
import { clone, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Chunk, ChunkSchema } from "./generated/outcrop/v1/chunk_pb.js";
import { type GenerateRequest, GenerateRequestSchema } from "./generated/outcrop/v1/generation_pb.js";

/** How many chunks are kept of an answer. */
const MOST_CHUNKS = 20_000;

export class Trace {
  readonly chunks: Chunk[] = [];
  /** Chunks that were not kept. */
  left = 0;
  private readonly request: GenerateRequest;

  constructor(request: GenerateRequest) {
    this.request = clone(GenerateRequestSchema, request);
    // With them the server would refuse the same turn a second time.
    this.request.turnId = "";
    delete this.request.conversationRevision;
  }

  take(chunk: Chunk): void {
    if (this.chunks.length < MOST_CHUNKS) this.chunks.push(chunk);
    else this.left += 1;
  }

  /** Whether the request adds a turn to a conversation on the server. */
  get stored(): boolean {
    return this.request.conversationId !== "";
  }

  /** The request with the names of the contract, as grpcurl takes it. */
  get json(): string {
    return JSON.stringify(toJson(GenerateRequestSchema, this.request, { useProtoFieldName: true }), null, 2);
  }

  /** Each chunk as one line of JSON. */
  lines(from = 0, to = this.chunks.length): string[] {
    return this.chunks.slice(from, to).map((chunk) => JSON.stringify(chunkJson(chunk)));
  }
}

function chunkJson(chunk: Chunk): JsonValue {
  return toJson(ChunkSchema, chunk, { useProtoFieldName: true });
}
