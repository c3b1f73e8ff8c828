// The form below an answer that has called tools: a result for each call, and then the turn goes on.
import { create } from "@bufbuild/protobuf";
import type { ToolCall } from "./answer.js";
import { h } from "./dom.js";
import { type ContentBlock, ContentBlockSchema } from "./generated/outcrop/v1/content_pb.js";
import { parseJson } from "./json-place.js";

/** Whether the conversation waits for the results of tools. A prompt in their place would be refused by Bedrock. */
export const waitsForTools = () => !!document.querySelector(".tool-form:not([hidden])");

let forms = 0;

export function toolForm(calls: ToolCall[], send: (results: ContentBlock[]) => void): HTMLFormElement {
  forms += 1;
  const fields = calls.map((call, index) => callField(call, `tool-${forms}-${index}`));
  const form = h(
    "form",
    { class: "tool-form", "aria-label": "Results of tools", novalidate: true },
    h("p", {}, "The model has called tools and waits for their results."),
    ...fields.map(({ element }) => element),
    h("button", { type: "submit", class: "primary" }, calls.length > 1 ? "Send the results" : "Send the result"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const results = fields.map(({ read }) => read());
    const blocks = results.flatMap((result) => result ?? []);
    if (blocks.length < calls.length) return fields[results.indexOf(undefined)]?.focus();
    form.hidden = true;
    send(blocks);
  });
  return form;
}

type Field = { element: HTMLElement; read(): ContentBlock | undefined; focus(): void };

function callField({ id: toolUseId, name, input }: ToolCall, id: string): Field {
  const area = h("textarea", { id, rows: "3", class: "json", spellcheck: "false", "aria-describedby": `${id}-wrong` });
  const form = h(
    "select",
    { id: `${id}-form` },
    h("option", { value: "text" }, "Text"),
    h("option", { value: "json" }, "JSON"),
  );
  const failed = h("input", { type: "checkbox", id: `${id}-failed` });
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  const element = h(
    "fieldset",
    { class: "tool-call" },
    h("legend", {}, name || "A tool"),
    h("pre", { tabindex: "0" }, indented(input)),
    h("label", { for: id }, `Result of ${name || "the tool"}`),
    area,
    wrong,
    h(
      "div",
      { class: "tool-options" },
      h("label", { for: `${id}-form` }, "It is", form),
      h("label", { for: `${id}-failed` }, failed, "The tool failed"),
    ),
  );
  const complain = (text: string, offset?: number) => {
    wrong.textContent = text;
    if (text) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
    if (offset !== undefined) area.setSelectionRange(offset, offset);
    return undefined;
  };
  const read = (): ContentBlock | undefined => {
    complain("");
    if (!area.value.trim()) return complain("Write a result, if only that there is none.");
    const parsed = form.value === "json" ? parseJson(area.value) : undefined;
    if (parsed && "wrong" in parsed) return complain(parsed.wrong, parsed.offset);
    const block = parsed
      ? { case: "jsonText" as const, value: area.value.trim() }
      : { case: "text" as const, value: area.value };
    const status = failed.checked ? "error" : "success";
    const value = { toolUseId, status, content: [{ block }] };
    return create(ContentBlockSchema, { block: { case: "toolResult", value } });
  };
  return { element, read, focus: () => area.focus() };
}

function indented(input: string): string {
  try {
    return JSON.stringify(JSON.parse(input || "{}"), null, 2);
  } catch {
    return input;
  }
}
