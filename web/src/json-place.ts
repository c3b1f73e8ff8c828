// JSON that is typed: what is wrong with it, and where.
import { type ParseError, parse, printParseErrorCode } from "jsonc-parser";

export type Parsed = { value: unknown } | { wrong: string; offset: number };

/** What the parser calls them, in words. */
const WORDS: Record<string, string> = {
  InvalidSymbol: "this is not JSON: a text needs double quotes",
  InvalidNumberFormat: "this is not a number",
  PropertyNameExpected: "a name in double quotes is missing",
  ValueExpected: "a value is missing",
  ColonExpected: "a colon is missing",
  CommaExpected: "a comma is missing",
  CloseBraceExpected: "a } is missing",
  CloseBracketExpected: "a ] is missing",
  EndOfFileExpected: "there is more after the end",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfString: "the text has no closing quote",
  UnexpectedEndOfNumber: "the number is not whole",
  InvalidUnicode: "this is not a Unicode escape",
  InvalidEscapeCharacter: "this escape does not exist",
  InvalidCharacter: "this character must be escaped",
};

export function parseJson(text: string): Parsed {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const errors: ParseError[] = [];
    parse(text, errors, { disallowComments: true, allowTrailingComma: false });
    const first = errors[0];
    if (!first) return { wrong: error instanceof Error ? error.message : "this is not JSON", offset: 0 };
    const name = printParseErrorCode(first.error);
    const line = text.slice(0, first.offset).split("\n");
    const place = `line ${line.length}, column ${(line.at(-1)?.length ?? 0) + 1}`;
    return { wrong: `${place}: ${WORDS[name] ?? name}`, offset: first.offset };
  }
}
