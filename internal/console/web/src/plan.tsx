import type { Saga } from "./api";
import { Icon } from "./pieces";

// Plan lists the steps that compensation would undo now, in order, and the steps past the
// point of no return.
export function Plan({ saga }: { saga: Saga }) {
  if (saga.ended) return <p class="muted">The saga has ended. Nothing can be undone.</p>;
  const steps = saga.steps ?? [];
  const waves = saga.undo ?? [];
  const planned = new Set(waves.flatMap((w) => w.steps));
  const flying = steps.filter((s) => s.status === "doing" || s.status === "unknown");
  const beyond = steps.filter((s) => s.kind === "retriable");
  const pivot = steps.find((s) => s.kind === "pivot");
  return (
    <>
      {saga.pastPivot ? (
        <p>
          {pivot ? <><b>{pivot.name}</b> is done, and with it the point of no return passed:  </> : "The saga is past its point of no return: "}
          nothing is undone from here on.
        </p>
      ) : waves.length === 0 ? (
        <p class="muted">No step has been done yet that would be undone.</p>
      ) : (
        <ol class="plan" data-plan>
          {waves.map((wave, i) => (
            <li>
              <span class="nr" aria-hidden="true">{i + 1}</span>
              <span>
                {wave.steps.map((name, k) => (
                  <>
                    {k > 0 && <span class="muted"> and </span>}
                    <b>{name}</b>
                  </>
                ))}
                {wave.steps.length > 1 && <span class="muted"> in parallel</span>}
                {wave.steps.some((n) => flying.some((s) => s.name === n)) && <span class="muted"> (finishes first)</span>}
              </span>
            </li>
          ))}
        </ol>
      )}
      {!saga.pastPivot && (pivot || beyond.length > 0) && (
        <p class="muted small" style={{ marginTop: "8px" }}>
          <Icon of="skipped" /> Past the point of no return{pivot && !planned.has(pivot.name) ? <> (<b>{pivot.name}</b>)</> : ""}: {beyond.length > 0 ? beyond.map((s) => s.name).join(", ") : "nothing"}. After
          that, Cancel is refused.
        </p>
      )}
    </>
  );
}
