// One turn on the page: what was asked, the answer as it grows, and what is known about it.
import { type Part, stopReason, textOf } from "./answer.js";
import { citationList } from "./citations.js";
import { copyButton, h } from "./dom.js";
import { Flow } from "./flow.js";
import type { StopReason, TokenUsage } from "./generated/outcrop/v1/chunk_pb.js";
import type { Problem } from "./problem.js";

/** A prompt of more characters is shown in part. */
const LONG_PROMPT = 2_000;

export class TurnView {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "parts" });
  private readonly meta = h("p", { class: "meta" });
  private readonly foot = h("div", { class: "foot" }, this.meta);
  private readonly views: ((part: Part, ended: boolean) => void)[] = [];
  private readonly citations = h("div", {});
  private parts: Part[] = [];

  constructor(prompt: string) {
    this.element = h(
      "article",
      { class: "turn", "aria-label": "Turn" },
      h("section", { class: "asked" }, h("h2", { class: "who" }, "You"), promptView(prompt)),
      h("section", { class: "answer" }, h("h2", { class: "who" }, "Answer"), this.body, this.citations, this.foot),
    );
  }

  /** Shows the parts as they are now. */
  show(parts: Part[], ended: boolean): void {
    this.parts = parts;
    parts.forEach((part, index) => {
      const view = this.views[index] ?? this.add(part);
      // All but the last part change seldom; their views see at once that nothing is new.
      view(part, ended);
    });
    if (ended) {
      const cited = parts.flatMap((part) => (part.kind === "text" ? part.citations : []));
      if (cited.length > 0) this.citations.replaceChildren(citationList(cited));
      if (textOf(parts)) this.foot.append(copyButton("Copy the answer", () => textOf(this.parts)));
    }
  }

  /** The line below the answer. */
  tell(facts: (string | undefined | false)[]): void {
    this.meta.replaceChildren(...facts.filter((fact) => !!fact).map((fact) => h("span", {}, fact as string)));
  }

  waiting(waits: boolean): void {
    this.element.classList.toggle("waiting", waits);
  }

  /** The answer is not whole: why, and a way to ask again. */
  fail(problem: Problem, again: () => void): void {
    this.element.classList.add("failed");
    const list = problem.list.length > 0 && h("ul", {}, ...problem.list.map((line) => h("li", {}, line)));
    const partial =
      this.parts.length > 0 &&
      h("p", { class: "not-whole" }, "The answer above is not whole, and the conversation goes on without this turn.");
    this.foot.before(
      h(
        "div",
        { class: "problem" },
        h("p", { class: "problem-title" }, h("strong", {}, problem.title), h("code", {}, problem.reason)),
        h("p", { class: "problem-message" }, problem.message),
        list,
        h("p", {}, problem.advice),
        partial,
        problem.facts && h("p", { class: "problem-facts" }, problem.facts),
        h("button", { type: "button", click: again }, "Try again"),
      ),
    );
  }

  stopped(again: () => void): void {
    const text = this.parts.length > 0 ? "Stopped. The answer is not whole, and" : "Stopped before the answer began;";
    this.notWhole("stopped", `${text} the conversation goes on without this turn.`, again);
  }

  /** The page was reloaded in the middle of the answer. */
  interrupted(again: () => void): void {
    const text = "Interrupted: the page was closed or reloaded before the answer was complete, and";
    this.notWhole("stopped interrupted", `${text} the conversation goes on without this turn.`, again);
  }

  private notWhole(kind: string, text: string, again: () => void): void {
    this.element.classList.add("failed");
    const button = h("button", { type: "button", click: again }, "Ask again");
    this.foot.before(h("div", { class: `problem ${kind}` }, h("p", {}, text), button));
  }

  private add(part: Part) {
    const [element, update] = partView(part);
    this.body.append(element);
    this.views.push(update);
    return update;
  }
}

/** What was used and how it ended, from the last chunk. */
export function finishFacts(usage: TokenUsage | undefined, reason: StopReason, word: string): string[] {
  const count = (tokens: number | undefined) => tokens?.toLocaleString("en") ?? "?";
  return [
    usage ? `tokens: ${count(usage.inputTokens)} in, ${count(usage.outputTokens)} out` : "tokens: unknown",
    stopReason(reason, word),
  ];
}

function promptView(prompt: string): HTMLElement {
  const text = h("div", { class: "prompt" }, prompt.slice(0, LONG_PROMPT));
  if (prompt.length <= LONG_PROMPT) return text;
  const more = h(
    "button",
    { type: "button", class: "quiet" },
    `Show all ${prompt.length.toLocaleString("en")} characters`,
  );
  more.addEventListener("click", () => {
    text.textContent = prompt;
    more.remove();
  });
  return h("div", {}, text, more);
}

function partView(part: Part): [HTMLElement, (part: Part, ended: boolean) => void] {
  if (part.kind === "text") {
    const flow = new Flow();
    return [flow.element, (now, ended) => now.kind === "text" && flow.update(now.text, ended)];
  }
  if (part.kind === "image") return imageView();
  const pre = h("pre", { tabindex: "0" });
  const title = h("summary", {});
  const fold = h("details", { class: "fold" }, title, pre);
  const names = { reasoning: "Reasoning", tool: "Tool", result: "Tool result", other: "Other" };
  let shown = -1;
  return [
    fold,
    (now) => {
      if (now.kind === "text" || now.kind === "image" || now.text.length === shown) return;
      shown = now.text.length;
      const hidden = now.kind === "reasoning" && now.hidden;
      const name = "name" in now && now.name ? `: ${now.name}` : "";
      title.textContent = hidden ? "Reasoning, encrypted by the provider" : `${names[now.kind]}${name}`;
      pre.textContent = hidden && !now.text ? "It cannot be read here." : indented(now);
    },
  ];
}

/** The input of a tool is JSON once it is whole. */
function indented(part: Exclude<Part, { kind: "text" | "image" }>): string {
  if (part.kind === "reasoning" || part.text.length > 100_000) return part.text;
  try {
    return JSON.stringify(JSON.parse(part.text), null, 2);
  } catch {
    return part.text;
  }
}

function imageView(): [HTMLElement, (part: Part, ended: boolean) => void] {
  const frame = h("figure", {});
  return [
    frame,
    (part, ended) => {
      if (part.kind !== "image" || !ended) return;
      const caption = (text: string) => frame.replaceChildren(h("figcaption", {}, `Picture: ${text}`));
      const known = ["png", "jpeg", "gif", "webp"].includes(part.format) && part.bytes.length > 0;
      if (!known) return caption(part.note || part.format || "empty");
      const binary = Array.from(part.bytes, (byte) => String.fromCharCode(byte)).join("");
      const src = `data:image/${part.format};base64,${btoa(binary)}`;
      const unreadable = () => caption(`${part.format}, which this browser cannot read`);
      frame.replaceChildren(h("img", { src, alt: "Picture from the model", error: unreadable }));
    },
  ];
}
