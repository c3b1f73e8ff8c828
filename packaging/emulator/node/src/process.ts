//! The emulator as a process of its own, which ends with the one that started it.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { binary } from "./binary.js";
import { Emulator } from "./emulator.js";
import { type EmulatorError, NotReady } from "./errors.js";

/** How an emulator is started. */
export interface StartOptions {
  /** Flags of `bedrock-emulator`. */
  arguments?: readonly string[];
  /** The pauses of ordinary models, `FIRST,GAP` in milliseconds. Default: none. */
  pace?: string;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** A running process. It ends with `stop`, and when the process that started it ends, however that ends. */
export class Process extends Emulator {
  readonly pid: number;
  readonly #child: Child;
  readonly #written: { text: string };

  constructor(endpoint: string, child: Child, written: { text: string }) {
    super(endpoint);
    this.#child = child;
    this.#written = written;
    this.pid = child.pid ?? 0;
    // It does not keep the process of the test. When that ends, its side of standard input closes, and the emulator ends too.
    child.unref();
    for (const pipe of [child.stdin, child.stdout, child.stderr]) (pipe as unknown as Socket).unref();
  }

  /** Ends the process and waits for its end. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const ended = once(child, "exit");
    child.kill();
    const waited = new AbortController();
    const late = setTimeout(5_000, true, { signal: waited.signal, ref: false }).catch(() => false);
    if ((await Promise.race([ended.then(() => false), late])) === true) child.kill("SIGKILL");
    waited.abort();
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  protected override unreachable(error: Error): EmulatorError {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return super.unreachable(error);
    return notReady(this.#child, "has ended", this.#written.text);
  }
}

function notReady(child: Child, what: string, written: string): NotReady {
  const how = child.signalCode ? `with the signal ${child.signalCode}` : `with exit code ${child.exitCode}`;
  const wrote = written.trim() || "It wrote nothing to standard error.";
  return new NotReady(`the emulator ${what}, ${how}: ${child.spawnargs.join(" ")}\n${wrote}`);
}

/** Starts an emulator on a free loopback port. Rejects with `NotReady` if it does not start. */
export async function start({ arguments: more = [], pace = "0,0" }: StartOptions = {}): Promise<Process> {
  const flags = ["--listen", "127.0.0.1:0", "--exit-when-stdin-closes", "--pace", pace, ...more];
  const child = spawn(binary(), flags, { stdio: ["pipe", "pipe", "pipe"] });
  const written = { text: "" };
  child.stderr.setEncoding("utf8").on("data", (text) => {
    written.text += text;
  });
  // The emulator can end before its standard input is closed.
  child.stdin.on("error", () => {});
  const endpoint = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      said += text;
      const listening = /^listening on (\S+)\n/.exec(said);
      if (listening?.[1]) resolve(listening[1]);
    });
    child.once("error", (error) => reject(new NotReady(`${child.spawnfile} cannot be run: ${error.message}`, { cause: error })));
    child.once("close", () => reject(notReady(child, "did not start", written.text)));
  });
  return new Process(endpoint, child, written);
}
