import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, type ApiError, type Filter, type Saga } from "./api";
import { asError } from "./query";
import { instant, moment, supersedes, type Said } from "./said";
import { useWatch } from "./watch";

type Page = { sagas?: Saga[]; nextCursor?: string };

// Sagas is a list that loads page by page and updates live. rows are the rows shown. While
// they are frozen, added counts the new sagas, and gone holds the ids of those that no
// longer match. at is the time of the last answer; undefined if there was none.
export type Sagas = {
  rows: Saga[]; added: number; gone: Set<string>; begun: boolean; at: number | undefined; more: boolean; loading: boolean; error: ApiError | undefined;
  loadMore: () => void; refresh: () => void; release: () => void; fresh: Set<string>; live: boolean;
};

const first = 200, further = 1000;

// newestFirst is the API's order.
function newestFirst(a: Saga, b: Saga): number {
  if (a.started !== b.started) {
    const x = instant(a.started), y = instant(b.started);
    if (x !== y) return x < y ? 1 : -1;
  }
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}

// Book holds the known sagas of one filter.
class Book {
  rows: Saga[] = [];
  next: string | undefined = undefined;
  begun = false;
  heard: number | undefined = undefined;
  private held: Saga[] | undefined = undefined;
  private at = new Map<string, number>();
  private said = new Map<string, Said>();

  // take adds or replaces sagas, and returns the ids of those that changed.
  take(all: Said[]): string[] {
    const news: string[] = [];
    const added: Saga[] = [];
    let born = false; // a reused id has another start time, and so another position
    for (const now of all) {
      const s = now.saga;
      const i = this.at.get(s.id), known = this.said.get(s.id);
      if (i !== undefined && known && !supersedes(now, known)) continue;
      this.said.set(s.id, now);
      if (i === undefined) {
        added.push(s);
        news.push(s.id);
      } else {
        const was = this.rows[i]!;
        if (was.revision !== s.revision || was.started !== s.started) news.push(s.id);
        born ||= was.started !== s.started;
        this.rows[i] = s;
      }
    }
    if (added.length > 0) {
      const last = this.rows[this.rows.length - 1];
      this.rows = this.rows.concat(added);
      if (last && newestFirst(last, added[0]!) > 0 || !sorted(added)) this.rows.sort(newestFirst);
    } else {
      this.rows = this.rows.slice();
    }
    if (born) this.rows.sort(newestFirst);
    this.at = new Map(this.rows.map((s, i) => [s.id, i]));
    return news;
  }

  // hold freezes the rows shown, or releases them.
  hold(still: boolean): void {
    if (!still) this.held = undefined;
    else this.held ??= this.rows;
  }

  // show returns the rows to show: frozen rows with current data in unchanged positions,
  // followed by pages loaded since.
  show(): { rows: Saga[]; added: number; gone: Set<string> } {
    const gone = new Set<string>();
    if (!this.held) return { rows: this.rows, added: 0, gone };
    const on = new Set(this.held.map((s) => s.id));
    const last = this.held[this.held.length - 1];
    const behind = this.rows.filter((s) => !on.has(s.id) && last && newestFirst(last, s) < 0);
    this.held = this.held.map((s) => this.rows[this.at.get(s.id) ?? -1] ?? (gone.add(s.id), s));
    const added = this.rows.length - behind.length - (this.held.length - gone.size);
    if (behind.length > 0) this.held = this.held.concat(behind);
    return { rows: this.held, added, gone };
  }

  index(id: string): number {
    return this.at.get(id) ?? -1;
  }

  // knows reports whether a changed saga belongs to the loaded rows. Older ones come with
  // their page.
  knows(s: Saga): boolean {
    const last = this.rows[this.rows.length - 1];
    return this.at.has(s.id) || !this.next || (last !== undefined && newestFirst(s, last) < 0);
  }

  // drop removes sagas that no longer match the filter.
  drop(gone: (s: Saga, said: Said) => boolean): void {
    this.rows = this.rows.filter((s) => !gone(s, this.said.get(s.id)!));
    this.at = new Map(this.rows.map((s, i) => [s.id, i]));
    for (const id of this.said.keys()) if (!this.at.has(id)) this.said.delete(id);
  }
}

const sorted = (sagas: Saga[]) => sagas.every((s, i) => i === 0 || newestFirst(sagas[i - 1]!, s) <= 0);

// With more changes than most within look milliseconds, which nobody could follow, the list
// polls every two seconds instead of watching.
const most = 400, look = 400;

// The list that was left last, shown until it is loaded again.
let left: { key: string; book: Book } | undefined;

