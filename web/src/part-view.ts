// One part of an answer on the page: text, what the model thought, tools, pictures.
import type { Part } from "./answer.js";
import { imageUrl } from "./asked.js";
import { h } from "./dom.js";
import { Flow } from "./flow.js";

/** Shows a part as it is now. */
export type Show = (part: Part, ended: boolean) => void;
type Folded = Exclude<Part, { kind: "text" | "image" }>;

/** A longer text is not read as JSON, and only the end of a last line of thought is shown. */
const LONGEST_JSON = 100_000;
const LAST_LINE = 160;

export function partView(part: Part): [HTMLElement, Show] {
  if (part.kind === "text") {
    const flow = new Flow();
    return [flow.element, (now, ended) => now.kind === "text" && flow.update(now.text, ended)];
  }
  return part.kind === "image" ? imageView() : foldView();
}

function foldView(): [HTMLElement, Show] {
  const pre = h("pre", { tabindex: "0" });
  const name = h("span", {});
  const line = h("span", { class: "last-line", "aria-hidden": "true" });
  const fold = h("details", { class: "fold" }, h("summary", {}, name, line), pre);
  let shown = -1;
  const show: Show = (now, ended) => {
    if (now.kind === "text" || now.kind === "image") return;
    const thinks = now.kind === "reasoning" && !ended && now.until === undefined;
    const title = thinks ? `Thinking… ${Math.floor((performance.now() - now.since) / 1000)} s` : titleOf(now);
    if (name.textContent !== title) name.textContent = title;
    const last = thinks ? lastLine(now.text) : "";
    if (line.textContent !== last) line.textContent = last;
    if (now.text.length === shown) return;
    const more = now.kind === "reasoning" && shown > 0 ? now.text.slice(shown) : "";
    shown = now.text.length;
    // What was read of it stays selected.
    if (more) pre.append(more);
    else pre.textContent = textOf(now);
  };
  return [fold, show];
}

function titleOf(part: Folded): string {
  const names = { reasoning: "Reasoning", tool: "Tool", result: "Tool result", other: "Other" };
  if (part.kind === "reasoning") return part.hidden ? "Reasoning, encrypted by the provider" : names.reasoning;
  return part.name ? `${names[part.kind]}: ${part.name}` : names[part.kind];
}

const lastLine = (text: string) => text.slice(-2000).trimEnd().split("\n").at(-1)?.slice(-LAST_LINE) ?? "";

/** The input of a tool is JSON once it is whole. */
function textOf(part: Folded): string {
  if (part.kind === "reasoning") return part.hidden && !part.text ? "It cannot be read here." : part.text;
  if (part.text.length > LONGEST_JSON) return part.text;
  try {
    return JSON.stringify(JSON.parse(part.text), null, 2);
  } catch {
    return part.text;
  }
}

function imageView(): [HTMLElement, Show] {
  const frame = h("figure", {});
  let shown = false;
  const show: Show = (part, ended) => {
    if (part.kind !== "image" || shown || !(ended || part.whole)) return;
    shown = true;
    const caption = (text: string) => frame.replaceChildren(h("figcaption", {}, `Picture: ${text}`));
    const src = imageUrl(part.format, part.bytes);
    if (!src) return caption(part.note || part.format || "empty");
    const unreadable = () => caption(`${part.format}, which this browser cannot read`);
    frame.replaceChildren(h("img", { src, alt: "Picture from the model", error: unreadable }));
  };
  return [frame, show];
}
