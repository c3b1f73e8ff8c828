// The addresses of scripts. With trusted types a browser takes them from here alone.

/** The scripts that the page starts besides itself: the Markdown worker, and the service worker. */
const SCRIPTS = { markdown: "markdown.js", offline: "offline.js" };
export type Script = keyof typeof SCRIPTS;

function addressOf(name: string): string {
  const file = SCRIPTS[name as Script];
  if (!file) throw new TypeError(`The page starts no script ${name}.`);
  return new URL(file, document.baseURI).href;
}

/** Trusted types, where a browser has them. To TypeScript what they make is text. */
type Policies = {
  createPolicy(
    name: string,
    rules: { createScriptURL(name: string): string },
  ): { createScriptURL(name: string): string };
};
const policies = (window as { trustedTypes?: Policies }).trustedTypes;
const policy = policies?.createPolicy("outcrop", { createScriptURL: addressOf });

export function scriptAddress(name: Script): string {
  return policy?.createScriptURL(name) ?? addressOf(name);
}
