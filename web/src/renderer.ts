// The page's side of the Markdown worker: one job after the other, each with an end.
import type { Job, Made } from "./markdown.js";
import { scriptAddress } from "./policy.js";

/** A worker that takes longer has met a text made to hold it up. */
const TIMEOUT_MS = 2500;

let worker: Worker | undefined;
let queue: Promise<unknown> = Promise.resolve();

/** Markdown -> HTML, not yet safe; `plain` if it had better be shown as it is. */
export function render(job: Job): Promise<Made> {
  const made = queue.then(() => run(job));
  queue = made;
  return made;
}

function run(job: Job): Promise<Made> {
  worker ??= new Worker(scriptAddress("markdown"));
  const mine = worker;
  return new Promise((resolve) => {
    const done = (made: Made) => {
      clearTimeout(timer);
      mine.onmessage = mine.onerror = null;
      resolve(made);
    };
    const broken = () => {
      mine.terminate();
      worker = undefined;
      done({ plain: true });
    };
    const timer = setTimeout(broken, TIMEOUT_MS);
    mine.onmessage = ({ data }: MessageEvent<Made>) => done(data);
    mine.onerror = broken;
    mine.postMessage(job);
  });
}
