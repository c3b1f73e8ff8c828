// Turns the documents of the repository into the pages of a web site, and finds links that lead nowhere.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path/posix";
import { renderMermaidSVG } from "beautiful-mermaid";
import GithubSlugger from "github-slugger";
import { Marked } from "marked";

const INDEX = "docs/README.md";

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** The page of a document: `index.html` for the README, `quotas.html` for `docs/quotas.md`, `emulator-readme.html` for `emulator/README.md`. */
export function pageOf(document) {
  if (document === "README.md") return "index.html";
  if (document === INDEX) return "documents.html";
  const name = document.replace(/^docs\//, "").replace(/\.md$/, "");
  return `${name.replaceAll("/", "-").toLowerCase()}.html`;
}

/** The groups of the index, each with the links to its documents. */
export function navigation(root) {
  const groups = [];
  for (const line of readFileSync(join(root, INDEX), "utf8").split("\n")) {
    const link = /^- \[([^\]]+)\]\(([^)#]+\.md)\)/.exec(line);
    if (line.startsWith("## ")) groups.push({ title: line.slice(3), links: [] });
    else if (link) groups.at(-1).links.push({ title: link[1], document: normalize(join("docs", link[2])) });
  }
  return groups;
}

/** Diagrams take the colours of the page, and no font from elsewhere. */
function diagram(text) {
  const svg = renderMermaidSVG(text, {
    accent: "var(--accent)",
    bg: "var(--paper)",
    border: "var(--line)",
    fg: "var(--ink)",
    line: "var(--quiet)",
    muted: "var(--ink)",
    transparent: true,
  });
  return `<figure tabindex="0">${svg.replaceAll(/@import url\([^)]*\);/g, "")}</figure>\n`;
}

/** One document as HTML, with the anchors and links that it has. `broken` takes what cannot be resolved. */
export function render(root, document, { pages, source, broken }) {
  const slugger = new GithubSlugger();
  const anchors = new Set();
  const links = [];
  const assets = new Set();
  let title;

  /** The address of a target within the site, in the repository, or elsewhere; without a repository none for its other files. */
  const address = (href) => {
    if (/^(https?|mailto):/.test(href)) return href;
    const [path, anchor] = href.split("#");
    const target = path === "" ? document : normalize(join(dirname(document), path));
    if (target.startsWith("..") || !existsSync(join(root, target))) {
      broken.push(`${document}: ${href} does not exist`);
      return undefined;
    }
    if (pages.has(target)) {
      links.push({ anchor, document, href, target });
      return path === "" ? `#${anchor}` : pageOf(target) + (anchor ? `#${anchor}` : "");
    }
    return source && `${source}/${target}`;
  };
  const renderer = {
    code({ text, lang }) {
      if (lang === "mermaid") return diagram(text);
      return `<pre tabindex="0"><code${lang ? ` class="language-${escaped(lang)}"` : ""}>${escaped(text)}</code></pre>\n`;
    },
    heading({ tokens, depth, text }) {
      const inner = this.parser.parseInline(tokens);
      const id = slugger.slug(
        this.parser.parseInline(tokens, this.parser.textRenderer).replaceAll(/&(\w+|#\d+);/g, ""),
      );
      title ??= text;
      anchors.add(id);
      return `<h${depth} id="${id}"><a href="#${id}">${inner}</a></h${depth}>\n`;
    },
    image({ href, text }) {
      const target = normalize(join(dirname(document), href));
      if (!existsSync(join(root, target))) broken.push(`${document}: ${href} does not exist`);
      assets.add(target);
      return `<img src="${relative("docs", target)}" alt="${escaped(text)}">`;
    },
    link({ href, tokens }) {
      const to = address(href);
      const inner = this.parser.parseInline(tokens);
      return to ? `<a href="${escaped(to)}">${inner}</a>` : inner;
    },
    table({ header, rows }) {
      // A heading without text is a cell: readers of screens would announce it.
      const cell = ({ text, tokens }, tag) =>
        `<${text ? tag : "td"}>${this.parser.parseInline(tokens)}</${text ? tag : "td"}>`;
      const row = (cells, tag) => `<tr>${cells.map((each) => cell(each, tag)).join("")}</tr>\n`;
      const body = rows.map((cells) => row(cells, "td")).join("");
      return `<div class="table" tabindex="0"><table><thead>${row(header, "th")}</thead><tbody>${body}</tbody></table></div>\n`;
    },
  };
  const html = new Marked({ renderer }).parse(readFileSync(join(root, document), "utf8"));
  return { anchors, assets, document, html, links, title };
}

/** All pages. Throws with the list of everything that leads nowhere. */
export function build(root, source) {
  const groups = navigation(root);
  const documents = groups.flatMap(({ links }) => links.map(({ document }) => document));
  const broken = [];
  const twice = documents.filter((document, at) => documents.indexOf(document) !== at);
  broken.push(...twice.map((document) => `${INDEX} has ${document} twice`));
  const present = (document) => existsSync(join(root, document)) && statSync(join(root, document)).isFile();
  const absent = documents.filter((document) => !present(document));
  broken.push(...absent.map((document) => `${INDEX}: ${document} does not exist`));
  const pages = new Set([...documents, INDEX].filter(present));
  const rendered = [...pages].map((document) => render(root, document, { broken, pages, source }));
  const anchors = new Map(rendered.map((page) => [page.document, page.anchors]));
  for (const { anchor, document, href, target } of rendered.flatMap(({ links }) => links))
    if (anchor && !anchors.get(target).has(anchor)) broken.push(`${document}: ${href} has no such heading`);
  if (broken.length > 0) throw new Error(`These links lead nowhere:\n${broken.join("\n")}`);
  return { groups, rendered };
}

/** A whole page. */
export function whole({ document, html, title }, groups) {
  const entry = (link) => {
    const here = link.document === document ? ' aria-current="page"' : "";
    return `<li><a href="${pageOf(link.document)}"${here}>${escaped(link.title)}</a></li>`;
  };
  const lists = groups.map((group) => `<h2>${escaped(group.title)}</h2>\n<ul>${group.links.map(entry).join("")}</ul>`);
  const name = title === "Outcrop" ? title : `${title} · Outcrop`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(name.replaceAll("`", ""))}</title>
<link rel="stylesheet" href="site.css">
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<nav aria-label="Documents"><a class="name" href="index.html">Outcrop</a>
${lists.join("\n")}
</nav>
<main id="content">
${html}</main>
</body>
</html>
`;
}
