// The form: what is asked, of whom, with which settings.

import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { byId, h } from "./dom.js";
import { type ContentBlock, ContentBlockSchema } from "./generated/outcrop/v1/content_pb.js";
import { type GenerateRequest, GenerateRequestSchema } from "./generated/outcrop/v1/generation_pb.js";
import { sends } from "./keys.js";
import { parameters } from "./panel.js";
import { cachePoint } from "./request.js";
import { waitsForTools } from "./tool-form.js";
import { tray } from "./tray.js";

export type Talk = {
  /** Resolves when a prompt can be sent: whether the conversation that was being opened is open. */
  ready(): Promise<boolean>;
  /** Sends a prompt with the blocks that go with it. */
  send(text: string, more: ContentBlock[]): void;
  stop(): void;
};

const form = byId<HTMLFormElement>("composer");
const prompt = byId<HTMLTextAreaElement>("prompt");
const complaint = byId("complaint");
const model = byId<HTMLInputElement>("model");
const go = byId<HTMLButtonElement>("go");
const stop = byId<HTMLButtonElement>("stop");
/** Counts what is done with the prompt, so that one that waits is sent as it was, or not at all. */
let actions = 0;

export const composer = {
  get model() {
    return model.value.trim();
  },
  get system() {
    return parameters.value("system");
  },
  get text() {
    return prompt.value;
  },
  /** Everything but what was said. What is wrong with the parameters was said before. */
  request(): GenerateRequest {
    return fromJson(GenerateRequestSchema, { model: composer.model, ...parameters.built().request });
  },
  /** Takes the settings of a conversation that is opened. */
  set(modelName: string, systemText: string): void {
    model.value = modelName;
    parameters.set("system", systemText);
  },
  suggest(names: string[], defaultName: string | undefined): void {
    byId("models").replaceChildren(...names.map((name) => h("option", { value: name })));
    if (defaultName) model.placeholder = defaultName;
  },
  write(text: string): void {
    actions += 1;
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
  listen(talk: Talk): void {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void submit(talk);
    });
    form.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      void submit(talk);
    });
    prompt.addEventListener("input", () => {
      actions += 1;
      complain("");
    });
    stop.addEventListener("click", talk.stop);
    tray.listen(complain);
  },
};

async function submit({ ready, send }: Talk): Promise<void> {
  if (go.hidden) return;
  actions += 1;
  const mine = actions;
  await tray.ready();
  const opened = await ready();
  if (mine !== actions) return;
  if (!opened) return complain("The conversation is not open. Nothing was sent.");
  const refused = refusal();
  if (go.hidden || refused !== undefined) return complain(refused ?? "");
  const text = prompt.value;
  const ttl = parameters.value("messages.cache_point");
  const more = tray.take();
  if (ttl) more.push(fromJson(ContentBlockSchema, cachePoint(ttl) as JsonValue));
  prompt.value = "";
  parameters.asked();
  complain("");
  send(text, more);
}

/** Why nothing can be sent now. What is wrong is shown where it is. */
function refusal(): string | undefined {
  if (waitsForTools() && byId("editing").hidden) {
    document.querySelector<HTMLElement>(".tool-form:not([hidden]) textarea")?.focus();
    return "The model waits for the results of its tools: send them first.";
  }
  const { request, issues } = parameters.built();
  const [issue] = issues;
  if (issue) {
    parameters.show(issue);
    return `${issue.label}: ${issue.wrong}. Nothing was sent.`;
  }
  if (prompt.value.trim() || request.native_body !== undefined) return undefined;
  prompt.focus();
  return "Write a prompt first.";
}

function complain(text: string): void {
  if (complaint.textContent === text) return;
  complaint.textContent = text;
  if (text) prompt.setAttribute("aria-invalid", "true");
  else prompt.removeAttribute("aria-invalid");
}
