import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api";

export type Query<T> = { data: T | undefined; at: number | undefined; late: boolean; error: ApiError | undefined; refresh: () => void };

export const asError = (e: unknown): ApiError => (e instanceof ApiError ? e : new ApiError("console", String(e)));

// Answers by query key, with their times, to show while a page that is opened again loads.
const last = new Map<string, { data: unknown; at: number }>();
const kept = 50;

function keep(key: string, data: unknown): number {
  const at = Date.now();
  last.delete(key);
  last.set(key, { data, at });
  for (const old of last.keys()) if (last.size > kept) last.delete(old);
  return at;
}

// useQuery sends a request now, when key changes, and every so many milliseconds while the
// page is visible. Meanwhile the last answer stays available, with its time.
export function useQuery<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, every = 0): Query<T> {
  type State = { key: string; data?: T; at?: number; error?: ApiError };
  const before = (): State => ({ key, ...(last.get(key) as { data: T; at: number } | undefined) });
  const [kept, set] = useState<State>(before);
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
        if (!abort.signal.aborted) set({ key, data, at: keep(key, data) });
      } catch (e) {
        if (!abort.signal.aborted) set((s) => ({ ...(s.key === key ? s : before()), error: asError(e) }));
      }
      asking = false;
      if (abort.signal.aborted) return;
      if (once) {
        once = false;
        void run();
      } else if (every > 0) timer = window.setTimeout(tick, every);
    };
    const tick = () => (document.hidden ? (timer = window.setTimeout(tick, every)) : void run());
    const seen = () => void (document.hidden || asking || every === 0 || run());
    document.addEventListener("visibilitychange", seen);
    again.current = run;
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, every]);
  const state = kept.key === key ? kept : before();
  return { data: state.data, at: state.at, late: state.error?.code === "unreachable", error: state.error, refresh: () => again.current() };
}

const ticks = new Set<(now: number) => void>();
setInterval(() => {
  const now = Date.now();
  for (const f of ticks) f(now);
}, 1000);

// useNow returns the current time, updated every second.
export function useNow(): number {
  const [now, set] = useState(Date.now);
  useEffect(() => {
    ticks.add(set);
    return () => void ticks.delete(set);
  }, []);
  return now;
}
