// One listener for all keys, so that what lies on top gets them first: the newest
// handler that says it used the key. Nothing is taken from somebody who writes,
// and nothing that is pressed together with Ctrl, Alt or Meta.

type Handler = (key: string, event: KeyboardEvent) => boolean | void;

const handlers: Handler[] = [];

export function onKey(handler: Handler): () => void {
  handlers.unshift(handler);
  return () => void handlers.splice(handlers.indexOf(handler), 1);
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.target as HTMLElement;
  if (target.closest("dialog")) return;
  if (target.matches("input:not([type=checkbox]):not([type=range]), textarea, select")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  for (const handler of [...handlers]) {
    if (handler(event.key, event)) {
      event.preventDefault();
      return;
    }
  }
});
