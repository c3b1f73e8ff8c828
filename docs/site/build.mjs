// Builds the documents as a web site in target/site: `npm --prefix docs/site run build`. OUTCROP_SOURCE is the address under which the files of the
// repository can be read, such as https://github.com/OWNER/outcrop/blob/main; without it links to files that are no documents are plain text.
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, pageOf, whole } from "./site.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const output = join(root, "target/site");

try {
  const { groups, rendered } = build(root, process.env.OUTCROP_SOURCE);
  const listed = new Set(rendered.map(({ document }) => document));
  const missing = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md") && !listed.has(`docs/${name}`));
  if (missing.length > 0) throw new Error(`docs/README.md does not list ${missing.join(", ")}`);
  rmSync(output, { force: true, recursive: true });
  mkdirSync(output, { recursive: true });
  for (const page of rendered) {
    writeFileSync(join(output, pageOf(page.document)), whole(page, groups));
    for (const asset of page.assets) copyFileSync(join(root, asset), join(output, basename(asset)));
  }
  copyFileSync(join(dirname(fileURLToPath(import.meta.url)), "site.css"), join(output, "site.css"));
  const links = rendered.reduce((sum, page) => sum + page.links.length, 0);
  console.log(`target/site: ${rendered.length} pages, ${links} links between them`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
