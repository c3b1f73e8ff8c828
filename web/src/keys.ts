// Keys of the prompt: Enter sends and Shift+Enter breaks the line. And where the focus is when the page opens.

/** A phone's keyboard has no Shift+Enter: there Enter breaks the line. */
const touch = matchMedia("(hover: none) and (pointer: coarse)");

/** Whether a key means to send. The Enter that ends the composition of a character does not. */
export function sends(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return false;
  if (event.ctrlKey || event.metaKey) return true;
  return (
    event.target instanceof HTMLTextAreaElement &&
    event.target.id === "prompt" &&
    !event.shiftKey &&
    !event.altKey &&
    !touch.matches
  );
}

/** Focuses the prompt if nothing else has the focus. On a phone this would open the keyboard. */
export function focusPrompt(prompt: HTMLElement): void {
  const free = document.activeElement === document.body || document.activeElement === null;
  if (free && !touch.matches && !document.querySelector("dialog[open]")) prompt.focus({ preventScroll: true });
}
