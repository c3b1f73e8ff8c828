// Files -> content blocks of a prompt, with the limits of Bedrock.
import { create } from "@bufbuild/protobuf";
import { size } from "./asked.js";
import { type ContentBlock, ContentBlockSchema } from "./generated/outcrop/v1/content_pb.js";

type Kind = "image" | "document" | "video" | "audio";
export type Attachment = { name: string; kind: Kind; bytes: number; block: ContentBlock };

/** The formats of Bedrock, by the ends of file names. */
const FORMATS: Record<Kind, Record<string, string>> = {
  image: { png: "png", jpg: "jpeg", jpeg: "jpeg", gif: "gif", webp: "webp" },
  document: same("pdf csv doc docx xls xlsx html txt md"),
  video: { ...same("mkv mov mp4 webm flv mpeg mpg wmv"), "3gp": "three_gp" },
  audio: same("mp3 opus wav aac flac ogg mka m4a mpga pcm"),
};
/** What may be in a file besides what its name says: texts of programs are documents. */
const TEXT = /^(?:text\/|application\/(?:json|xml|yaml|toml|sql|javascript|x-sh))/;
/** The most bytes of a file, and the most files of a kind in a message. */
const LIMITS: Record<Kind, { bytes: number; files: number }> = {
  image: { bytes: 3_750_000, files: 20 },
  document: { bytes: 4_500_000, files: 5 },
  video: { bytes: 25_000_000, files: 1 },
  audio: { bytes: 25_000_000, files: 1 },
};
/** The most bytes of all files of a message: the server's default is 32 MiB for a request, with the history in it. */
const MOST_BYTES = 28_000_000;

/** What the field for files takes. */
export const ACCEPT = `${Object.values(FORMATS)
  .flatMap((formats) => Object.keys(formats).map((end) => `.${end}`))
  .join()},text/*`;

/** A file as a content block, or why it cannot be one. */
export async function attachment(file: File, others: Attachment[]): Promise<Attachment | { wrong: string }> {
  const { kind, format } = kindOf(file);
  const name = file.name || "pasted";
  if (!kind)
    return { wrong: `${name}: models take images, documents, videos and recordings, and this is none of them.` };
  const most = LIMITS[kind];
  const alike = others.filter((other) => other.kind === kind);
  const total = others.reduce((sum, { bytes }) => sum + bytes, file.size);
  if (file.size === 0) return { wrong: `${name} is empty.` };
  if (file.size > most.bytes)
    return { wrong: `${name} has ${size(file.size)}. Bedrock takes at most ${size(most.bytes)} of ${plural(kind)}.` };
  if (alike.length >= most.files)
    return { wrong: `${name}: Bedrock takes at most ${most.files} ${plural(kind)} in a prompt.` };
  if (total > MOST_BYTES)
    return {
      wrong: `${name}: all attachments together would have ${size(total)}. At most ${size(MOST_BYTES)} can be sent.`,
    };
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const taken = new Set(alike.map((other) => other.name));
    const told = kind === "document" ? documentName(name, taken) : name;
    return { name: told, kind, bytes: file.size, block: blockOf(kind, format, told, bytes) };
  } catch {
    return { wrong: `${name} cannot be read. Was it moved or changed?` };
  }
}

function kindOf({ name, type }: File): { kind: Kind | undefined; format: string } {
  const end = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? "";
  for (const [kind, formats] of Object.entries(FORMATS) as [Kind, Record<string, string>][]) {
    const format = formats[end];
    if (format) return { kind, format };
  }
  // What is pasted may have no name.
  const image = FORMATS.image[/^image\/(\w+)$/.exec(type)?.[1] ?? ""];
  if (image) return { kind: "image", format: image };
  return TEXT.test(type) ? { kind: "document", format: "txt" } : { kind: undefined, format: "" };
}

function blockOf(kind: Kind, format: string, name: string, bytes: Uint8Array): ContentBlock {
  const source = { source: { case: "bytes", value: bytes } } as const;
  const block =
    kind === "document" ? { case: kind, value: { format, name, source } } : { case: kind, value: { format, source } };
  return create(ContentBlockSchema, { block } as Parameters<typeof create<typeof ContentBlockSchema>>[1]);
}

/** A name with the characters that Bedrock allows; two documents of a message have different ones. */
function documentName(file: string, taken: Set<string>): string {
  const allowed = file
    .replace(/\.[^.]*$/, "")
    .replace(/[^\p{L}\p{N}\s()[\]-]+/gu, "-")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 180);
  const name = allowed || "document";
  let number = 2;
  let free = name;
  while (taken.has(free)) {
    free = `${name} (${number})`;
    number += 1;
  }
  return free;
}

const plural = (kind: Kind) => ({ image: "images", document: "documents", video: "videos", audio: "recordings" })[kind];

function same(ends: string): Record<string, string> {
  return Object.fromEntries(ends.split(" ").map((end) => [end, end]));
}