// useSagas lists the sagas that match a filter and watches their changes. While still is
// true, the rows stay in place. Without a watch it polls every two seconds: the newest page
// and the page in view; with one it polls rarely, for filters that depend on the time.
export function useSagas(key: string, filter: () => Filter, visible: () => Saga | undefined, still: boolean): Sagas {
  const book = useMemo(() => new Book(), [key]);
  const before = left?.key === key ? left.book : undefined;
  useEffect(() => () => void (book.begun && (left = { key, book })), [book]);
  const [, redraw] = useState(0);
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState<ApiError>();
  const fresh = useRef(new Set<string>());
  const acts = useRef({ loadMore: () => {}, refresh: () => {} });
  const moved = useRef({ sagas: new Map<string, Said>(), gone: new Map<string, Said>(), timer: 0 });
  const flush = () => {
    const m = moved.current;
    m.timer = 0;
    if (m.gone.size > 0) book.drop((s, said) => m.gone.has(s.id) && supersedes(m.gone.get(s.id)!, said));
    const news = book.take([...m.sagas.values()].filter(({ saga }) => book.knows(saga)).sort((a, b) => newestFirst(a.saga, b.saga)));
    fresh.current = new Set(news.length <= 50 ? news : []);
    m.sagas.clear();
    m.gone.clear();
    redraw((n) => n + 1);
  };
  const live = useWatch("list " + key, () => ({ filter: filter(), onlyChanges: true }), ({ saga, left, missed }, asked) => {
    const m = moved.current;
    book.heard = Date.now();
    if (missed || m.sagas.size >= most) return false;
    if (!saga || !book.begun) return;
    const said = { saga, asked, heard: moment() };
    if (left) {
      m.gone.set(saga.id, said);
      m.sagas.delete(saga.id);
    } else {
      m.sagas.set(saga.id, said);
      m.gone.delete(saga.id);
    }
    m.timer ||= window.setTimeout(flush, look);
  });
  const pause = useRef(0);
  pause.current = live ? 15000 : 2000;
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0, busy = false;
    const page = async (limit: number, more: object = {}, cursor?: string) => {
      const asked = moment();
      const { sagas = [], nextCursor: next } = await call<Page>("List", { filter: { ...filter(), ...more }, limit, ...(cursor && { cursor }) }, abort.signal);
      const heard = moment();
      return { said: sagas.map((saga) => ({ saga, asked, heard })), next, asked };
    };
    const guarded = async (f: () => Promise<void>) => {
      if (busy) return;
      busy = true;
      setLoading(true);
      try {
        await f();
        book.heard = Date.now();
        setError(undefined);
      } catch (e) {
        if (!abort.signal.aborted) setError(asError(e));
      }
      busy = false;
      if (abort.signal.aborted) return;
      setLoading(false);
      redraw((n) => n + 1);
    };
    const begin = async () => {
      const answer = await page(first);
      book.take(answer.said);
      book.next = answer.next;
      book.begun = true;
    };
    // Drops sagas that should be on this page by their start time but are not: they no
    // longer match the filter, unless an update arrived after the request was sent.
    const keepUp = async (limit: number, more: object) => {
      const { said, next, asked } = await page(limit, more);
      const last = said[said.length - 1]?.saga;
      const on = new Set(said.map((s) => s.saga.id));
      const before = (more as Filter).startedBefore;
      book.drop((s, { heard }) => heard < asked && !on.has(s.id) && (!before || instant(s.started) < instant(before)) && (last !== undefined && next !== undefined ? newestFirst(s, last) < 0 : !next));
      const news = book.take(said);
      fresh.current = new Set(news.length <= 50 ? news : []);
    };
    const tick = async () => {
      if (!document.hidden) {
        await guarded(async () => {
          if (!book.begun) return begin();
          await keepUp(100, {});
          const top = visible();
          const index = top ? book.index(top.id) : -1;
          if (top?.started && index >= 100) await keepUp(60, { startedBefore: new Date(Date.parse(top.started) + 1).toISOString() });
        });
      }
      if (!abort.signal.aborted) timer = window.setTimeout(tick, pause.current);
    };
    acts.current = {
      loadMore: () =>
        void guarded(async () => {
          if (!book.next) return;
          const answer = await page(further, {}, book.next);
          book.take(answer.said);
          book.next = answer.next;
        }),
      refresh: () => {
        clearTimeout(timer);
        void tick();
      },
    };
    void tick();
    return () => {
      abort.abort();
      clearTimeout(timer);
      clearTimeout(moved.current.timer);
      moved.current = { sagas: new Map(), gone: new Map(), timer: 0 };
    };
  }, [key]);
  useEffect(() => {
    if (!live && book.begun) acts.current.refresh(); // catches up on missed changes
  }, [live]);
  const source = !book.begun && before ? before : book;
  source.hold(still && source.begun);
  return {
    ...source.show(), begun: source.begun, at: source.heard, more: !book.begun || !!book.next, loading, error, fresh: fresh.current, live,
    loadMore: () => acts.current.loadMore(), refresh: () => acts.current.refresh(),
    release: () => (source.hold(false), redraw((n) => n + 1)),
  };
}
