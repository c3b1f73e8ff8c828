// The line below an answer: what it used, how fast it came, what it costs.
import type { Answer, Part } from "./answer.js";
import { stopReason } from "./answer.js";
import type { StopReason, TokenUsage } from "./generated/outcrop/v1/chunk_pb.js";

/** How many characters a token has, about. The number is known at the end; until then an estimate is shown. */
const CHARACTERS_PER_TOKEN = 4;
/** An answer that came in less time came at once: it has no rate. */
const SHORTEST_MS = 100;

/** While the answer comes. */
export function progress(answer: Answer): string[] {
  const { start, firstAt, lastAt, askedAt, parts, waiting } = answer;
  const about = Math.round(parts.reduce((sum, part) => sum + charactersOf(part), 0) / CHARACTERS_PER_TOKEN);
  return [
    waiting ? waitFacts(waiting) : "Answering",
    `${((performance.now() - askedAt) / 1000).toFixed(0)} s`,
    ...(about > 0 ? [`≈ ${number(about)} tokens`] : []),
    ...(about > 0 ? rate(about, firstAt, lastAt, "≈ ") : []),
    ...(start ? [start.modelId, start.region] : []),
  ];
}

/** When it has ended, or broke off. A call that was refused at once has nothing to tell. */
export function facts(answer: Answer): string[] {
  const { start, finish, firstAt, lastAt, askedAt } = answer;
  if (answer.chunks === 0 && performance.now() - askedAt < 1000) return [];
  if (!finish) return progress(answer).slice(1);
  const thought = answer.thoughtMs;
  return [
    ...finishFacts(finish.usage, finish.stopReason, finish.stopReasonName),
    ...(thought >= 1000 ? [`thought for ${seconds(thought)}`] : []),
    `first chunk after ${seconds(firstAt - askedAt)}`,
    ...rate(finish.usage?.outputTokens ?? 0, firstAt, lastAt, ""),
    ...(finish.costMicros !== undefined ? [`cost ${money(Number(finish.costMicros))}`] : []),
    ...(start ? [finish.invokedModelId || start.modelId, start.region] : []),
  ];
}

/** What was used and how it ended, from the last chunk. */
export function finishFacts(usage: TokenUsage | undefined, reason: StopReason, word: string): string[] {
  const count = (tokens: number | undefined) => (tokens === undefined ? "?" : number(tokens));
  const cached = [
    usage?.cacheReadInputTokens ? `${number(usage.cacheReadInputTokens)} from the cache` : "",
    usage?.cacheWriteInputTokens ? `${number(usage.cacheWriteInputTokens)} to the cache` : "",
  ].filter(Boolean);
  return [
    usage
      ? `tokens: ${[`${count(usage.inputTokens)} in`, ...cached, `${count(usage.outputTokens)} out`].join(", ")}`
      : "tokens: unknown",
    stopReason(reason, word),
  ];
}

/** Millionths of the currency in which the server has its prices. The server does not tell which one that is. */
export function money(micros: number): string {
  return (micros / 1e6).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 });
}

function rate(tokens: number, from: number, to: number, about: string): string[] {
  if (tokens < 1 || to - from < SHORTEST_MS) return [];
  return [`${about}${number(Math.max(1, Math.round(tokens / ((to - from) / 1000))))} tokens/s`];
}

function waitFacts({ position, estimatedWait }: NonNullable<Answer["waiting"]>): string {
  const about = estimatedWait
    ? `, about ${Math.ceil(Number(estimatedWait.seconds) + estimatedWait.nanos / 1e9)} s`
    : "";
  return `Waiting for quota, place ${number(position)}${about}`;
}

const charactersOf = (part: Part) => (part.kind === "image" ? 0 : part.text.length);
const number = (value: number) => value.toLocaleString("en");
const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
