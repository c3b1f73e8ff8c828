// What an answer rests on, as a numbered list.
import { h } from "./dom.js";
import type { Citation } from "./generated/outcrop/v1/content_pb.js";

export function citationList(citations: Citation[]): HTMLElement {
  const items = citations.map((citation) => {
    const name = citation.title || citation.source || "Source";
    const quote = citation.sourceContent.map(({ text }) => text).join(" ");
    const source = citation.source !== name ? citation.source : "";
    const where = [source, place(citation)].filter(Boolean).join(", ");
    return h(
      "li",
      {},
      linked(citation, name),
      where && h("span", { class: "where" }, ` ${where}`),
      quote && h("q", {}, quote),
    );
  });
  return h("section", { class: "citations" }, h("h3", { class: "who" }, "Sources"), h("ol", {}, ...items));
}

/** The name of a source, as a link where it is on the web. */
function linked({ location }: Citation, name: string): HTMLElement {
  const url = location?.location.case === "web" ? location.location.value.url : "";
  if (!/^https?:\/\//i.test(url)) return h("cite", {}, name);
  return h("cite", {}, h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, name));
}

function place({ location }: Citation): string {
  const at = location?.location;
  const words = {
    documentChar: "characters",
    documentPage: "pages",
    documentChunk: "pieces",
    searchResultLocation: "pieces",
  };
  if (!at?.case) return "";
  if (at.case === "web") return at.value.domain;
  const { start, end } = at.value;
  return `${words[at.case]} ${start ?? "?"}–${end ?? "?"}`;
}
