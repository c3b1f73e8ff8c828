// What was asked, on the page: the prompt, what was attached to it, and the results of tools.
import { toJsonString } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { h } from "./dom.js";
import type { ContentBlock, ToolResultBlock } from "./generated/outcrop/v1/content_pb.js";

/** A prompt of more characters is shown in part. */
const LONG_PROMPT = 2_000;
/** How many bytes are made to text at once. */
const PIECE = 0x8000;

export function askedView(prompt: string, blocks: ContentBlock[]): HTMLElement {
  const results = blocks.some(({ block }) => block.case === "toolResult");
  const attached = blocks.flatMap((block) => attachedView(block) ?? []);
  return h(
    "section",
    { class: "asked" },
    h("h2", { class: "who" }, results ? "Results of tools" : "You"),
    prompt && promptView(prompt),
    attached.length > 0 && h("ul", { class: "attached" }, ...attached.map((view) => h("li", {}, view))),
  );
}

/** The address of a picture that is here; empty if no browser can show it. */
export function imageUrl(format: string, bytes: Uint8Array): string {
  if (!["png", "jpeg", "gif", "webp"].includes(format) || bytes.length === 0) return "";
  let binary = "";
  for (let at = 0; at < bytes.length; at += PIECE) binary += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  return `data:image/${format};base64,${btoa(binary)}`;
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function attachedView({ block }: ContentBlock): HTMLElement | undefined {
  switch (block.case) {
    case "image": {
      const { source } = block.value.source ?? {};
      const src = source?.case === "bytes" ? imageUrl(block.value.format, source.value) : "";
      return src
        ? h("img", { src, alt: "Attached picture", class: "thumbnail" })
        : file("Picture", block.value.format, 0);
    }
    case "document": {
      const { source } = block.value.source ?? {};
      return file(block.value.name, block.value.format, source?.case === "bytes" ? source.value.length : 0);
    }
    case "video":
    case "audio": {
      const { source } = block.value.source ?? {};
      const name = block.case === "video" ? "Video" : "Recording";
      return file(name, block.value.format, source?.case === "bytes" ? source.value.length : 0);
    }
    case "toolResult":
      return resultView(block.value);
    case "cachePoint":
      return h("span", { class: "small" }, "Cached up to here");
    default:
      return undefined;
  }
}

const file = (name: string, format: string, bytes: number) =>
  h(
    "span",
    { class: "file" },
    h("strong", {}, name),
    ` ${[format, bytes > 0 && size(bytes)].filter(Boolean).join(", ")}`,
  );

function resultView({ content, status }: ToolResultBlock): HTMLElement {
  const texts = content.map(({ block }) => {
    if (block.case === "text" || block.case === "jsonText") return block.value;
    return block.case === "json" ? toJsonString(ValueSchema, block.value) : `(${block.case ?? "unknown"})`;
  });
  const title = status === "error" ? "The tool failed" : "Result";
  return h("details", { class: "fold" }, h("summary", {}, title), h("pre", { tabindex: "0" }, texts.join("\n")));
}

function promptView(prompt: string): HTMLElement {
  const text = h("div", { class: "prompt" }, prompt.slice(0, LONG_PROMPT));
  if (prompt.length <= LONG_PROMPT) return text;
  const more = h(
    "button",
    { type: "button", class: "quiet" },
    `Show all ${prompt.length.toLocaleString("en")} characters`,
  );
  more.addEventListener("click", () => {
    text.textContent = prompt;
    more.remove();
  });
  return h("div", {}, text, more);
}
