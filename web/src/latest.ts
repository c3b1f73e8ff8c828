// Keeps the view at the end of an answer until the reader scrolls away, and leads back there.
import { byId } from "./dom.js";

/** How near to the end, in pixels, the view follows. */
const NEAR = 120;

const button = byId<HTMLButtonElement>("latest");
let following = true;
/** Where the view was when it was last scrolled. */
let scrolled = 0;

export const latest = {
  /** Goes to the end and follows from there. */
  go(): void {
    following = true;
    scrollTo({ top: document.documentElement.scrollHeight });
    look();
  },
  /** The content has grown. */
  grown(busy: boolean): void {
    if (following && busy) scrollTo({ top: document.documentElement.scrollHeight });
    else look();
  },
  get following() {
    return following;
  },
  listen(): void {
    addEventListener("scroll", () => {
      // The content may have grown since the page scrolled to its end: only who scrolls up has left.
      if (isAtEnd()) following = true;
      else if (scrollY < scrolled) following = false;
      scrolled = scrollY;
      look();
    });
    addEventListener("resize", look);
    // The button stands above the form, which is as high as what is written in it.
    const form = byId("composer");
    new ResizeObserver(() => {
      byId("latest-place").style.bottom = `${form.offsetHeight}px`;
    }).observe(form);
    button.addEventListener("click", () => {
      latest.go();
      byId("prompt").focus({ preventScroll: true });
    });
  },
};

function isAtEnd(): boolean {
  return innerHeight + scrollY > document.documentElement.scrollHeight - NEAR;
}

function look(): void {
  button.hidden = isAtEnd();
}
