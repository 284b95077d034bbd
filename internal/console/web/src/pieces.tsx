import type { ComponentChildren } from "preact";
import type { ApiError, Payload, Phase } from "./api";
import { legalText, number, unheard } from "./api";
import { absolute, clock, pretty, relative, size } from "./format";
import { useNow } from "./query";

// Icons: one stroke, 16 by 16. Each status has its own shape, so that colour is never the
// only sign.
const paths: Record<string, string> = {
  running: "M5 3.5l7 4.5-7 4.5z",
  compensating: "M6 3L2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 010 7H6",
  completed: "M3 8.5l3.5 3.5L13 4.5",
  compensated: "M6 3L2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 010 7H6M12.5 2.5v4",
  parked: "M8 1.8l6.4 11.7H1.6zM8 6.2v3.4M8 11.4v.4",
  paused: "M5 3.5v9M11 3.5v9",
  pending: "M8 3a5 5 0 100 10A5 5 0 008 3z",
  doing: "M8 3a5 5 0 11-5 5",
  waiting: "M8 2.5a5.5 5.5 0 100 11 5.5 5.5 0 000-11zM8 5v3.2l2.2 1.4",
  done: "M3 8.5l3.5 3.5L13 4.5",
  rejected: "M4 4l8 8M12 4l-8 8",
  failed: "M4 4l8 8M12 4l-8 8",
  unknown: "M5.5 6a2.5 2.5 0 114 2c-1 .7-1.5 1.2-1.5 2.2M8 12.5v.2",
  undoing: "M6 3L2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 010 7H6",
  undone: "M6 3L2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 010 7H6",
  skipped: "M2.5 4l5 4-5 4M8.5 4l5 4-5 4",
  overview: "M2.5 13.5h11M4 11V8M7 11V4M10 11V6.5M13 11V9",
  list: "M2.5 4h11M2.5 8h11M2.5 12h7",
  definitions: "M5.5 2.5h5v3h-5zM2 10.5h5v3H2zM9 10.5h5v3H9zM8 5.5V8M4.5 10.5V8h7v2.5",
  letters: "M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5",
  sun: "M8 5a3 3 0 100 6 3 3 0 000-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  moon: "M13 9.5A5.5 5.5 0 016.5 3 5.5 5.5 0 1013 9.5z",
  auto: "M8 2.5a5.5 5.5 0 100 11zM8 2.5a5.5 5.5 0 010 11",
  help: "M5.5 6a2.5 2.5 0 114 2c-1 .7-1.5 1.2-1.5 2.2M8 12.5v.2",
  started: "M5 3.5l7 4.5-7 4.5z",
  timer_fired: "M8 2.5a5.5 5.5 0 100 11 5.5 5.5 0 000-11zM8 5v3.2l2.2 1.4",
  clock_adjusted: "M8 2.5a5.5 5.5 0 100 11 5.5 5.5 0 000-11zM8 5v3.2l-2.2 1.4",
  operation_taken: "M8 2.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5zM3 13.5c.5-3 2.5-4 5-4s4.5 1 5 4",
  out: "M6.5 3H3v10h3.5M7 8h6.5M11 5.5L13.5 8 11 10.5",
};

export function Icon({ of }: { of: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={paths[of] ?? paths.pending!} />
    </svg>
  );
}

// Glyph is an icon inside another SVG.
export function Glyph({ of, x, y }: { of: string; x: number; y: number }) {
  return (
    <g class="glyph" transform={`translate(${x} ${y})`} fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">
      <path d={paths[of] ?? paths.pending!} />
    </g>
  );
}

// colour returns the CSS class for a status or phase, which sets --c.
const colours: Record<string, string> = {
  running: "c-run", compensating: "c-back", completed: "c-ok", compensated: "c-undone", parked: "c-bad", paused: "c-back",
  pending: "c-idle", doing: "c-run", waiting: "c-back", done: "c-ok", rejected: "c-bad", failed: "c-bad", unknown: "c-bad",
  undoing: "c-back", undone: "c-undone", skipped: "c-idle",
};
export const colour = (word: string): string => colours[word] ?? "c-idle";

export function Chip({ of, children }: { of: string; children?: ComponentChildren }) {
  return (
    <span class={"chip " + colour(of)}>
      <Icon of={of} />
      {children ?? of}
    </span>
  );
}

// PhaseChip shows a saga's phase; a saga with a damaged record may have none.
export const PhaseChip = ({ phase, ended }: { phase: Phase | undefined; ended?: boolean }) => <Chip of={phase || "failed"}>{phase === "parked" && ended ? "abandoned" : phase || "damaged"}</Chip>;

// Ago shows a relative time, with the absolute time as a tooltip.
export function Ago({ at }: { at: string | undefined }) {
  const now = useNow();
  if (!at) return <span class="muted">–</span>;
  const date = new Date(at);
  return (
    <time dateTime={at} title={absolute(date)}>
      {relative(date.getTime(), now)}
    </time>
  );
}

// AsOf shows how old the data of a page is, highlighted if it has not been updated for too
// long.
export function AsOf({ at, live, late, quiet }: { at: number | undefined; live?: boolean; late?: boolean; quiet?: boolean }) {
  const now = useNow();
  if (at === undefined) return null;
  const old = late || (!live && now - at > 30000) || unheard(now) !== undefined;
  if (live && !old) return quiet ? null : <span class="asof small muted">● live</span>;
  const date = new Date(at);
  return (
    <span class={"asof small " + (old ? "c-bad" : "muted")} data-old={old}>
      as of <time dateTime={date.toISOString()} title={absolute(date)}>{relative(at, now)}</time>
    </span>
  );
}

// Offline warns on every page while the coordinator does not answer.
export function Offline() {
  const now = useNow();
  const since = unheard(now);
  if (since === undefined) return null;
  return (
    <div class="offline" role="alert" data-offline>
      The coordinator has not answered since {clock(new Date(since)).slice(0, 8)}, {relative(since, now)}. The data shown is from then. The console retries automatically.
    </div>
  );
}

// Problem shows an error with what to do next. once is the advice for actions that are not
// retried automatically.
export function Problem({ error, doing, once }: { error: ApiError | undefined; doing?: string; once?: string }) {
  if (!error) return null;
  const next = error.refused ? "" : once ?? (error.code === "unreachable" ? "The console retries automatically." : "");
  return (
    <div class="notice" role="alert">
      <Icon of="parked" />
      <span class="fill">
        <strong>{doing ?? "The request failed"}.</strong> {error.message}{next && <> {next}</>}
        {error.legal.length > 0 && <> Legal now: {legalText(error.legal)}.</>}
      </span>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

const large = 1024;

// Data shows a payload: JSON is indented, and large payloads are folded.
export function Data({ of, title }: { of: Payload | undefined; title: string }) {
  if (!of) return null;
  const bytes = number(of.sizeBytes);
  const about = `${title} · ${size(bytes)}${of.contentType ? " · " + of.contentType : ""}`;
  if (of.leftOut) return <div class="payload muted small">{about} · too large for this answer, or hidden from your role</div>;
  const text = of.json !== undefined ? pretty(of.json) : of.binary !== undefined ? of.binary : "";
  if (text === "") return null;
  return (
    <details class="payload" open={bytes <= large}>
      <summary>{of.binary !== undefined && of.json === undefined ? about + " · base64" : about}</summary>
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}
