// Modules of the page, for tests that need no browser.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { require } from "./harness.mjs";

const web = fileURLToPath(new URL("../../web", import.meta.url));

/** What a module exports that is written in TypeScript, with the imports of a file in `web/src`. */
export async function modules(contents) {
  const { build } = require("esbuild");
  const stdin = { contents, resolveDir: join(web, "src"), loader: "ts" };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "esm", platform: "node" });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
