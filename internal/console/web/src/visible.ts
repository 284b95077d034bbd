import { Fragment, h, options, type VNode } from "preact";

// What others wrote is shown so that nobody takes it for something else, in whatever
// element it stands: characters that are obeyed or not seen (controls, marks that turn the
// direction of text, separators, what has no width) become visible escapes, \u202e, as on
// the command line (internal/terminal); and text of scripts that run from right to left
// stays within its own place. It is done where elements are made, so that no component has
// to think of it. What is not an element goes through visible: the title of the page.

// The joiners that scripts and pictures need are no disguise.
const obeyed = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const leftToRight = /^[^\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]*$/u;

const short: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const escaped = (c: string): string => short[c] ?? [...Array(c.length).keys()].map((i) => "\\u" + c.charCodeAt(i).toString(16).padStart(4, "0")).join("");

// visible is text with escapes. Lines are kept where they are somebody's to make.
export const visible = (text: string, lines = false): string => text.replace(obeyed, (c) => (lines && (c === "\n" || c === "\t") ? c : escaped(c)));

// Attributes that people see or hear.
const spoken = ["title", "alt", "label", "placeholder", "aria-label", "aria-description", "aria-valuetext", "aria-roledescription"];

// Elements that hold text alone.
const bare = new Set(["bdi", "option", "textarea", "title", "text", "tspan"]);

function shown(child: unknown, within: string): unknown {
  if (Array.isArray(child)) return child.map((c) => shown(c, within));
  if (typeof child !== "string") return child;
  const text = visible(child, within === "pre"); // a payload has lines of its own
  return leftToRight.test(text) || bare.has(within) ? text : h("bdi", null, text);
}

export function showSafely(): void {
  const next = options.vnode;
  options.vnode = (vnode: VNode) => {
    if (typeof vnode.type === "string") {
      const props = vnode.props as Record<string, unknown>;
      for (const name of spoken) if (typeof props[name] === "string") props[name] = visible(props[name]);
      if (props["children"] !== undefined) props["children"] = shown(props["children"], vnode.type);
    }
    // What a component puts between elements stands in one of them in the end.
    if (vnode.type === Fragment) {
      const props = vnode.props as Record<string, unknown>;
      if (props["children"] !== undefined) props["children"] = shown(props["children"], "");
    }
    next?.(vnode);
  };
}
