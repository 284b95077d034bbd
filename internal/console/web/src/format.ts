import { stringEnd } from "./json";

// Numbers, durations and sizes for people.

const grouped = new Intl.NumberFormat("en");

export const count = (n: number): string => grouped.format(n);

// plural formats a count: 1 saga, 2 sagas.
export const plural = (n: number, one: string, many: string): string => `${count(n)} ${n === 1 ? one : many}`;

export function rate(n: number): string {
  return n >= 100 ? grouped.format(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(n === 0 ? 0 : 2);
}

export const share = (n: number): string => (n * 100).toFixed(n > 0 && n < 0.1 ? 1 : 0) + " %";

export function size(bytes: number): string {
  if (bytes < 1024) return bytes + " B";
  return bytes < 1 << 20 ? (bytes / 1024).toFixed(1) + " KiB" : (bytes / (1 << 20)).toFixed(1) + " MiB";
}

// seconds formats a duration with two or three digits.
export function seconds(s: number): string {
  if (s === 0) return "0";
  if (s < 0.001) return Math.round(s * 1e6) + " µs";
  if (s < 1) return (s * 1000 >= 100 ? Math.round(s * 1000) : Number((s * 1000).toPrecision(2))) + " ms";
  if (s < 60) return Number(s.toPrecision(3)) + " s";
  return span(s);
}

function span(s: number): string {
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  return s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
}

// relative formats how long ago a time was, or how long until then.
export function relative(at: number, now: number): string {
  const s = (now - at) / 1000;
  if (Math.abs(s) < 1) return "now";
  return s >= 0 ? span(s) + " ago" : "in " + span(-s);
}

const pad = (n: number, width = 2): string => String(n).padStart(width, "0");

export function clock(d: Date): string {
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)}`;
}

export function absolute(d: Date): string {
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(d)} (${d.toISOString()})`;
}

// pretty indents JSON and leaves other text unchanged. Numbers keep their digits, because
// they are not parsed.
export function pretty(text: string): string {
  let out = "", depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    const line = () => "\n" + "  ".repeat(depth);
    if (c === '"') {
      const end = stringEnd(text, i);
      out += text.slice(i, end);
      i = end - 1;
    } else if (c === "{" || c === "[") {
      const close = c === "{" ? "}" : "]";
      if (text.slice(i + 1).trimStart()[0] === close) {
        out += c + close;
        i = text.indexOf(close, i);
      } else {
        depth++;
        out += c + line();
      }
    } else if (c === "}" || c === "]") {
      depth--;
      out += line() + c;
    } else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}
