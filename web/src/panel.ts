// The panel beside the conversation: the parameters of the next requests, with what is wrong with each said at its place.
import { byId, h } from "./dom.js";
import { idOf, PARAMETERS, type Parameter } from "./parameters.js";
import { type Built, build, type Issue } from "./request.js";

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

const panel = byId("panel");
const button = byId<HTMLButtonElement>("settings");
const controls = new Map<string, Control>();
/** The groups that are open at first. */
const OPEN = ["Prompt", "Sampling"];

export const parameters = {
  /** The fields of a request as they are written now, and what is wrong with them. */
  built: (): Built => build(written()),
  /** What is written for a parameter. */
  value: (path: string): string => controls.get(path)?.value ?? "",
  set(path: string, text: string): void {
    const control = controls.get(path);
    if (control) control.value = text;
    review();
  },
  /** Opens the panel where something is wrong. */
  show({ id, offset }: Issue): void {
    open(true);
    const control = byId<Control>(id);
    control.closest("details")?.setAttribute("open", "");
    control.focus();
    if (offset !== undefined && control instanceof HTMLTextAreaElement) control.setSelectionRange(offset, offset);
  },
  /** What is asked for once is off again. */
  asked(): void {
    parameters.set("messages.cache_point", "");
  },
};

function written(): Record<string, string> {
  const values = [...controls].map(([path, control]) => {
    const checks = control instanceof HTMLInputElement && control.type === "checkbox";
    return [path, checks ? (control.checked ? "on" : "") : control.value];
  });
  return Object.fromEntries(values);
}

function fieldOf(parameter: Parameter): HTMLElement {
  const id = idOf(parameter);
  const { label, hint, kind, wide, path } = parameter;
  const control = controlOf(parameter, id);
  controls.set(path, control);
  const wrong = h("p", { class: "wrong", id: `${id}-wrong` });
  const told = hint && h("p", { class: "small", id: `${id}-hint` }, hint);
  control.setAttribute("aria-describedby", told ? `${id}-wrong ${id}-hint` : `${id}-wrong`);
  control.addEventListener("input", () => {
    // What is being typed is not judged before it is done, but what was wrong is.
    if (control.getAttribute("aria-invalid")) review();
    else count();
  });
  control.addEventListener("change", review);
  const name = h("label", { for: id }, label);
  const order = kind === "flag" ? [control, name] : [name, control];
  return h("div", { class: wide || kind === "flag" ? `field wide ${kind}` : "field" }, ...order, wrong, told);
}

function controlOf({ kind, choices, placeholder = "" }: Parameter, id: string): Control {
  // They belong to the form, which is elsewhere on the page.
  const common = { id, form: "composer" };
  if (kind === "flag") return h("input", { ...common, type: "checkbox" });
  if (choices) {
    const options = choices.map((value) => h("option", { value }, wordsOf(value)));
    return h("select", common, h("option", { value: "" }, "–"), ...options);
  }
  if (kind === "integer") return h("input", { ...common, inputmode: "numeric", placeholder, autocomplete: "off" });
  if (kind === "number" || kind === "duration")
    return h("input", { ...common, inputmode: "decimal", placeholder, autocomplete: "off" });
  const json = kind === "object" || kind === "array";
  if (!json && kind === "text" && id !== "system")
    return h("input", { ...common, placeholder, autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  const more = json ? { class: "json", rows: "3", spellcheck: "false", autocapitalize: "off" } : { rows: "2" };
  return h("textarea", { ...common, ...more, placeholder });
}

/** The value of an enumeration without what all its values begin with. */
function wordsOf(value: string): string {
  const known = /^(?:PRIORITY|ABANDONMENT_MODE|OPERATION_CHOICE|JSON_FORM)_(.+)$/.exec(value)?.[1];
  return known ? known.toLowerCase() : value;
}

/** Says at each parameter what is wrong with it. */
function review(): void {
  const { issues } = parameters.built();
  for (const parameter of PARAMETERS) {
    const id = idOf(parameter);
    const issue = issues.find((one) => one.id === id);
    const control = byId(id);
    byId(`${id}-wrong`).textContent = issue?.wrong ?? "";
    if (issue) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
  count();
}

/** How many parameters are set, on the button and for each group. */
function count(): void {
  const values = written();
  const set = PARAMETERS.filter(({ path }) => values[path]?.trim());
  button.textContent = set.length > 0 ? `Parameters (${set.length})` : "Parameters";
  for (const group of panel.querySelectorAll<HTMLElement>("details")) {
    const here = set.filter((parameter) => parameter.group === group.dataset.group).length;
    const badge = group.querySelector(".badge");
    if (badge) badge.textContent = here > 0 ? `${here} set` : "";
  }
}

function open(shown: boolean): void {
  panel.hidden = !shown;
  button.setAttribute("aria-expanded", String(shown));
  document.body.classList.toggle("with-panel", shown);
}

function close(): void {
  open(false);
  button.focus();
}

function reset(): void {
  for (const control of controls.values()) {
    if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = false;
    else control.value = "";
  }
  review();
}

export function listenPanel(): void {
  for (const group of new Set(PARAMETERS.map((parameter) => parameter.group))) {
    const fields = PARAMETERS.filter((parameter) => parameter.group === group).map(fieldOf);
    const title = h("summary", {}, group, h("span", { class: "badge" }));
    byId("parameters").append(
      h(
        "details",
        { "data-group": group, open: OPEN.includes(group) },
        title,
        h("div", { class: "fields" }, ...fields),
      ),
    );
  }
  button.addEventListener("click", () => {
    open(!!panel.hidden);
    if (!panel.hidden) byId("panel-title").scrollIntoView({ block: "nearest" });
  });
  byId("panel-close").addEventListener("click", close);
  byId("panel-reset").addEventListener("click", reset);
  panel.addEventListener("keydown", (event) => {
    // The fields belong to the form, and Enter in one of them would send the prompt.
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  // The form of a caller that has signed out is empty.
  byId("composer").addEventListener("reset", () => setTimeout(review));
}
