// A worker: Markdown -> HTML, away from the page, so that no text can hold the page up. What it makes is not trusted either:
// the page sanitises it (sanitise.ts) and ends a worker that takes too long (renderer.ts).
import { Marked, type Token, type Tokens } from "marked";

/** Deeper than anything meant to be read. */
const MAX_DEPTH = 24;

export type Job = { text: string; last: boolean };
/** Blocks that further text cannot change, the length of their source, and the block that is still being written. */
export type Made = { settled: string; length: number; open: string } | { plain: true };

const marked = new Marked({
  gfm: true,
  renderer: {
    // HTML in an answer is shown and not run.
    html: ({ text }) => escaped(text),
    // A picture from elsewhere would tell its host who reads.
    image: ({ href, text }) => `<a href="${escaped(href)}">Image: ${escaped(text || href)}</a>`,
    code: ({ text, lang }) => `<pre data-lang="${escaped(lang ?? "")}"><code>${escaped(text)}</code></pre>\n`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // h1 and h2 are the page's own.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
  },
});

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

function render({ text, last }: Job): Made {
  const tokens = marked.lexer(text);
  if (tooDeep(tokens, MAX_DEPTH)) return { plain: true };
  const keep = last ? tokens.length : tokens.findLastIndex((token) => token.type !== "space");
  const settled = tokens.slice(0, Math.max(keep, 0));
  const length = settled.reduce((sum, token) => sum + token.raw.length, 0);
  // The lexer writes line ends in one way; then lengths are not those of the source.
  const told = text.startsWith(settled.map((token) => token.raw).join("")) ? length : 0;
  if (!told) return { settled: "", length: 0, open: marked.parser(tokens) };
  return { settled: marked.parser(settled), length: told, open: marked.parser(tokens.slice(settled.length)) };
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
