// One turn on the page: what was asked, the answer as it grows, and what is known about it.
import { type Part, type ToolCall, textOf } from "./answer.js";
import { askedView } from "./asked.js";
import { citationList } from "./citations.js";
import { copyButton, h } from "./dom.js";
import type { ContentBlock } from "./generated/outcrop/v1/content_pb.js";
import { inspect } from "./inspector.js";
import { partView, type Show } from "./part-view.js";
import type { Problem } from "./problem.js";
import { toolForm } from "./tool-form.js";
import type { Trace } from "./trace.js";

export class TurnView {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "parts" });
  private readonly meta = h("p", { class: "meta" });
  private readonly foot = h("div", { class: "foot" }, this.meta);
  private readonly views: Show[] = [];
  private readonly citations = h("div", {});
  private parts: Part[] = [];

  constructor(prompt: string, attached: ContentBlock[] = []) {
    this.element = h(
      "article",
      { class: "turn", "aria-label": "Turn" },
      askedView(prompt, attached),
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

  /** Offers what was sent and what came. */
  inspectable(trace: Trace): void {
    const button = h("button", { type: "button", class: "quiet inspect", click: () => inspect(trace) }, "Inspect");
    button.title = "The chunks of this answer, and the command that makes the request";
    this.foot.append(button);
  }

  /** Asks for the results of the tools that the model has called. */
  askForResults(calls: ToolCall[], send: (results: ContentBlock[]) => void): void {
    this.foot.before(toolForm(calls, send));
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
        problem.message && h("p", { class: "problem-message" }, problem.message),
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
