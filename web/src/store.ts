// Where conversations are: on the server if it stores them, and else in this browser.
import { session } from "./account.js";
import { client } from "./api.js";
import { browserStore } from "./browser-store.js";
import { isUnreachable, type Store } from "./conversations.js";
import { storeOf } from "./forget.js";
import { isUnimplemented } from "./problem.js";
import { type Place, recall, remember } from "./remembered.js";
import { serverStore } from "./server-store.js";
import { Shelf } from "./shelf.js";

let shelves: Promise<Shelf> | undefined;
let opened: Promise<Store> | undefined;

/** What this browser stores of the caller. */
export function openShelf(): Promise<Shelf> {
  shelves ??= session().then((owner) => new Shelf(storeOf(owner)));
  shelves.catch(() => {
    shelves = undefined;
  });
  return shelves;
}

export function openStore(): Promise<Store> {
  opened ??= probe();
  opened.catch(() => {
    opened = undefined;
  });
  return opened;
}

async function probe(): Promise<Store> {
  const shelf = await openShelf();
  try {
    await client.listConversations({ pageSize: 1 });
    return chosen("server", shelf);
  } catch (error) {
    if (isUnimplemented(error)) return chosen("browser", shelf);
    // The next call says what is wrong, and the one after it looks again.
    opened = undefined;
    const before = isUnreachable(error) ? recall()?.place : undefined;
    return storeAt(before ?? "server", shelf);
  }
}

function chosen(place: Place, shelf: Shelf): Store {
  remember({ place });
  return storeAt(place, shelf);
}

const storeAt = (place: Place, shelf: Shelf) => (place === "server" ? serverStore(shelf) : browserStore(shelf));
