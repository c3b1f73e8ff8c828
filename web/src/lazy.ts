// In the Markdown worker: what few answers need is loaded when the first one needs it.

/** The scripts that the worker may load. */
type Script = "maths.js" | "code.js";
/** What these scripts leave in the worker. */
type Loaded = {
  formula?: (tex: string, display: boolean) => string | undefined;
  highlighted?: (code: string, language: string) => string | undefined;
};
type Policies = {
  createPolicy(
    name: string,
    rules: { createScriptURL(name: string): string },
  ): { createScriptURL(name: string): string };
};
declare function importScripts(url: string): void;

const here = self as unknown as Loaded & { trustedTypes?: Policies; location: Location };
const address = (script: string) => new URL(script, here.location.href).href;
const policy = here.trustedTypes?.createPolicy("outcrop", { createScriptURL: address });
const missing = new Set<Script>();

/** Loads a script once. Answers whether it is there: the server may have gone. */
function load(script: Script, there: () => boolean): boolean {
  if (there()) return true;
  if (missing.has(script)) return false;
  try {
    importScripts(policy?.createScriptURL(script) ?? address(script));
  } catch {
    missing.add(script);
  }
  return there();
}

/** The longest code that is highlighted, in characters; while it is still written each piece is highlighted again. */
const LONGEST_CODE = 15_000;
const LONGEST_OPEN_CODE = 3_000;

/** Code as HTML with a class for each kind of word; undefined if it is to be shown as it is. */
export function highlight(code: string, language: string, open: boolean): string | undefined {
  if (!language || code.length > (open ? LONGEST_OPEN_CODE : LONGEST_CODE)) return undefined;
  if (!load("code.js", () => !!here.highlighted)) return undefined;
  return here.highlighted?.(code, language);
}

/** How many formulas are remembered: those of the block that is still written come again with each piece. */
const REMEMBERED = 500;
const remembered = new Map<string, string | undefined>();

/** A formula as MathML; undefined if it is to be shown as it is. */
export function mathml(tex: string, display: boolean): string | undefined {
  const key = `${display}${tex}`;
  if (!remembered.has(key)) {
    if (!load("maths.js", () => !!here.formula)) return undefined;
    if (remembered.size >= REMEMBERED) remembered.clear();
    remembered.set(key, here.formula?.(tex, display));
  }
  return remembered.get(key);
}
