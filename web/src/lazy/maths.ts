// TeX -> MathML. The Markdown worker loads this when it meets the first formula.
import temml from "temml";

/** The longest formula, in characters. */
const LONGEST = 4000;
/** Deeper than any formula that is meant to be read. */
const MAX_DEPTH = 60;

/** MathML without styles, which the policy of the page forbids; undefined if it is no formula. */
function formula(tex: string, display: boolean): string | undefined {
  if (tex.length > LONGEST) return undefined;
  try {
    const made = temml.renderToString(tex, {
      displayMode: display,
      throwOnError: true,
      trust: false,
      strict: false,
      maxSize: [20, 20],
      maxExpand: 200,
    });
    const plain = made.replace(/ style="[^"]*"/g, "");
    return depthOf(plain) > MAX_DEPTH ? undefined : plain;
  } catch {
    return undefined;
  }
}

function depthOf(markup: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [tag] of markup.matchAll(/<[^>]*>/g)) {
    if (tag.startsWith("</")) depth -= 1;
    else if (!tag.endsWith("/>")) depth += 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

Object.assign(self, { formula });
