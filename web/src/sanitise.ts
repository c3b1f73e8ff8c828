// HTML that the worker made -> nodes that are safe to show. The second of three walls: the worker escapes HTML, the page's
// Content-Security-Policy forbids scripts.
import DOMPurify from "dompurify";
import { copyButton, h } from "./dom.js";

const TAGS =
  "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong sub sup table tbody td th thead tr ul span".split(
    " ",
  );

/** Presentation MathML: no links, no HTML inside of it, no annotations. */
const MATHS =
  "math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none".split(
    " ",
  );
const MATHS_ATTRIBUTES =
  "accent accentunder columnalign columnspan depth display displaystyle fence form height largeop linethickness lspace mathvariant maxsize minsize movablelimits notation rowspan rspace scriptlevel separator stretchy symmetric voffset width".split(
    " ",
  );

DOMPurify.addHook("uponSanitizeAttribute", (_, attribute) => {
  // The classes of highlighted code and of formulas, and none of the page's own.
  if (attribute.attrName === "class")
    attribute.keepAttr = /^(?:maths|(?:(?:hljs|tml)-\S+|\w+_)(?: (?:(?:hljs|tml)-\S+|\w+_))*)$/.test(
      attribute.attrValue,
    );
});
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

export function sanitise(html: string): DocumentFragment {
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: [...TAGS, ...MATHS],
    ALLOWED_ATTR: ["href", "title", "start", "align", "data-lang", "class", ...MATHS_ATTRIBUTES],
    // Attributes that hold no address are not read as one.
    ADD_URI_SAFE_ATTR: ["start", "align", "data-lang", "class", ...MATHS_ATTRIBUTES],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    // Links of the page itself are none of an answer's.
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const pre of fragment.querySelectorAll("pre")) dress(pre);
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  // They scroll by themselves, also by keyboard.
  for (const formula of fragment.querySelectorAll<HTMLElement>(".maths")) formula.tabIndex = 0;
  return fragment;
}

/** A block of code gets its language and a button. */
function dress(pre: HTMLPreElement): void {
  const language = pre.dataset.lang?.split(/\s/)[0]?.slice(0, 24) ?? "";
  pre.tabIndex = 0;
  const frame = h("div", { class: "code" });
  pre.replaceWith(frame);
  const copy = copyButton("Copy this code", () => pre.textContent ?? "");
  frame.append(h("div", { class: "code-head" }, h("span", {}, language || "text"), copy), pre);
}
