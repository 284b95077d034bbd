import type { Saga } from "./api";
import { Icon } from "./pieces";

// Plan is what going back would undo now, in which order, and what it cannot touch.
export function Plan({ saga }: { saga: Saga }) {
  if (saga.ended) return <p class="muted">The saga has ended. Nothing can be undone any more.</p>;
  const steps = saga.steps ?? [];
  const waves = saga.undo ?? [];
  const planned = new Set(waves.flatMap((w) => w.steps));
  const flying = steps.filter((s) => s.status === "doing" || s.status === "unknown");
  const beyond = steps.filter((s) => s.kind === "retriable");
  const pivot = steps.find((s) => s.kind === "pivot");
  return (
    <>
      {saga.past_pivot ? (
        <p>
          {pivot ? <><b>{pivot.name}</b> is behind us, the point of no return: </> : "The saga is past its point of no return: "}
          nothing is undone any more. The saga can only go forward.
        </p>
      ) : waves.length === 0 ? (
        <p class="muted">Nothing was done yet that would have to be undone.</p>
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
                {wave.steps.length > 1 && <span class="muted"> at the same time</span>}
                {wave.steps.some((n) => flying.some((s) => s.name === n)) && <span class="muted"> (finishes first)</span>}
              </span>
            </li>
          ))}
        </ol>
      )}
      {!saga.past_pivot && (pivot || beyond.length > 0) && (
        <p class="muted small" style={{ marginTop: "8px" }}>
          <Icon of="skipped" /> Past the point of no return{pivot && !planned.has(pivot.name) ? <> (<b>{pivot.name}</b>)</> : ""}: {beyond.length > 0 ? beyond.map((s) => s.name).join(", ") : "nothing"}. Once it is
          passed, Cancel is refused.
        </p>
      )}
    </>
  );
}
