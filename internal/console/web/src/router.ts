import { useEffect, useState } from "preact/hooks";

// The URL is the state, so that every view can be shared.

const moved = new Set<() => void>();

export function navigate(to: string, replace = false): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  for (const f of moved) f();
}

export function useAddress(): URL {
  const [address, set] = useState(() => new URL(location.href));
  useEffect(() => {
    const f = () => set(new URL(location.href));
    moved.add(f);
    addEventListener("popstate", f);
    return () => {
      moved.delete(f);
      removeEventListener("popstate", f);
    };
  }, []);
  return address;
}

// Links within the console do not reload the page.
export function interceptLinks(): void {
  addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.origin !== location.origin || link.hasAttribute("data-native")) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
    scrollTo(0, 0);
  });
}

// The last URL of the list, in session storage, so that going back from a saga restores the
// filter, even after a reload.
const place = "amends.list";
export const rememberList = (address: string): void => sessionStorage.setItem(place, address);
export const listPath = (): string => sessionStorage.getItem(place) ?? "/sagas";

export const sagaPath = (id: string): string => "/sagas/" + encodeURIComponent(id);
export const definitionPath = (name: string, version: string | number | undefined): string => `/definitions/${name}/${version ?? ""}`;
