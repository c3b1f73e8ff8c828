// src/ -> dist/: what the server has inside. The same sources make the same bytes.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
const options = {
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};
await build({
  entryPoints: [
    "src/page.ts",
    "src/theme.ts",
    "src/markdown.ts",
    "src/lazy/maths.ts",
    "src/lazy/code.ts",
    "src/page.css",
  ],
  entryNames: "[name]",
  ...options,
});
for (const file of [
  "index.html",
  "icon.svg",
  "icon-192.png",
  "icon-512.png",
  "icon-maskable.png",
  "manifest.webmanifest",
]) {
  copyFileSync(`src/${file}`, `dist/${file}`);
}

// The service worker comes last, because it knows the hash of each of the others.
const hashes = readdirSync("dist")
  .sort()
  .map((name) => {
    const hash = createHash("sha256")
      .update(readFileSync(`dist/${name}`))
      .digest("base64");
    return [name === "index.html" ? "" : name, `sha256-${hash}`];
  });
const lazy = readdirSync("src/lazy").map((name) => name.replace(/\.ts$/, ".js"));
const version = createHash("sha256").update(JSON.stringify(hashes)).digest("hex").slice(0, 16);
await build({
  ...options,
  entryPoints: ["src/offline.ts"],
  define: {
    FILES: JSON.stringify(Object.fromEntries(hashes)),
    LAZY: JSON.stringify(lazy),
    VERSION: JSON.stringify(version),
  },
});
