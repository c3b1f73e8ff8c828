// The page: what its buttons do, and what it does when it opens.
import { start } from "./account.js";
import { client } from "./api.js";
import { composer } from "./composer.js";
import { byId } from "./dom.js";
import { listenInspector } from "./inspector.js";
import { keepForOffline } from "./install.js";
import { focusPrompt } from "./keys.js";
import { latest } from "./latest.js";
import { list } from "./list.js";
import { listenPanel } from "./panel.js";
import { explain } from "./problem.js";
import { listenRail, place, showList } from "./rail.js";
import { download } from "./save.js";
import { openStore } from "./store.js";
import { listenTabs, tellTabs } from "./tabs.js";
import { talk } from "./talk.js";

/** How long a search waits for the next key. */
const TYPING_MS = 150;

const search = byId<HTMLInputElement>("search");
let asked = 0;

async function refreshList(): Promise<void> {
  asked += 1;
  const mine = asked;
  try {
    const query = search.value.trim();
    const { entries, more } = await list.entries(query);
    // A later request has a newer list.
    if (mine !== asked) return;
    showList(entries, talk.id, query !== "", remove);
    byId("more-list").hidden = !more;
    place((await openStore()).place);
  } catch (error) {
    // Why is told once: here, unless what the reader asked for has told it.
    const told = document.querySelector("#turns .problem");
    place(told ? "The list is not up to date" : explain(error, false).title);
  }
}

async function remove(id: string): Promise<void> {
  try {
    await list.remove(id);
    tellTabs({ id, what: "removed" });
    talk.removed(id);
  } catch (error) {
    talk.notice(explain(error, false), () => remove(id));
  }
  await refreshList();
}

function listenList(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(refreshList, TYPING_MS);
  });
  byId("more-list").addEventListener("click", () => {
    list.more();
    void refreshList();
  });
  listenTabs(({ id, what }) => {
    void talk.heard(id, what === "removed").then(refreshList);
  });
}

/** What can be done with the conversation that is open. */
function listenMenu(): void {
  const menu = byId<HTMLDetailsElement>("more");
  const form = byId<HTMLFormElement>("rename");
  const title = byId<HTMLInputElement>("title");
  // Before the menu opens: what opens it fast may already be typing when "toggle" comes.
  menu.querySelector("summary")?.addEventListener("click", () => {
    if (!menu.open) title.value = talk.saved().title;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    menu.open = false;
    void talk.rename(title.value.trim());
  });
  byId("save-md").addEventListener("click", () => download(talk.saved(), "md"));
  byId("save-json").addEventListener("click", () => download(talk.saved(), "json"));
}

function listen(): void {
  listenRail();
  listenList();
  listenMenu();
  latest.listen();
  talk.listen(refreshList);
  composer.listen({ ready: talk.ready, send: (text, more) => void talk.send(text, more), stop: talk.stop });
  byId("new").addEventListener("click", () => {
    talk.fresh();
    composer.focus();
    void refreshList();
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    composer.focus();
  });
  for (const idea of document.querySelectorAll(".idea")) {
    idea.addEventListener("click", () => composer.write(idea.textContent ?? ""));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) talk.stop();
  });
  addEventListener("online", () => void talk.reconnected());
  addEventListener("hashchange", () => void talk.openAddress());
  addEventListener("popstate", () => void talk.openAddress());
  new ResizeObserver(() => latest.grown(talk.busy)).observe(byId("turns"));
}

async function models(): Promise<void> {
  try {
    const { models: known } = await client.listModels({});
    composer.suggest(
      known.map(({ name }) => name),
      known.find(({ isDefault }) => isDefault)?.name,
    );
  } catch {
    // A name may be typed all the same.
  }
}

listenPanel();
listenInspector();
listen();
const started = start();
void talk.begin(started);
void started.then(() => {
  void models();
  focusPrompt(byId("prompt"));
  keepForOffline();
});
