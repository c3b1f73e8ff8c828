// The contract, the error details and their envelope -> src/generated/, as TypeScript.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";

rmSync("src/generated", { recursive: true, force: true });
for (const folder of ["../../proto", "../../web/proto", "proto"]) {
  const template = JSON.stringify({
    version: "v2",
    plugins: [{ local: "node_modules/.bin/protoc-gen-es", out: "src/generated", opt: ["target=ts", "import_extension=js"] }],
  });
  execFileSync("node_modules/.bin/buf", ["generate", folder, "--template", template], { stdio: "inherit" });
}
