#!/usr/bin/env node
//! The command `bedrock-emulator`: runs the program with the same arguments, and ends as it ends.

import { spawn } from "node:child_process";
import { binary } from "./binary.js";

const child = spawn(binary(), process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
