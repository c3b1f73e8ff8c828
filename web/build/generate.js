// proto/ -> src/generated/: the contract as TypeScript. OUTCROP_PROTO names another folder than ../proto.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";

const contract = process.env.OUTCROP_PROTO || "../proto";
rmSync("src/generated", { recursive: true, force: true });
for (const folder of [contract, "proto"]) {
  const template = JSON.stringify({
    version: "v2",
    plugins: [{ local: "node_modules/.bin/protoc-gen-es", out: "src/generated", opt: ["target=ts"] }],
  });
  execFileSync("node_modules/.bin/buf", ["generate", folder, "--template", template], { stdio: "inherit" });
}
