import { Fragment, h, options, type VNode } from "preact";

// Shows foreign text safely in every element. Control, invisible and direction characters
// become visible escapes such as \u202e, as on the command line (internal/terminal), and
// right-to-left text is isolated. This happens where elements are created, so that
// components need not care; text outside of elements, such as the page title, is passed to
// visible.

// Joiners stay as they are, because scripts and emoji need them.
const obeyed = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const leftToRight = /^[^\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]*$/u;

const short: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const escaped = (c: string): string => short[c] ?? [...Array(c.length).keys()].map((i) => "\\u" + c.charCodeAt(i).toString(16).padStart(4, "0")).join("");

// visible escapes text. Line breaks and tabs are kept if lines is true.
export const visible = (text: string, lines = false): string => text.replace(obeyed, (c) => (lines && (c === "\n" || c === "\t") ? c : escaped(c)));

// Attributes that users see or hear.
const spoken = ["title", "alt", "label", "placeholder", "aria-label", "aria-description", "aria-valuetext", "aria-roledescription"];

// Elements that can hold text only.
const bare = new Set(["bdi", "option", "textarea", "title", "text", "tspan"]);

function shown(child: unknown, within: string): unknown {
  if (Array.isArray(child)) return child.map((c) => shown(c, within));
  if (typeof child !== "string") return child;
  const text = visible(child, within === "pre"); // a payload may have line breaks
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
    // Children of a fragment end up in an element, too.
    if (vnode.type === Fragment) {
      const props = vnode.props as Record<string, unknown>;
      if (props["children"] !== undefined) props["children"] = shown(props["children"], "");
    }
    next?.(vnode);
  };
}
