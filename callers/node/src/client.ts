// The client, and conversations that the server stores.
import { randomUUID } from "node:crypto";
import { create, type DescMessage, type DescMethodUnary, fromBinary, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Client as Channel, type ClientReadableStream, Metadata, type ServiceError } from "@grpc/grpc-js";
import { connection, type EndpointOptions } from "./endpoint.js";
import { fromServiceError } from "./errors.js";
import { type Chunk, ChunkSchema, type Finish } from "./generated/outcrop/v1/chunk_pb.js";
import { CreateConversationRequestSchema, type Turn } from "./generated/outcrop/v1/conversation_pb.js";
import { GenerateRequestSchema } from "./generated/outcrop/v1/generation_pb.js";
import { GenerationService } from "./generated/outcrop/v1/generation_service_pb.js";
import { Stream } from "./stream.js";

/** The fields of GenerateRequest, or a message. */
export type GenerateFields = MessageInitShape<typeof GenerateRequestSchema>;

export type CallOptions = {
  /** The time for the whole call, in milliseconds. */
  timeoutMs?: number;
  /** Cancels the call. */
  signal?: AbortSignal;
};

/** Calls an Outcrop server. Close it at the end. */
export class Client {
  readonly #channel: Channel;
  readonly #apiKey: string | undefined;

  constructor(endpoint: string, options: EndpointOptions = {}) {
    const { target, credentials, options: channel } = connection(endpoint, options);
    this.#channel = new Channel(target, credentials, channel);
    this.#apiKey = options.apiKey;
  }

  /** Closes the connection after the running calls. */
  close(): void {
    this.#channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Starts to generate an answer. */
  generate(fields: GenerateFields, options: CallOptions = {}, onFinish?: (finish: Finish) => void): Stream {
    const call: ClientReadableStream<Chunk> = this.#channel.makeServerStreamRequest(
      path(GenerationService.method.generate.name),
      (request) => Buffer.from(toBinary(GenerateRequestSchema, request)),
      (bytes) => fromBinary(ChunkSchema, bytes),
      create(GenerateRequestSchema, fields),
      this.#metadata(),
      deadline(options.timeoutMs),
    );
    return new Stream(call, options.signal, onFinish);
  }

  /** Calls a method with one response, such as `client.call(GenerationService.method.listModels, {})`. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { promise, resolve, reject } = withResolvers<MessageShape<O>>();
    const call = this.#channel.makeUnaryRequest(
      path(method.name),
      (one: MessageShape<I>) => Buffer.from(toBinary(method.input, one)),
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      this.#metadata(),
      deadline(options.timeoutMs ?? 60_000),
      (error: ServiceError | null, response?: MessageShape<O>) =>
        error ? reject(fromServiceError(error, "before_content")) : resolve(response as MessageShape<O>),
    );
    const abort = () => call.cancel();
    if (options.signal?.aborted) abort();
    options.signal?.addEventListener("abort", abort, { once: true });
    return promise.finally(() => options.signal?.removeEventListener("abort", abort));
  }

  /** Creates a conversation. */
  async createConversation(fields: MessageInitShape<typeof CreateConversationRequestSchema> = {}): Promise<Conversation> {
    const { conversation } = await this.call(GenerationService.method.createConversation, fields);
    return new Conversation(this, conversation?.conversationId ?? "", conversation?.revision);
  }

  /** Resumes the conversation with this id, at the revision that the caller has seen, if any. */
  conversation(id: string, revision?: number): Conversation {
    return new Conversation(this, id, revision);
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#apiKey !== undefined) metadata.set("authorization", `Bearer ${this.#apiKey}`);
    return metadata;
  }
}

/**
 * A conversation that the server stores. A request carries only the new messages.
 *
 * Every request has a `turnId`, so that no retry stores a turn twice. It has the revision that this object has seen, if any: if another caller has
 * added a turn, the call fails with CONVERSATION_CHANGED.
 */
export class Conversation {
  readonly #client: Client;
  readonly id: string;
  revision: number | undefined;

  constructor(client: Client, id: string, revision?: number) {
    this.#client = client;
    this.id = id;
    this.revision = revision;
  }

  /** Starts the next turn. It is stored if and only if the stream ends without an error. */
  generate(fields: GenerateFields, options: CallOptions = {}): Stream {
    const request = create(GenerateRequestSchema, fields);
    request.conversationId = this.id;
    request.turnId ||= randomUUID();
    const revision = request.conversationRevision ?? this.revision;
    if (revision !== undefined) request.conversationRevision = revision;
    return this.#client.generate(request, options, (finish) => {
      this.revision = finish.conversationRevision ?? this.revision;
    });
  }

  /** The stored turns, oldest first. The revision is then that of the server. */
  async *turns(): AsyncGenerator<Turn, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.#client.call(GenerationService.method.getConversation, { conversationId: this.id, pageToken });
      yield* page.turns;
      this.revision = page.conversation?.revision;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /** Deletes the conversation and its turns. */
  async delete(): Promise<void> {
    await this.#client.call(GenerationService.method.deleteConversation, { conversationId: this.id });
  }
}

const path = (method: string) => `/${GenerationService.typeName}/${method}`;

const deadline = (timeoutMs: number | undefined) => (timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs });

function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
