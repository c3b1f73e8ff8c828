// A worker: Markdown -> HTML, away from the page, so that no text can hold the page up. What it makes is not trusted either:
// the page sanitises it (sanitise.ts) and ends a worker that takes too long (renderer.ts).
import { Marked, type MarkedExtension, type Token, type Tokens } from "marked";
import { highlight } from "./lazy.js";
import { maths, mayHaveMaths } from "./maths.js";

/** Deeper than anything meant to be read. */
const MAX_DEPTH = 24;

export type Job = { text: string; last: boolean };
/** Blocks that further text cannot change, the length of their source, and the block that is still being written. */
export type Made = { settled: string; length: number; open: string } | { plain: true };

/** What is being rendered: whether no more text comes, and whether this block can still grow. */
const now = { last: false, open: false };

const rules: MarkedExtension = {
  gfm: true,
  renderer: {
    // HTML in an answer is shown and not run.
    html: ({ text }) => escaped(text),
    // A picture from elsewhere would tell its host who reads.
    image: ({ href, text }) => `<a href="${escaped(href)}">Image: ${escaped(text || href)}</a>`,
    code({ text, lang }) {
      const language = lang?.split(/\s/)[0]?.toLowerCase() ?? "";
      const shown = highlight(text, language, now.open) ?? escaped(text);
      return `<pre data-lang="${escaped(lang ?? "")}"><code>${shown}</code></pre>\n`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // h1 and h2 are the page's own.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
  },
};
const plain = new Marked(rules);
const withMaths = new Marked(
  rules,
  maths(escaped, () => now.last),
);

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

function render({ text: whole, last }: Job): Made {
  const text = last ? whole : wholeRows(whole);
  const marked = mayHaveMaths(text) ? withMaths : plain;
  now.last = last;
  now.open = !last;
  const tokens = marked.lexer(text);
  if (tooDeep(tokens, MAX_DEPTH)) return { plain: true };
  const keep = last ? tokens.length : tokens.findLastIndex((token) => token.type !== "space");
  const settled = tokens.slice(0, Math.max(keep, 0));
  const length = settled.reduce((sum, token) => sum + token.raw.length, 0);
  // The lexer writes line ends in one way; then lengths are not those of the source.
  const told = text.startsWith(settled.map((token) => token.raw).join("")) ? length : 0;
  if (!told) return { settled: "", length: 0, open: marked.parser(tokens) };
  const open = marked.parser(tokens.slice(settled.length));
  now.open = false;
  return { settled: marked.parser(settled), length: told, open };
}

/** The text without the row of a table that is still written, and without a head before the line below it: each would be shown as text. */
function wholeRows(text: string): string {
  const at = text.lastIndexOf("\n") + 1;
  const rows = /^\s*\|/.test(text.slice(at)) ? text.slice(0, at) : text;
  if (!rows.endsWith("\n")) return rows;
  const head = rows.lastIndexOf("\n", rows.length - 2) + 1;
  const before = rows.slice(rows.lastIndexOf("\n", head - 2) + 1, head);
  return /^\s*\|/.test(rows.slice(head)) && !/^\s*\|/.test(before) ? rows.slice(0, head) : rows;
}

function tooDeep(tokens: Token[], left: number): boolean {
  if (left === 0) return true;
  return tokens.some((token) => {
    const inner = [...((token as Tokens.Generic).tokens ?? []), ...((token as Tokens.List).items ?? [])];
    return inner.length > 0 && tooDeep(inner, left - 1);
  });
}

addEventListener("message", ({ data }: MessageEvent<Job>) => {
  let made: Made;
  try {
    made = render(data);
    // Far more HTML than text is no answer but an attack.
    if (!("plain" in made) && made.settled.length + made.open.length > 20 * data.text.length + 10_000)
      made = { plain: true };
  } catch {
    made = { plain: true };
  }
  postMessage(made);
});
