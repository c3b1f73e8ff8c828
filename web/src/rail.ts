// The list of conversations, the theme, and on a phone the drawer that both are in.
import { byId, h } from "./dom.js";
import type { Entry } from "./list.js";

const rail = byId("rail");
const menu = byId<HTMLButtonElement>("menu");
const shade = byId("shade");
const theme = byId<HTMLButtonElement>("theme");
/** How long a button waits for the second click that deletes. */
const SURE_MS = 4000;
let shown = "";

/** A list that is shown already stays, with the focus that is in it and a button that waits for its second click. */
export function showList(entries: Entry[], current: string, searched: boolean, remove: (id: string) => void): void {
  const wanted = JSON.stringify([entries, current, searched]);
  if (wanted === shown) return;
  shown = wanted;
  const items = entries.map((entry) => item(entry, entry.id === current, remove));
  const none = h("li", { class: "none" }, searched ? "Nothing found" : "None yet");
  byId("list").replaceChildren(...(items.length > 0 ? items : [none]));
}

export function place(text: string): void {
  byId("place").textContent = text;
}

function item(
  { id, title, updated, branch, found }: Entry,
  current: boolean,
  remove: (id: string) => void,
): HTMLElement {
  const name = title.trim() || "Untitled";
  const day = updated > 0 && h("time", { datetime: new Date(updated).toISOString() }, when(updated));
  const link = h(
    "a",
    { href: `#${id}`, ...(current && { "aria-current": "page" }) },
    h("span", {}, name),
    found && h("q", {}, found),
    day,
    branch && h("small", {}, " · branch"),
  );
  const button = h("button", { type: "button", class: "quiet delete", "aria-label": `Delete ${name}` }, "Delete");
  button.addEventListener("click", () => {
    if (button.dataset.sure) return remove(id);
    button.dataset.sure = "yes";
    button.textContent = "Sure?";
    setTimeout(() => {
      delete button.dataset.sure;
      button.textContent = "Delete";
    }, SURE_MS);
  });
  return h("li", {}, link, button);
}

function when(time: number): string {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return today
    ? date.toLocaleTimeString("en", { hour: "numeric", minute: "2-digit" })
    : date.toLocaleDateString("en", { day: "numeric", month: "short" });
}

export function closeDrawer(): void {
  drawer(false);
}

function drawer(open: boolean): void {
  rail.classList.toggle("open", open);
  shade.hidden = !open;
  menu.setAttribute("aria-expanded", String(open));
}

/** Whether the page is dark now, by choice or by the system. */
function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheme(): void {
  theme.textContent = isDark() ? "Light theme" : "Dark theme";
}

export function listenRail(): void {
  menu.addEventListener("click", () => {
    drawer(!rail.classList.contains("open"));
    if (rail.classList.contains("open")) byId("new").focus();
  });
  shade.addEventListener("click", closeDrawer);
  rail.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !rail.classList.contains("open")) return;
    event.stopPropagation();
    closeDrawer();
    menu.focus();
  });
  theme.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // Then it holds until the page is closed.
    }
    nameTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  nameTheme();
}
