import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api";

export type Query<T> = { data: T | undefined; error: ApiError | undefined; refresh: () => void };

export const asError = (e: unknown): ApiError => (e instanceof ApiError ? e : new ApiError("console", String(e)));

// useQuery asks now, whenever key changes, and every so many milliseconds while the
// page is visible. What was known stays on show while it asks again.
export function useQuery<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, every = 0): Query<T> {
  const [state, set] = useState<{ key: string; data?: T; error?: ApiError }>({ key });
  const again = useRef(() => {});
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0, asking = false, once = false;
    const run = async () => {
      clearTimeout(timer);
      if (asking) {
        once = true;
        return;
      }
      asking = true;
      try {
        const data = await ask(abort.signal);
        if (!abort.signal.aborted) set({ key, data });
      } catch (e) {
        if (!abort.signal.aborted) set((s) => ({ key, error: asError(e), ...(s.key === key && s.data !== undefined ? { data: s.data } : {}) }));
      }
      asking = false;
      if (abort.signal.aborted) return;
      if (once) {
        once = false;
        void run();
      } else if (every > 0) timer = window.setTimeout(tick, every);
    };
    const tick = () => (document.hidden ? (timer = window.setTimeout(tick, every)) : void run());
    again.current = run;
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, every]);
  const mine = state.key === key;
  return { data: mine ? state.data : undefined, error: mine ? state.error : undefined, refresh: () => again.current() };
}

const ticks = new Set<(now: number) => void>();
setInterval(() => {
  const now = Date.now();
  for (const f of ticks) f(now);
}, 1000);

// useNow is the time, each second.
export function useNow(): number {
  const [now, set] = useState(Date.now);
  useEffect(() => {
    ticks.add(set);
    return () => void ticks.delete(set);
  }, []);
  return now;
}
