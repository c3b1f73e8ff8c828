// The inspector: the chunks of an answer as they came, and the command that makes the same request.
import { byId, copyButton, h } from "./dom.js";
import type { Trace } from "./trace.js";

/** A longer request is a file, and not a part of the command. */
const LONGEST_COMMAND = 8_000;
/** How many chunks are shown at once. */
const PAGE = 500;
/** gRPC has no paths but those of its methods. */
const BELOW_PATH =
  " This page is below a path, where gRPC cannot be called: put the server's own address in its place.";
const METHOD = "outcrop.v1.GenerationService/Generate";

export function listenInspector(): void {
  const dialog = byId<HTMLDialogElement>("inspector");
  byId("inspector-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => byId("inspected").replaceChildren());
}

export function inspect(trace: Trace): void {
  const request = trace.json;
  const short = request.length <= LONGEST_COMMAND;
  const stored = trace.stored ? " It adds a turn to the conversation." : "";
  const below = location.pathname === "/" ? "" : BELOW_PATH;
  const shown = command(location, request, !byId("account").hidden);
  byId("inspected").replaceChildren(
    h(
      "div",
      { class: "inspector-bar" },
      h("h3", {}, "Request"),
      copyButton("Copy the command", () => shown),
      saveButton("request.json", () => request),
    ),
    h(
      "p",
      { class: "small" },
      `${short ? "The command makes the same request." : "The request is long: download it to where you run the command."}${stored}${below}`,
    ),
    h("pre", { tabindex: "0", class: "command" }, shown),
    ...chunkList(trace),
  );
  byId<HTMLDialogElement>("inspector").showModal();
}

/** The grpcurl command. It names the variable that has the key, because no script can read the key. */
export function command({ protocol, hostname, port }: Location, request: string, signedIn: boolean): string {
  const plain = protocol === "http:" ? ["-plaintext"] : [];
  const key = signedIn ? ['-H "authorization: Bearer $OUTCROP_API_KEY"'] : [];
  const address = `${hostname}:${port || (protocol === "http:" ? "80" : "443")}`;
  const call = ["grpcurl", ...plain, ...key, "-d @", address, METHOD].join(" ");
  // JSON has its line ends escaped, so no line of it ends the document before its time.
  return request.length <= LONGEST_COMMAND ? `${call} <<'REQUEST'\n${request}\nREQUEST` : `${call} < request.json`;
}

function chunkList(trace: Trace): HTMLElement[] {
  const { chunks, left } = trace;
  const box = h("pre", { tabindex: "0", class: "chunks" });
  let shown = 0;
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  const show = () => {
    const lines = trace.lines(shown, shown + PAGE);
    box.append(lines.map((line) => `${line}\n`).join(""));
    shown += lines.length;
    more.hidden = shown >= chunks.length;
  };
  more.addEventListener("click", show);
  show();
  const title = left > 0 ? `The first ${chunks.length} of ${chunks.length + left} chunks` : `Chunks: ${chunks.length}`;
  const all = () => `${trace.lines().join("\n")}\n`;
  const bar = h(
    "div",
    { class: "inspector-bar" },
    h("h3", {}, title),
    copyButton("Copy the chunks", all),
    saveButton("chunks.ndjson", all),
  );
  return [bar, box, more];
}

function saveButton(name: string, text: () => string): HTMLButtonElement {
  const button = h("button", { type: "button", class: "quiet" }, `Download ${name}`);
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([text()], { type: "application/json" }));
    h("a", { href: address, download: name }).click();
    // The browser has to read it first.
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  });
  return button;
}
