// The form: what is asked, of whom, with which settings.

import { systemBlocks } from "./conversations.js";
import { byId, h } from "./dom.js";
import { sends } from "./keys.js";

const form = byId<HTMLFormElement>("composer");
const prompt = byId<HTMLTextAreaElement>("prompt");
const complaint = byId("complaint");
const model = byId<HTMLInputElement>("model");
const system = byId<HTMLTextAreaElement>("system");
const stops = byId<HTMLTextAreaElement>("stops");
const settings = byId<HTMLDetailsElement>("settings");
const go = byId<HTMLButtonElement>("go");
const stop = byId<HTMLButtonElement>("stop");

export const composer = {
  get model() {
    return model.value.trim();
  },
  get system() {
    return system.value;
  },
  get text() {
    return prompt.value;
  },
  /** Everything but what was said. */
  settings() {
    return {
      model: model.value.trim(),
      system: systemBlocks(system.value),
      inferenceConfig: {
        ...number("max-tokens", "maxTokens"),
        ...number("temperature", "temperature"),
        ...number("top-p", "topP"),
        stopSequences: stops.value.split("\n").filter((line) => line !== ""),
      },
    };
  },
  /** Takes the settings of a conversation that is opened. */
  set(modelName: string, systemText: string): void {
    model.value = modelName;
    system.value = systemText;
  },
  suggest(names: string[], defaultName: string | undefined): void {
    byId("models").replaceChildren(...names.map((name) => h("option", { value: name })));
    if (defaultName) model.placeholder = defaultName;
  },
  write(text: string): void {
    prompt.value = text;
    complain("");
    prompt.focus();
  },
  focus: () => prompt.focus(),
  /** An answer is running, or no longer. The focus stays where the hand is. */
  running(runs: boolean): void {
    const [gone, shown] = runs ? [go, stop] : [stop, go];
    const focused = document.activeElement === gone;
    gone.hidden = true;
    shown.hidden = false;
    if (focused) (runs ? stop : prompt).focus();
  },
  listen(send: (text: string) => void, halt: () => void): void {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit(send);
    });
    form.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      submit(send);
    });
    prompt.addEventListener("input", () => complain(""));
    stop.addEventListener("click", halt);
  },
};

function submit(send: (text: string) => void): void {
  if (go.hidden) return;
  if (!prompt.value.trim()) {
    complain("Write a prompt first.");
    prompt.focus();
    return;
  }
  if (!form.checkValidity()) {
    settings.open = true;
    form.reportValidity();
    return;
  }
  const text = prompt.value;
  prompt.value = "";
  send(text);
}

function complain(text: string): void {
  if (complaint.textContent === text) return;
  complaint.textContent = text;
  if (text) prompt.setAttribute("aria-invalid", "true");
  else prompt.removeAttribute("aria-invalid");
}

function number(id: string, field: "maxTokens" | "temperature" | "topP") {
  const { value } = byId<HTMLInputElement>(id);
  return value === "" ? {} : { [field]: Number(value) };
}
