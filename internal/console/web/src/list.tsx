import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { call, number, phases, refText, unheard, type Count, type Definition, type Saga } from "./api";
import { count, plural } from "./format";
import { ages, change, filterOf, texts } from "./filter";
import { BulkBar } from "./bulk";
import { onKey } from "./keys";
import { Ago, AsOf, colour, Empty, Icon, PhaseChip, Problem } from "./pieces";
import { useNow, useQuery } from "./query";
import { navigate, rememberList, sagaPath, useAddress } from "./router";
import { useSagas, type Sagas } from "./sagas";
import { StartOne } from "./startone";

type Counted = { counts?: Count[]; total?: number; atLeast?: boolean };

export function List() {
  const address = useAddress();
  const params = address.searchParams;
  const key = params.toString();
  const top = useRef<Saga>();
  const [busy, setBusy] = useState(false); // the pointer is on the list or the list is scrolled: rows stay in place
  const [chosen, choose] = useState<Set<string>>(new Set());
  const sagas = useSagas(key, () => filterOf(params, Date.now()), () => top.current, busy || chosen.size > 0);
  useEffect(() => rememberList(address.pathname + address.search), [address.search]);
  const counted = useQuery("count " + key, (signal) => call<Counted>("Count", { filter: filterOf(params, Date.now()) }, signal), 3000).data;
  useEffect(() => choose(new Set()), [key]);
  const mark = (id: string) =>
    choose((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  return (
    <>
      <div class="head">
        <h1>Sagas</h1>
        <span class="muted">
          {counted ? `${counted.atLeast ? "at least " : ""}${key ? plural(number(counted.total), "matches", "match") : count(number(counted.total))}, ` : ""}
          newest start first
        </span>
        <span class="fill" />
        <AsOf at={sagas.at} live={sagas.live} quiet late={sagas.error?.code === "unreachable"} />
        <Live is={sagas.live} />
      </div>
      <Filters params={params} />
      <Problem error={sagas.error} doing="The list could not be read" />
      <div class="card">
        {!sagas.begun ? (
          <Empty title={sagas.error ? "The list could not be read" : "Loading …"}>
            <p>{sagas.error ? "The coordinator has not answered. The console retries automatically." : "Waiting for the coordinator."}</p>
          </Empty>
        ) : sagas.rows.length === 0 && sagas.added === 0 ? (
          <Nothing filtered={key !== ""} />
        ) : (
          <>
            <News added={sagas.added} gone={sagas.gone.size} show={() => (sagas.release(), document.querySelector(".grid")?.scrollTo(0, 0))} />
            <BulkBar chosen={chosen} clear={() => choose(new Set())} filter={() => filterOf(params, Date.now())} filtered={key !== ""} matching={number(counted?.total)} done={() => (sagas.release(), sagas.refresh())} />
            <Grid key={key} sagas={sagas} seen={(s) => (top.current = s)} chosen={chosen} mark={mark} busy={setBusy} />
          </>
        )}
      </div>
    </>
  );
}

// Live shows whether the list is watched or polled.
function Live({ is }: { is: boolean }) {
  const live = is && unheard(useNow()) === undefined;
  return <span class="muted small" data-live={live}>{live ? "● live" : "○ updated every 2 s"}</span>;
}

// News shows what has changed while the rows are frozen.
function News({ added, gone, show }: { added: number; gone: number; show: () => void }) {
  const what = [added > 0 && `${count(added)} new`, gone > 0 && `${count(gone)} no longer match`].filter(Boolean).join(", ");
  if (!what) return null;
  return (
    <div class="news">
      <button class="primary" onClick={show} data-news title="The rows stay in place while you point at them, scroll or have selected some">{what}</button>
    </div>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  return filtered ? (
    <Empty title="No saga matches">
      <p>The filter is part of the page's address. Remove a part of it, or show all sagas.</p>
      <a class="button" href="/sagas">Show all sagas</a>
    </Empty>
  ) : (
    <Empty title="No saga yet">
      <p>A saga is one run of a definition. It appears here when it is started, and updates live. Start one:</p>
      <StartOne />
    </Empty>
  );
}

function Filters({ params }: { params: URLSearchParams }) {
  const search = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  const [text, setText] = useState(params.get("id") ?? "");
  useEffect(() => setText((t) => (t.trim() === (params.get("id") ?? "") ? t : params.get("id") ?? "")), [params.get("id")]);
  const definitions = useQuery("definitions", (signal) => call<{ definitions?: Definition[] }>("ListDefinitions", {}, signal));
  const go = (to: Record<string, string>) => navigate(change(params, to), true);
  useLayoutEffect(() => onKey((key) => key === "/" && (search.current?.focus(), search.current?.select(), true)), []);
  const special = [...texts.map((f) => f.name), "still"].filter((name) => params.has(name)).length;
  const [more, setMore] = useState(special > 0);
  const on = new Set((params.get("phase") ?? "").split(",").filter(Boolean));
  const names = [...new Set(definitions.data?.definitions?.map((d) => d.ref.name))];
  const toggle = (phase: string) => {
    const next = new Set(on);
    if (!next.delete(phase)) next.add(phase);
    go({ phase: phases.filter((p) => next.has(p)).join(",") });
  };
  return (
    <form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
      <input
        ref={search} class="search" type="search" placeholder="Id begins with …   ( / )" aria-label="Id begins with" value={text} spellcheck={false} autocomplete="off"
        onInput={(e) => {
          const value = e.currentTarget.value.trim();
          setText(e.currentTarget.value);
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => go({ id: value }), 150);
        }}
      />
      <select aria-label="Definition" value={params.get("definition") ?? ""} onChange={(e) => go({ definition: e.currentTarget.value })}>
        <option value="">every definition</option>
        {names.map((name) => (
          <>
            <option value={name}>{name}</option>
            {definitions.data!.definitions!.filter((d) => d.ref.name === name).map((d) => (
              <option value={`${name}@${d.ref.version}`}>{refText(d.ref)}</option>
            ))}
          </>
        ))}
      </select>
      <select aria-label="Started" value={params.get("since") ?? ""} onChange={(e) => go({ since: e.currentTarget.value })}>
        <option value="">started any time</option>
        {ages.map(([word, text]) => (
          <option value={word}>in the last {text}</option>
        ))}
      </select>
      <div class="toggles" role="group" aria-label="Phases">
        {phases.map((phase) => (
          <button type="button" class={"toggle " + colour(phase)} aria-pressed={on.has(phase)} onClick={() => toggle(phase)}>
            <Icon of={phase} />
            {phase}
          </button>
        ))}
        <button type="button" class="toggle" aria-pressed={params.has("open")} onClick={() => go({ open: params.has("open") ? "" : "1" })} title="sagas that have not ended">
          open
        </button>
        <button type="button" class="toggle c-back" aria-pressed={params.has("paused")} onClick={() => go({ paused: params.has("paused") ? "" : "1" })}>
          <Icon of="paused" />
          paused
        </button>
        <button type="button" class="toggle c-bad" aria-pressed={params.has("overdue")} onClick={() => go({ overdue: params.has("overdue") ? "" : "1" })} title="sagas whose deadline has passed after the point of no return">
          overdue
        </button>
        <button type="button" class="toggle" aria-expanded={more} onClick={() => setMore(!more)}>
          {special > 0 ? `more (${special})` : "more"} {more ? "▴" : "▾"}
        </button>
      </div>
      {more && (
        <div class="more">
          {texts.map(({ name, title, hint }) => (
            <label>
              {title}
              <input type="text" defaultValue={params.get(name) ?? ""} placeholder={hint} onChange={(e) => go({ [name]: e.currentTarget.value.trim() })} spellcheck={false} />
            </label>
          ))}
          <label>
            No progress for
            <select value={params.get("still") ?? ""} onChange={(e) => go({ still: e.currentTarget.value })}>
              <option value="">any time</option>
              {ages.map(([word, text]) => <option value={word}>{text.replace(/^hour/, "1 hour")}</option>)}
            </select>
          </label>
        </div>
      )}
    </form>
  );
}

// Row heights; on a phone a row has two lines. They are fixed, so that only the rows in
// view need to be in the page.
const narrow = matchMedia("(max-width: 720px)");
const rowHeight = () => (narrow.matches ? 58 : 36);
const spare = 8;

// How many milliseconds the rows stay frozen after a finger was lifted, because the click
// comes later, and a scroll gesture is cancelled before the list scrolls.
const lifted = 500;

type GridProps = { sagas: Sagas; seen: (s: Saga | undefined) => void; chosen: Set<string>; mark: (id: string) => void; busy: (is: boolean) => void };

function Grid({ sagas, seen, chosen, mark, busy }: GridProps) {
  const { rows } = sagas;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ from: 0, to: 40 });
  const [current, setCurrent] = useState<string>();
  // The cursor belongs to a saga, not to a row. A key may arrive before the next render. If
  // the saga has left the list, keys continue from its last row.
  const at = useRef<{ id: string; index: number }>();
  const here = (): { there: boolean; index: number } => {
    if (!at.current) return { there: false, index: -1 };
    const index = rows[at.current.index]?.id === at.current.id ? at.current.index : rows.findIndex((s) => s.id === at.current!.id);
    return index >= 0 ? { there: true, index } : { there: false, index: Math.min(at.current.index, rows.length) - 1 };
  };
  const pick = (id: string, index: number) => {
    at.current = { id, index };
    setCurrent(id);
  };
  const pointed = useRef(false);
  const down = useRef(new Map<number, number>()); // pointers that are down on the list, with their release timers
  const hold = () => busy(pointed.current || down.current.size > 0 || (box.current?.scrollTop ?? 0) > 0);
  const point = (is: boolean) => ((pointed.current = is), hold());
  const press = (e: PointerEvent) => {
    clearTimeout(down.current.get(e.pointerId));
    down.current.set(e.pointerId, 0);
    hold();
  };
  useEffect(() => {
    const lift = (e: PointerEvent) => {
      if (!down.current.has(e.pointerId)) return;
      clearTimeout(down.current.get(e.pointerId));
      down.current.set(e.pointerId, window.setTimeout(() => (down.current.delete(e.pointerId), hold()), lifted));
    };
    addEventListener("pointerup", lift, true);
    addEventListener("pointercancel", lift, true);
    return () => {
      removeEventListener("pointerup", lift, true);
      removeEventListener("pointercancel", lift, true);
      for (const timer of down.current.values()) clearTimeout(timer);
      busy(false);
    };
  }, []);
  const height = rowHeight();
  const title = narrow.matches ? 0 : 32;
  const look = () => {
    const el = box.current;
    if (!el) return;
    const from = Math.max(0, Math.floor(el.scrollTop / height) - spare);
    const to = Math.ceil((el.scrollTop + el.clientHeight) / height) + spare;
    setView((v) => (v.from === from && v.to === to ? v : { from, to }));
    seen(rows[Math.min(rows.length - 1, from + spare)]);
    if (sagas.more && to + 200 > rows.length) sagas.loadMore();
  };
  useLayoutEffect(look, [rows.length, sagas.loading]);
  useEffect(() => {
    addEventListener("resize", look);
    return () => removeEventListener("resize", look);
  });
  const inView = (index: number) => {
    const el = box.current!;
    return index * height >= el.scrollTop && (index + 1) * height <= el.scrollTop + el.clientHeight - title;
  };
  const bring = (to: number) => {
    const el = box.current!;
    const y = to * height, room = el.clientHeight - title;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + height > el.scrollTop + room) el.scrollTop = y + height - room;
    requestAnimationFrame(() => el.querySelector<HTMLElement>(`[data-index="${to}"] a`)?.focus({ preventScroll: true }));
  };
  // The cursor stays in view when new sagas appear above it, so that keys act on a visible
  // row. Focus outside the list is not moved.
  useLayoutEffect(() => {
    const { there, index } = here();
    if (!there || index === at.current!.index) return;
    const seen = inView(at.current!.index);
    at.current!.index = index;
    const focus = document.activeElement;
    if (seen && !inView(index) && (focus === document.body || box.current!.contains(focus))) bring(index);
  }, [rows]);
  useLayoutEffect(() => {
    const move = (to: number) => {
      to = Math.max(0, Math.min(rows.length - 1, to));
      pick(rows[to]!.id, to);
      bring(to);
      return true;
    };
    return onKey((key, event) => {
      if (rows.length === 0) return false;
      switch (key) {
        case "j":
        case "ArrowDown":
          return move(here().index + 1);
        case "k":
        case "ArrowUp":
          return move(here().there ? here().index - 1 : here().index);
        case "Home":
          return move(0);
        case "End":
          return move(rows.length - 1);
        case "x":
          if (here().there) mark(at.current!.id);
          return true;
        case "Enter":
          if (!here().there || (event.target as Element).closest("button, a, input")) return false;
          navigate(sagaPath(at.current!.id));
          return true;
      }
      return false;
    });
  });
  return (
    <div class="grid" ref={box} onScroll={() => (look(), hold())} onPointerDown={press} onPointerEnter={(e) => e.pointerType !== "touch" && point(true)} onPointerLeave={() => point(false)} role="table" aria-label="Sagas" aria-rowcount={rows.length + 1} tabIndex={0}>
      <div class="row titles" role="row" aria-rowindex={1}>
        <span class="k-select" role="columnheader"><span class="hidden">Selected</span></span>
        <span role="columnheader">Phase</span>
        <span role="columnheader">Id</span>
        <span role="columnheader">Definition</span>
        <span role="columnheader">Reason</span>
        <span role="columnheader" class="right">Revision</span>
        <span role="columnheader" class="right">Started</span>
        <span role="columnheader" class="right">Updated</span>
      </div>
      <div class="space" role="rowgroup" style={{ height: rows.length * height + "px" }}>
        {rows.slice(view.from, view.to).map((saga, i) => (
          <Row key={saga.id} saga={saga} index={view.from + i} height={height} current={current === saga.id} fresh={sagas.fresh.has(saga.id)} gone={sagas.gone.has(saga.id)} pick={pick} chosen={chosen.has(saga.id)} mark={mark} />
        ))}
      </div>
    </div>
  );
}

