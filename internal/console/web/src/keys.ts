// One listener for all keys: the handler registered last gets a key first, until one
// returns true. Keys in input fields and with Ctrl, Alt or Meta are ignored.

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
