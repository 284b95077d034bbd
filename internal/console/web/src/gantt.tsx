import type { HistoryEvent, Step } from "./api";
import { show } from "./diagram";
import { seconds } from "./format";
import { colour } from "./pieces";

// Span is a time in which a step was in progress, waiting or parked.
export type Span = { step: string; what: string; attempt: number; undo: boolean; from: number; to?: number; end?: string };

const busy = new Set(["doing", "undoing", "waiting", "parked"]);

function now(s: Step): { word: string; undo: boolean } | undefined {
  const word = show(s);
  return busy.has(word) ? { word, undo: s.direction === "undo" } : undefined;
}

// spans returns when each attempt began and what ended it, from a history with the saga's
// state after each event.
export function spans(events: HistoryEvent[]): Span[] {
  const all: Span[] = [];
  const open = new Map<string, Span>();
  for (const e of events) {
    const at = Date.parse(e.at ?? "");
    for (const s of e.saga?.steps ?? []) {
      const is = now(s);
      const was = open.get(s.name);
      if (was && is && was.what === is.word && was.attempt === (s.attempt ?? 0) && was.undo === is.undo) continue;
      if (was) {
        was.to = at;
        was.end = e.step && e.step !== s.name ? s.status : e.outcome ?? (e.timer === "timeout" ? "timed out" : e.operation ?? s.status);
        open.delete(s.name);
      }
      if (is) {
        const span: Span = { step: s.name, what: is.word, attempt: s.attempt ?? 0, undo: is.undo, from: at };
        open.set(s.name, span);
        all.push(span);
      }
    }
  }
  return all;
}

function tone(s: Span): string {
  if (s.what === "waiting" || s.what === "parked") return colour(s.what);
  if (s.to === undefined) return colour(s.what);
  if (s.end === "completed") return colour(s.undo ? "undone" : "done");
  return s.end === "rejected" || s.end === "failed" || s.end === "timed out" ? colour("failed") : colour("pending");
}

type Props = { events: HistoryEvent[]; steps: string[]; ended: boolean; at: number; time: number };

// Gantt shows a lane for each step with a bar for each attempt. Undos are hatched, failures
// have a dashed frame, and running attempts are open to the right.
export function Gantt({ events, steps, ended, at, time }: Props) {
  const first = Date.parse(events[0]?.at ?? "");
  const last = Date.parse(events[events.length - 1]?.at ?? "");
  if (events.length === 0 || Number.isNaN(first)) return null;
  const bars = spans(events);
  const end = Math.max(ended ? last : time, last, first + 1);
  const whole = (end - first) * 1.01;
  const x = (t: number) => Math.max(0, Math.min(100, ((t - first) / whole) * 100));
  const cut = events.find((e) => e.revision === at);
  const past = at < events[events.length - 1]!.revision && cut ? x(Date.parse(cut.at ?? "")) : undefined;
  const lanes = steps.filter((name) => bars.some((b) => b.step === name));
  return (
    <div class="gantt" tabIndex={0} role="group" aria-label="Timeline of attempts">
      <div class="lanes">
        {lanes.map((name) => (
          <>
            <div class="name" title={name}>{name}</div>
            <div class="lane">
              {bars.filter((b) => b.step === name).map((b) => {
                const to = b.to ?? end;
                const width = x(to) - x(b.from);
                const says = `${name}: ${b.undo ? "undo, " : ""}${b.what === "doing" || b.what === "undoing" ? `attempt ${b.attempt}` : b.what}, ${seconds((to - b.from) / 1000)}${b.end ? ", " + b.end : ", in progress"}`;
                return (
                  <div
                    class={`bar ${tone(b)} ${b.undo ? "undo" : ""} ${b.to === undefined ? "open" : ""} ${b.end === "failed" || b.end === "timed out" || b.end === "rejected" ? "failed" : ""}`}
                    style={{ left: x(b.from) + "%", width: width + "%", ...(b.what === "waiting" ? { top: "10px", height: "5px" } : {}) }}
                    title={says} role="img" aria-label={says}
                  >
                    {width > 4 && b.what !== "waiting" ? (b.what === "parked" ? "parked" : b.attempt) : ""}
                  </div>
                );
              })}
              {past !== undefined && <div class="cut" style={{ left: past + "%" }} />}
            </div>
          </>
        ))}
        <div />
        <div class="axis" aria-hidden="true">
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <span style={{ left: part * 100 + "%" }}>{part === 0 ? "0" : "+" + seconds((whole * part) / 1000)}</span>
          ))}
        </div>
      </div>
    </div>
  );
}