type RowProps = { saga: Saga; index: number; height: number; current: boolean; fresh: boolean; gone: boolean; pick: (id: string, index: number) => void; chosen: boolean; mark: (id: string) => void };

function Row({ saga, index, height, current, fresh, gone, pick, chosen, mark }: RowProps) {
  return (
    <div
      class={`row ${current ? "current" : ""} ${fresh ? "fresh" : ""} ${gone ? "gone" : ""}`} title={gone ? "no longer matches the filter" : undefined} role="row" aria-rowindex={index + 2} data-index={index} data-id={saga.id}
      style={{ top: index * height + "px", height: height + "px" }}
      onClick={(e) => {
        pick(saga.id, index);
        if (!(e.target as Element).closest("a, input, label")) navigate(sagaPath(saga.id));
      }}
    >
      <label class="k-select" role="cell"><input type="checkbox" checked={chosen} onChange={() => mark(saga.id)} aria-label={`Select ${saga.id}`} /></label>
      <span class="k-phase" role="cell">
        <PhaseChip phase={saga.phase} ended={!!saga.ended} />
        {saga.paused && <span title="paused"> <Icon of="paused" /><span class="hidden">paused</span></span>}
      </span>
      <span class="k-id" role="cell"><a href={sagaPath(saga.id)} onFocus={() => pick(saga.id, index)}>{saga.id}</a></span>
      <span class="k-definition" role="cell">{refText(saga.definition)}</span>
      <span class="k-reason muted" role="cell" title={saga.problem || saga.reason}>{saga.problem || saga.reason}</span>
      <span class="k-revision right muted" role="cell">{saga.revision}</span>
      <span class="k-started right muted" role="cell"><Ago at={saga.started} /></span>
      <span class="k-updated right muted" role="cell"><Ago at={saga.updated} /></span>
    </div>
  );
}
