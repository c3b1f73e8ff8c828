// JSON text, whose whole numbers JavaScript and google.protobuf.Value hold as doubles.
import type { JsonValue } from "@bufbuild/protobuf";

/** Protobuf decoders refuse values that are nested deeper. */
const MAX_NESTING = 30;

/** The value of JSON text, or undefined if it is not JSON. */
export function parse(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

/** Whether google.protobuf.Value holds the JSON text exactly, or the server would not accept it as text. */
export function survives(text: string, value: JsonValue): boolean {
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/-?\d[\d.eE+-]*/g) ?? [];
  const whole = numbers.filter((number) => !/[.eE]/.test(number)).map(BigInt);
  const isLong = whole.some((number) => number < -(2n ** 63n) || number >= 2n ** 64n);
  return isLong || nesting(value) > MAX_NESTING || whole.every((number) => number <= 2n ** 53n && number >= -(2n ** 53n));
}

/** The value, with JSON text in place of what is nested too deep. */
export function nested(value: JsonValue, levels = MAX_NESTING): JsonValue {
  if (typeof value !== "object" || value === null) return value;
  if (levels === 0) return JSON.stringify(value);
  if (Array.isArray(value)) return value.map((one) => nested(one, levels - 1));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, nested(one, levels - 1)]));
}

function nesting(value: JsonValue): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(nesting));
}
