// ../proto, and what web/proto adds to it, -> src/generated/: the contract as TypeScript.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";

rmSync("src/generated", { recursive: true, force: true });
for (const folder of ["../proto", "proto"]) {
  const template = JSON.stringify({
    version: "v2",
    plugins: [{ local: "node_modules/.bin/protoc-gen-es", out: "src/generated", opt: ["target=ts"] }],
  });
  execFileSync("node_modules/.bin/buf", ["generate", folder, "--template", template], { stdio: "inherit" });
}
