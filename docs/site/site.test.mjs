// Links that lead nowhere stop the build; everything else becomes a page.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { build, pageOf, whole } from "./site.mjs";

const folders = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A repository with these documents; the index lists `docs/a.md`. */
function repository(documents) {
  const root = mkdtempSync(join(tmpdir(), "outcrop-site-"));
  folders.push(root);
  const all = { "docs/README.md": "# Index\n\n## Group\n\n- [A](a.md): the first.\n", "src/lib.rs": "", ...documents };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const built = (documents, source) => build(repository(documents), source);
const page = ({ rendered }) => rendered.find(({ document }) => document === "docs/a.md");

test("a link to a file or a heading that does not exist stops the build, and all are named", () => {
  const text = "# A\n\n[b](b.md) [c](#c) [d](../src/d.rs) [e](README.md#none) ![f](f.png) [out](../../out.md)\n";
  assert.throws(
    () => built({ "docs/a.md": text }),
    ({ message }) =>
      ["b.md", "#c", "../src/d.rs", "README.md#none", "f.png", "../../out.md"].every((link) => message.includes(link)),
  );
});

test("a document that the index names and that does not exist stops the build", () => {
  assert.throws(() => built({}), /docs\/a\.md does not exist/);
});

test("a document that the index names twice stops the build", () => {
  const index = "# Index\n\n## Group\n\n- [A](a.md): one.\n- [A](a.md): two.\n";
  assert.throws(() => built({ "docs/README.md": index, "docs/a.md": "# A\n" }), /docs\/a\.md twice/);
});

test("headings have the anchors that GitHub gives them, also for code and for repeated ones", () => {
  const text = "# A\n\n## `ok` & so on, at once\n\n## Twice\n\n## Twice\n\n[1](#ok--so-on-at-once) [2](#twice-1)\n";
  assert.deepEqual([...page(built({ "docs/a.md": text })).anchors], ["a", "ok--so-on-at-once", "twice", "twice-1"]);
});

test("links to other files lead to the repository, or are text if it has no address", () => {
  const documents = { "docs/a.md": "# A\n\n[code](../src/lib.rs)\n" };
  assert.match(
    page(built(documents, "https://example.com/blob/main")).html,
    /href="https:\/\/example\.com\/blob\/main\/src\/lib\.rs"/,
  );
  assert.match(page(built(documents)).html, /<p>code<\/p>/);
});

test("code is escaped, and a diagram becomes a picture that loads nothing from elsewhere", () => {
  const { html } = page(
    built({ "docs/a.md": "# A\n\n```\n<b>&\n```\n\n```mermaid\nflowchart LR\n  a[one] --> b[two]\n```\n" }),
  );
  assert.match(html, /<code>&lt;b&gt;&amp;/);
  assert.match(html, /<svg[\s\S]*one[\s\S]*two/);
  assert.doesNotMatch(html, /@import|url\(['"]?http/);
});

test("what can be wider than the screen is reached with the keyboard, and an empty heading is no heading", () => {
  const text = "# A\n\n```\ncode\n```\n\n| | b |\n|---|---|\n| 1 | 2 |\n\n```mermaid\nflowchart LR\n  a --> b\n```\n";
  const { html } = page(built({ "docs/a.md": text }));
  for (const start of ["<pre", '<div class="table"', "<figure"]) assert(html.includes(`${start} tabindex="0">`), start);
  assert(html.includes("<thead><tr><td></td><th>b</th></tr>"), html);
});

test("a page has the list of all documents and marks itself", () => {
  const { groups, rendered } = built({ "docs/a.md": "# A `b`\n" });
  const html = whole(
    rendered.find(({ document }) => document === "docs/a.md"),
    groups,
  );
  assert.match(html, /<title>A b · Outcrop<\/title>/);
  assert.match(html, /<a href="a\.html" aria-current="page">A<\/a>/);
  assert.deepEqual(["README.md", "docs/README.md", "emulator/README.md", "CHANGELOG.md"].map(pageOf), [
    "index.html",
    "documents.html",
    "emulator-readme.html",
    "changelog.html",
  ]);
});
