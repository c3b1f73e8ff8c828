//! Where the program is: in the optional package of this platform.

import { createRequire } from "node:module";
import { NotReady } from "./errors.js";

/** The program of this platform, or the one that `BEDROCK_EMULATOR_BINARY` names. */
export function binary(): string {
  const named = process.env["BEDROCK_EMULATOR_BINARY"];
  if (named) return named;
  const name = `bedrock-emulator-${process.platform}-${process.arch}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bedrock-emulator`);
  } catch (error) {
    const why = "It is an optional dependency: installing with --omit=optional, or node_modules of another platform, leaves it out.";
    throw new NotReady(`the package ${name} is not installed. ${why}`, { cause: error });
  }
}
