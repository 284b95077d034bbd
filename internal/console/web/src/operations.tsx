import { useState } from "preact/hooks";
import { ApiError, call, type Decision, type LegalOperation, type Saga } from "./api";
import { Dialog } from "./dialog";
import { Inline } from "./json";
import { Icon, Problem } from "./pieces";
import { asError } from "./query";
import { moment, type Said } from "./said";
import { may, rememberedName, rememberName, useWho } from "./who";
import { Plan } from "./plan";

// confirm is the label of the button that takes the decision. It is never one that could
// also mean to close the dialog.
export type Operation = { operation: string; title: string; confirm: string; does: string; when: string; danger?: boolean };

export const operations: Operation[] = [
  { operation: "retry", title: "Retry now", confirm: "Retry now", does: "Retries the step now, with all of its attempts available again.", when: "on a step that waits for its next attempt, or is parked; not after a rejection past the point of no return" },
  { operation: "resolve", title: "Resolve", confirm: "Resolve the step", does: "Records the outcome of the step that you have found out. Nothing is sent to the participant.", when: "on a step that waits for its next attempt, or is parked" },
  { operation: "skip", title: "Skip", confirm: "Skip the step", does: "Continues without the step.", when: "on a parked step", danger: true },
  { operation: "compensate", title: "Compensate", confirm: "Compensate the saga", does: "Undoes the completed steps. Make sure that the pivot had no effect: it is not undone.", when: "with a parked pivot", danger: true },
  { operation: "pause", title: "Pause", confirm: "Pause the saga", does: "Pauses the saga: no new commands are sent, and its timers stop. Answers to commands in flight are still recorded.", when: "on a saga that is open and not paused" },
  { operation: "resume", title: "Resume", confirm: "Resume the saga", does: "Continues the saga where it was paused.", when: "on a paused saga" },
  { operation: "cancel", title: "Cancel", confirm: "Cancel the saga", does: "Undoes the completed steps.", when: "before the point of no return", danger: true },
  { operation: "abandon", title: "Abandon", confirm: "Abandon the saga", does: "Ends the saga as it is. Nothing is undone.", when: "on a parked saga", danger: true },
];

// OperationButtons offers all operations. A disabled button says when its operation is
// legal.
export function OperationButtons({ legal, choose }: { legal: LegalOperation[]; choose: (v: Operation) => void }) {
  const who = useWho();
  const allowed = may(who, "operator");
  return (
    <div class="operations">
      {operations.map((v) => {
        const on = allowed && legal.some((l) => l.operation === v.operation);
        const why = on ? v.does : allowed ? `Not legal now: ${v.title} is legal ${v.when}.` : "Your role is read-only. Operations need the role operator.";
        return (
          <button class={v.danger ? "danger" : ""} disabled={!on} title={why} data-operation={v.operation} onClick={() => choose(v)}>
            {v.title}
          </button>
        );
      })}
    </div>
  );
}

type Props = { saga: Saga; operation: Operation; step?: string | undefined; close: () => void; done: (s: Said) => void };

// legalSteps returns the steps for which the operation is legal now; "" stands for the
// whole saga.
const legalSteps = (saga: Saga, operation: Operation): string[] => (saga.legal ?? []).filter((l) => l.operation === operation.operation).map((l) => l.step ?? "");

const isJSON = (json: string): boolean => {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
};

// Decide asks for the details of an operation and takes it, on the chosen step and at the
// revision shown.
export function Decide({ saga, operation, step, close, done }: Props) {
  const who = useWho();
  // The choices are those of when the dialog was opened, so that a change of the saga
  // cannot replace the chosen step.
  const [opened] = useState(() => ({ phase: saga.phase, steps: legalSteps(saga, operation) }));
  const { steps } = opened;
  const [chosen, choose] = useState(step && steps.includes(step) ? step : steps[0]);
  const gone = saga.phase !== opened.phase || !legalSteps(saga, operation).includes(chosen ?? "");
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState("completed");
  const submit = async (e: Event) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const by = who.known ? who.name : text("by");
    const decision: Decision = { operation: operation.operation, reason: text("reason"), by };
    if (gone) return;
    if (chosen) decision.step = chosen;
    if (operation.operation === "resolve") {
      decision.outcome = outcome;
      const result = outcome === "completed" ? text("result") : "";
      if (result && !isJSON(result)) return setError(new ApiError("invalid_argument", "The result is not valid JSON."));
      if (result) decision.result = new Inline(result);
    }
    if (!who.known) rememberName(by);
    setBusy(true);
    try {
      const asked = moment();
      const answer = await call<{ saga: Saga }>("Operate", { id: saga.id, decision, expectedRevision: saga.revision });
      done({ saga: answer.saga, asked, heard: moment() });
    } catch (e) {
      setError(asError(e));
      setBusy(false);
    }
  };
  return (
    <Dialog title={operation.title} close={close}>
      <form onSubmit={submit}>
        <h2>{operation.title} <span class="mono">{saga.id}</span></h2>
        <p style={{ marginBottom: "12px" }}>{operation.does}</p>
        {(operation.operation === "cancel" || operation.operation === "compensate") && <div style={{ marginBottom: "14px" }}><Plan saga={saga} /></div>}
        {steps.some(Boolean) && (
          <label class="field">
            <span>Step</span>
            <select name="step" value={chosen} onChange={(e) => choose(e.currentTarget.value)}>
              {steps.map((s) => <option value={s}>{s}</option>)}
            </select>
          </label>
        )}
        {operation.operation === "resolve" && (
          <>
            <label class="field">
              <span>Outcome</span>
              <select value={outcome} onChange={(e) => setOutcome(e.currentTarget.value)}>
                <option value="completed">completed: the step was done</option>
                <option value="rejected">rejected: the step was not done and had no effect</option>
              </select>
            </label>
            {outcome === "completed" && (
              <label class="field">
                <span>Result as JSON, as the participant would have answered (optional)</span>
                <textarea name="result" class="mono" spellcheck={false} placeholder='{"receipt": "…"}' />
              </label>
            )}
          </>
        )}
        <label class="field">
          <span>Reason (recorded in the history)</span>
          <textarea name="reason" required maxLength={1000} autofocus placeholder="What you know, and from whom" />
        </label>
        {!who.known && (
          <label class="field">
            <span>Your name (recorded in the history)</span>
            <input type="text" name="by" required maxLength={64} defaultValue={rememberedName(who)} autocomplete="name" />
          </label>
        )}
        {gone && !busy && (
          <div class="notice" role="alert" data-gone>
            <Icon of="parked" />
            <span class="fill"><strong>The saga has changed meanwhile.</strong> {operation.title}{chosen ? ` of ${chosen}` : ""} is no longer the same operation. Close this dialog and check the saga.</span>
          </div>
        )}
        <Problem error={error} doing={error?.refused ? "Nothing was done" : "It is unknown whether this was done"} once="Check the history before you try again." />
        <div class="buttons">
          <button type="button" onClick={close}>Close</button>
          <button class={"primary " + (operation.danger ? "danger" : "")} disabled={busy || gone} data-confirm>{operation.confirm}</button>
        </div>
      </form>
    </Dialog>
  );
}
