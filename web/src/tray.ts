// The attachments of the next prompt: chosen, pasted or dropped; shown above the form until they are sent.

import { imageUrl, size } from "./asked.js";
import { ACCEPT, type Attachment, attachment } from "./attachments.js";
import { byId, h } from "./dom.js";
import type { ContentBlock } from "./generated/outcrop/v1/content_pb.js";

const list = byId("tray");
let attached: Attachment[] = [];
/** Files are read one after the other, so that the limits count all of them. */
let reading: Promise<void> = Promise.resolve();

export const tray = {
  get empty() {
    return attached.length === 0;
  },
  /** Resolves when every file that was given is read. */
  ready: (): Promise<void> => reading,
  /** Gives away what is attached. */
  take(): ContentBlock[] {
    const blocks = attached.map(({ block }) => block);
    attached = [];
    show();
    return blocks;
  },
  listen(complain: (text: string) => void): void {
    const files = byId<HTMLInputElement>("files");
    files.accept = ACCEPT;
    byId("attach").addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      add([...(files.files ?? [])], complain);
      files.value = "";
    });
    byId("prompt").addEventListener("paste", (event) => {
      const pasted = [...((event as ClipboardEvent).clipboardData?.files ?? [])];
      if (pasted.length === 0) return;
      event.preventDefault();
      add(pasted, complain);
    });
    listenDrop(complain);
    byId("composer").addEventListener("reset", () => tray.take());
  },
};

function listenDrop(complain: (text: string) => void): void {
  const carries = (event: DragEvent) => !!event.dataTransfer?.types.includes("Files");
  const mark = (over: boolean) => document.body.classList.toggle("dropping", over);
  document.addEventListener("dragover", (event) => {
    if (!carries(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!carries(event)) return;
    // Otherwise the browser would leave the page and show the file.
    event.preventDefault();
    if (!document.querySelector("dialog[open]")) add([...(event.dataTransfer?.files ?? [])], complain);
  });
}

function add(files: File[], complain: (text: string) => void): void {
  reading = reading.then(async () => {
    const wrong: string[] = [];
    for (const file of files) {
      const made = await attachment(file, attached);
      if ("wrong" in made) wrong.push(made.wrong);
      else attached.push(made);
    }
    show();
    complain(wrong.join(" "));
  });
}

function show(): void {
  list.hidden = attached.length === 0;
  list.replaceChildren(...attached.map(item));
}

function item(one: Attachment): HTMLElement {
  const { name, kind, bytes, block } = one;
  const { block: inner } = block;
  const src = inner.case === "image" ? imageUrl(inner.value.format, bytesOf(block)) : "";
  const remove = h("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}` }, "Remove");
  remove.addEventListener("click", () => {
    attached = attached.filter((other) => other !== one);
    show();
    byId("attach").focus();
  });
  const label = h("span", {}, name, h("span", { class: "small" }, ` ${kind}, ${size(bytes)}`));
  return h("li", {}, src && h("img", { src, alt: "", class: "thumbnail" }), label, remove);
}

function bytesOf({ block }: ContentBlock): Uint8Array {
  const source = block.case === "image" ? block.value.source?.source : undefined;
  return source?.case === "bytes" ? source.value : new Uint8Array();
}
