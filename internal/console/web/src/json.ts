// The API's JSON contains user data inline. It is shown and sent as text, so that numbers
// keep all their digits and members their order, which JSON.parse does not guarantee.

// member matches the name of a member that is user data: json of a payload, and canonical of a
// definition. A quote after { or , begins a name or a string, never ends one.
const member = /[{,]\s*"(?:json|canonical)"\s*:\s*/g;

// parse parses an answer. User data becomes a string with its JSON text.
export function parse(text: string): unknown {
  let out = "", done = 0;
  const next = new RegExp(member);
  while (next.test(text)) {
    const start = next.lastIndex, end = valueEnd(text, start);
    out += text.slice(done, start) + JSON.stringify(text.slice(start, end));
    done = next.lastIndex = end;
  }
  return JSON.parse(out + text.slice(done));
}

// stringEnd returns the end of the string that begins at i.
export function stringEnd(text: string, i: number): number {
  for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
  return i + 1;
}

// valueEnd returns the end of the value that begins at i.
function valueEnd(text: string, i: number): number {
  let depth = 0;
  do {
    const c = text[i]!;
    if (c === '"') i = stringEnd(text, i);
    else if (c === "{" || c === "[") depth++, i++;
    else if (c === "}" || c === "]") depth--, i++;
    else if (depth > 0) i++;
    else while (i < text.length && !/[\s,}\]]/.test(text[i]!)) i++; // a number, true, false or null
  } while (depth > 0 && i < text.length);
  return i;
}

// Inline is JSON text that stringify includes as it is. It must be valid.
export class Inline {
  constructor(readonly text: string) {}
}

// stringify is JSON.stringify, except that it includes Inline.
export function stringify(value: unknown): string {
  if (value instanceof Inline) return value.text;
  if (Array.isArray(value)) return `[${value.map(stringify).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, v]) => v !== undefined);
  return `{${members.map(([name, v]) => `${JSON.stringify(name)}:${stringify(v)}`).join()}}`;
}
