// The list of conversations, the theme, and on a phone the drawer that both are in.
import { byId, h } from "./dom.js";
import type { Entry } from "./list.js";

const rail = byId("rail");
const menu = byId<HTMLButtonElement>("menu");
const shade = byId("shade");
const theme = byId<HTMLButtonElement>("theme");
/** How long a button waits for the second click that deletes. */
const SURE_MS = 4000;
/** What stands in the list, by conversation. */
let items = new Map<string, Item>();

/** Each conversation keeps its element, with the focus that is in it and a button that waits for its second click. */
export function showList(entries: Entry[], current: string, searched: boolean, remove: (id: string) => void): void {
  const place = byId("list");
  const focused = document.activeElement;
  const before = items;
  items = new Map(entries.map(({ id }) => [id, before.get(id) ?? new Item(id, remove)]));
  for (const entry of entries) items.get(entry.id)?.show(entry, entry.id === current);
  const none = h("li", { class: "none" }, searched ? "Nothing found" : "None yet");
  const wanted = new Set<Element>(entries.length > 0 ? [...items.values()].map(({ element }) => element) : [none]);
  for (const old of [...place.children]) if (!wanted.has(old)) old.remove();
  [...wanted].forEach((element, index) => {
    if (place.children[index] !== element) place.insertBefore(element, place.children[index] ?? null);
  });
  // An element that was moved has lost it.
  if (focused instanceof HTMLElement && place.contains(focused)) focused.focus({ preventScroll: true });
}

export function place(text: string): void {
  byId("place").textContent = text;
}

class Item {
  private readonly link: HTMLAnchorElement;
  private readonly button = h("button", { type: "button", class: "quiet delete" }, "Delete");
  readonly element: HTMLLIElement;

  constructor(id: string, remove: (id: string) => void) {
    const { button } = this;
    this.link = h("a", { href: `#${id}` });
    this.element = h("li", {}, this.link, button);
    button.addEventListener("click", () => {
      if (button.dataset.sure) return remove(id);
      button.dataset.sure = "yes";
      button.textContent = "Sure?";
      setTimeout(() => {
        delete button.dataset.sure;
        button.textContent = "Delete";
      }, SURE_MS);
    });
  }

  show({ title, updated, branch, found }: Entry, current: boolean): void {
    const name = title.trim() || "Untitled";
    this.link.replaceChildren(h("span", {}, name));
    if (found) this.link.append(h("q", {}, found));
    if (updated > 0) this.link.append(h("time", { datetime: new Date(updated).toISOString() }, when(updated)));
    if (branch) this.link.append(h("small", {}, " · branch"));
    if (current) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
    this.button.setAttribute("aria-label", `Delete ${name}`);
  }
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
