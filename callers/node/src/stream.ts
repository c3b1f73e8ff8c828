// The answer of one call, chunk by chunk.
import { type ClientReadableStream, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Answer, Collector } from "./answer.js";
import { brokenContract, fromServiceError, OutcropError, type Phase } from "./errors.js";
import type { Chunk, Finish } from "./generated/outcrop/v1/chunk_pb.js";

/** Leaving a loop over a stream does not cancel the call: `cancel`, an AbortSignal or `using` does. */
export class Stream implements AsyncIterable<Chunk>, Disposable {
  readonly #call: ClientReadableStream<Chunk>;
  readonly #chunks: AsyncIterator<Chunk>;
  readonly #collector = new Collector();
  readonly #onFinish: ((finish: Finish) => void) | undefined;
  #initial: Metadata | undefined;
  #next = 0;
  #isFinished = false;
  #finish: Finish | undefined;

  constructor(call: ClientReadableStream<Chunk>, signal?: AbortSignal, onFinish?: (finish: Finish) => void) {
    this.#call = call;
    this.#onFinish = onFinish;
    // Without a listener, the error of a stream that no loop reads would end the process.
    call.on("error", () => {});
    call.on("metadata", (metadata) => {
      this.#initial = metadata;
    });
    this.#chunks = call.iterator({ destroyOnReturn: false });
    const abort = () => call.cancel();
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    call.on("close", () => signal?.removeEventListener("abort", abort));
  }

  /** All chunks, with heartbeats if the request asks for them. The loop ends only after the status OK; else it throws an OutcropError. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    for (;;) {
      let next: IteratorResult<Chunk>;
      try {
        next = await this.#chunks.next();
      } catch (error) {
        throw this.#errorOf(error);
      }
      if (next.done) break;
      this.#check(next.value);
      yield next.value;
    }
    if (!this.#isFinished) throw brokenContract("the stream ended without a finish and without an error", this.#phase);
    if (this.#finish) this.#onFinish?.(this.#finish);
    this.#finish = undefined;
  }

  /** The text as it arrives. `answer` has the rest afterwards. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const chunk of this) {
      if (chunk.event.case === "text") yield chunk.event.value;
    }
  }

  /** Reads to the end and returns the whole answer, with what was read before. */
  async answer(): Promise<Answer> {
    for await (const _ of this);
    return this.#collector.answer();
  }

  /** Cancels the call; it also reaches Bedrock. Without effect after the end. */
  cancel(): void {
    this.#call.cancel();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Chunk 0 is `start`, which is sent with the first content. */
  get #phase(): Phase {
    return this.#next > 0 ? "after_content" : "before_content";
  }

  #errorOf(error: unknown): unknown {
    if (error instanceof OutcropError) return error;
    const isStatus = error instanceof Error && "code" in error && typeof error.code === "number" && error.code in status;
    return isStatus ? fromServiceError(error as ServiceError, this.#phase, this.#initial) : error;
  }

  #check(chunk: Chunk): void {
    if (chunk.event.case === "heartbeat") return;
    if (this.#isFinished) throw brokenContract("a chunk arrived after the finish", this.#phase);
    if (chunk.sequence !== this.#next) {
      throw brokenContract(`chunk ${chunk.sequence} arrived, and ${this.#next} was expected`, this.#phase);
    }
    this.#next += 1;
    this.#collector.add(chunk);
    if (chunk.event.case === "finish") {
      this.#isFinished = true;
      this.#finish = chunk.event.value;
    }
  }
}
