// The title of a conversation, on the page and in the browser's own list of pages.
const PAGE = document.title;
/** Titles that are longer are cut by every browser. In characters as a reader counts them, or nearly. */
const LENGTH = 80;
/** Line ends, escapes of terminals, and characters that turn the direction of the words behind them. */
const CONTROLS = /[\s\p{Cc}\p{Bidi_Control}]+/gu;

export function showTitle(text: string): void {
  // Of a prompt of a megabyte the beginning is enough.
  const line = [
    ...text
      .slice(0, 10 * LENGTH)
      .replace(CONTROLS, " ")
      .trim(),
  ];
  const short = line.length > LENGTH ? `${line.slice(0, LENGTH - 1).join("")}…` : line.join("");
  document.title = short ? `${short} · Outcrop` : PAGE;
}
