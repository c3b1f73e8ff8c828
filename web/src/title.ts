// The title of a conversation, on the page and in the browser's own list of pages.
const PAGE = document.title;
/** Titles that are longer are cut by every browser. */
const LENGTH = 80;

export function showTitle(text: string): void {
  const line = text.replace(/\s+/g, " ").trim();
  const short = line.length > LENGTH ? `${line.slice(0, LENGTH - 1)}…` : line;
  document.title = short ? `${short} · Outcrop` : PAGE;
}
