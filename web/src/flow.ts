// Markdown that grows. What cannot change any more is settled and never touched again, so a long answer costs no more per
// frame than a short one.
import { h } from "./dom.js";
import { render } from "./renderer.js";
import { sanitise } from "./sanitise.js";

/** How much plain text stands in one element. */
const PLAIN_BLOCK = 16_384;

/** How much text is read as Markdown at once; more if it is one block, and beyond the maximum it is shown as it is. */
const PIECE = 16_384;
const MAX_PIECE = 200_000;

/** The boxes that scroll sideways. */
const SCROLLS = ".table, pre, .maths";

export class Flow {
  readonly element = h("div", { class: "prose" });
  private readonly open = h("div", { class: "open" });
  private text = "";
  private settled = 0;
  private shown = -1;
  private window = PIECE;
  private ended = false;
  private busy = false;
  private plain: HTMLElement | undefined;

  constructor() {
    this.element.append(this.open);
  }

  /** The whole text so far. */
  update(text: string, ended = false): void {
    // Line ends as the lexer writes them, so that its lengths are ours.
    this.text = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    this.ended ||= ended;
    if (!this.busy) void this.work();
  }

  private async work(): Promise<void> {
    this.busy = true;
    this.element.setAttribute("aria-busy", "true");
    while (this.shown < this.text.length || (this.ended && this.open.parentNode)) {
      const began = performance.now();
      if (!this.plain) await this.renderOnce();
      if (this.plain) this.appendPlain();
      // At most once a frame, and with time for everything else where rendering takes long.
      const pause = Math.min(3 * (performance.now() - began), 500);
      if (pause > 16) await new Promise((resolve) => setTimeout(resolve, pause));
      await frame();
    }
    this.element.removeAttribute("aria-busy");
    this.busy = false;
  }

  private async renderOnce(): Promise<void> {
    const piece = this.text.slice(this.settled, this.settled + this.window);
    const end = this.settled + piece.length;
    const last = this.ended && end === this.text.length;
    const made = await render({ text: piece, last });
    if ("plain" in made || (made.length === 0 && this.window > MAX_PIECE)) {
      this.shown = this.settled;
      this.plain = this.plainBlock();
      this.open.replaceWith(this.plain);
      return;
    }
    // A block that is larger than the window needs a larger one.
    this.window = made.length === 0 && piece.length === this.window ? 2 * this.window : PIECE;
    if (made.settled) this.open.before(sanitise(made.settled));
    this.settled += made.length;
    this.shown = end;
    this.replaceOpen(sanitise(made.open));
    if (last) this.open.replaceWith(...this.open.childNodes);
  }

  /** Shows the block that is still written. What the reader has scrolled in it stays where it was. */
  private replaceOpen(made: DocumentFragment): void {
    const scrolled = Array.from(this.open.querySelectorAll(SCROLLS), ({ scrollLeft }) => scrollLeft);
    this.open.replaceChildren(made);
    if (!scrolled.some((left) => left > 0)) return;
    this.open.querySelectorAll(SCROLLS).forEach((box, index) => {
      box.scrollLeft = scrolled[index] ?? 0;
    });
  }

  /** Text as it is, in blocks, so that no frame lays out all of it. */
  private appendPlain(): void {
    while (this.plain && this.shown < this.text.length) {
      const room = PLAIN_BLOCK - (this.plain.textContent?.length ?? 0);
      const more = this.text.slice(this.shown, this.shown + Math.max(room, 1024));
      const lineEnd = room < 1024 ? more.indexOf("\n") + 1 : 0;
      const piece = lineEnd ? more.slice(0, lineEnd) : more;
      this.plain.append(piece);
      this.shown += piece.length;
      if (lineEnd || room < -4 * PLAIN_BLOCK) {
        const next = this.plainBlock();
        this.plain.after(next);
        this.plain = next;
      }
    }
  }

  private plainBlock(): HTMLElement {
    return h("div", { class: "plain" });
  }
}

/** The next frame; a page that is not looked at has none, and goes on all the same. */
function frame(): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
