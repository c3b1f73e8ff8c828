// In the Markdown worker: the formulas of an answer, between `$`, `$$`, `\(` and `\[`.
import type { MarkedExtension, Tokens } from "marked";
import { mathml } from "./lazy.js";

/** A block of a formula that has not ended yet may have so many characters; a longer one is text. */
const LONGEST_OPEN = 4000;

/** Whether a text may have formulas at all. */
export const mayHaveMaths = (text: string) => /\$|\\[([]/.test(text);

const INLINE = [
  /^\$\$((?:\\[\s\S]|[^\\$]){1,4000})\$\$/,
  // As in Pandoc: no space inside of the signs, no code between them and no digit after them, so that prices stay prices.
  /^\$(?![\s$])((?:\\[^\n]|[^\\$`\n]){1,1000})(?<!\s)\$(?!\d)/,
  /^\\\(((?:\\(?!\))|[^\\]){1,1000})\\\)/,
  /^\\\[((?:\\(?!\])|[^\\]){1,4000})\\\]/,
];
const BLOCK = [
  /^ {0,3}\$\$((?:\\[\s\S]|[^\\$]){1,4000})\$\$[ \t]*(?:\n+|$)/,
  /^ {0,3}\\\[((?:\\(?!\])|[^\\]){1,4000})\\\][ \t]*(?:\n+|$)/,
];

/** The extension of the reader of Markdown; `last` tells whether no more text comes. */
export function maths(escaped: (text: string) => string, last: () => boolean): MarkedExtension {
  const show = (token: Tokens.Generic, display: boolean) =>
    mathml(token.tex, display) ?? `<code>${escaped(token.raw.trim())}</code>`;
  return {
    extensions: [
      {
        name: "formulaBlock",
        level: "block",
        start: (text) => text.match(/\n {0,3}(?:\$\$|\\\[)/)?.index,
        tokenizer(text) {
          const found = matched(BLOCK, text);
          if (found) return { type: "formulaBlock", ...found };
          // Of a formula that is still written nothing is settled, so that an empty line does not end it.
          if (last() || text.length > LONGEST_OPEN || !/^ {0,3}(?:\$\$|\\\[)/.test(text)) return undefined;
          return { type: "formulaBlock", raw: text, tex: "" };
        },
        renderer: (token) => `<p class="maths">${token.tex ? show(token, true) : escaped(token.raw)}</p>\n`,
      },
      {
        name: "formula",
        level: "inline",
        start: (text) => text.match(/\$|\\[([]/)?.index,
        tokenizer(text) {
          const found = matched(INLINE, text);
          return found && { type: "formula", ...found };
        },
        renderer: (token) => show(token, /^(?:\$\$|\\\[)/.test(token.raw)),
      },
    ],
  };
}

function matched(rules: RegExp[], text: string): { raw: string; tex: string } | undefined {
  for (const rule of rules) {
    const found = rule.exec(text);
    const tex = found?.[1]?.trim();
    if (found && tex) return { raw: found[0], tex };
  }
  return undefined;
}
