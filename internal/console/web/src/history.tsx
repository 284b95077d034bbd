import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { number, type HistoryEvent } from "./api";
import { absolute, clock, seconds } from "./format";
import { Data, Icon } from "./pieces";

function Timer({ e }: { e: HistoryEvent }): ComponentChildren {
  const step = <><b>{e.step}</b>{e.direction === "undo" ? " (undo)" : ""}</>;
  switch (e.timer) {
    case "timeout":
      return <>attempt {e.attempt} of {step} timed out</>;
    case "retry":
      return <>attempt {number(e.attempt) + 1} of {step} started</>;
    case "deadline":
      return <>the deadline was reached</>;
  }
  return <>a timer fired</>;
}

function Sentence({ e }: { e: HistoryEvent }): ComponentChildren {
  switch (e.type) {
    case "started":
      return <>started</>;
    case "step_answered":
      return (
        <>
          <b>{e.participant}</b> answered <b>{e.step}</b>{e.direction === "undo" ? " (undo)" : ""}: {e.outcome}
          {number(e.attempt) > 1 && <span class="muted"> at attempt {e.attempt}</span>}
        </>
      );
    case "timer_fired":
      return <Timer e={e} />;
    case "clock_adjusted":
      return <>the coordinator's clock was changed</>;
    case "operation_taken":
      return <><b>{e.by}</b> decided: {e.operation}{e.step && <> <b>{e.step}</b></>}{e.outcome && <> as {e.outcome}</>}</>;
  }
  return <>{e.type}</>;
}

const icon = (e: HistoryEvent): string => (e.type !== "step_answered" ? e.type : e.outcome === "completed" ? (e.direction === "undo" ? "undone" : "done") : "failed");

type Props = { events: HistoryEvent[]; at: number; go: (revision: number) => void };

// History lists the recorded events, newest first.
export function History({ events, at, go }: Props) {
  const [shown, show] = useState(200);
  const left = Math.max(0, events.length - shown);
  return (
    <div class="scroll">
      <table class="history">
        <thead>
          <tr>
            <th>Rev.</th>
            <th>Time</th>
            <th>What happened</th>
          </tr>
        </thead>
        <tbody>
          {events.map((e, i) => ({ e, i })).slice(left).reverse().map(({ e, i }) => {
            const revision = number(e.revision);
            const date = new Date(e.at ?? 0);
            const since = i > 0 ? (date.getTime() - Date.parse(events[i - 1]!.at ?? "")) / 1000 : 0;
            return (
              <tr key={e.revision} class={`event ${revision > at ? "future" : ""} ${revision === at ? "here" : ""}`} data-revision={e.revision}>
                <td><button class="plain" onClick={() => go(revision)} aria-label={`Show the saga at revision ${revision}`}>{e.revision}</button></td>
                <td class="nowrap">
                  <time class="mono" dateTime={e.at} title={absolute(date)}>{clock(date)}</time>
                  {i > 0 && <div class="muted small">+{seconds(Math.max(0, since))}</div>}
                </td>
                <td>
                  <Icon of={icon(e)} /> <Sentence e={e} />
                  {e.reason && <div class="muted">{e.reason}</div>}
                  {e.problem && <div>{e.problem}</div>}
                  <Data of={e.payload} title={e.type === "started" ? "input" : "result"} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {left > 0 && <div class="bulk"><button onClick={() => show(shown + 500)}>Show older ({left})</button></div>}
    </div>
  );
}
