import { useState } from "preact/hooks";
import { call, type ApiError, type LegalOperation, type Saga } from "./api";
import { Dialog } from "./dialog";
import { Icon, Problem } from "./pieces";
import { asError } from "./query";
import { moment, type Said } from "./said";
import { may, rememberedName, rememberName, useWho } from "./who";
import { Plan } from "./plan";

// confirm is what the button says that takes the decision: never a word that could as well mean to leave it.
export type Operation = { operation: string; title: string; confirm: string; does: string; when: string; danger?: boolean };

export const operations: Operation[] = [
  { operation: "retry", title: "Retry now", confirm: "Retry now", does: "Attempts the step now, with its full number of attempts again.", when: "on a step that waits for its next attempt, or is parked" },
  { operation: "resolve", title: "Resolve", confirm: "Resolve the step", does: "Records the outcome of a step that was determined outside. Nothing is sent to the participant.", when: "on a step that waits for its next attempt, or is parked" },
  { operation: "skip", title: "Skip", confirm: "Skip the step", does: "Goes on without the step.", when: "on a parked step", danger: true },
  { operation: "compensate", title: "Compensate", confirm: "Compensate the saga", does: "Goes back. You vouch that the pivot did not happen.", when: "with a parked pivot", danger: true },
  { operation: "pause", title: "Pause", confirm: "Pause the saga", does: "Holds the saga: nothing new is sent, its timers stand still. What is under way is still answered.", when: "on a saga that is open and not paused" },
  { operation: "resume", title: "Resume", confirm: "Resume the saga", does: "Lets the saga go on where it was paused.", when: "on a paused saga" },
  { operation: "cancel", title: "Cancel", confirm: "Cancel the saga", does: "Goes back: what was done is undone.", when: "before the point of no return", danger: true },
  { operation: "abandon", title: "Abandon", confirm: "Abandon the saga", does: "Ends the saga as it is. What was done stays done.", when: "on a parked saga", danger: true },
];

// OperationButtons offers every operation; those that are not legal now say when they are.
export function OperationButtons({ legal, choose }: { legal: LegalOperation[]; choose: (v: Operation) => void }) {
  const who = useWho();
  const allowed = may(who, "operator");
  return (
    <div class="operations">
      {operations.map((v) => {
        const on = allowed && legal.some((l) => l.operation === v.operation);
        const why = on ? v.does : allowed ? `Not now: ${v.title} is legal ${v.when}.` : "Your role may look. Deciding takes the role operator.";
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

// legalSteps are the steps about which the operation is legal now; "" is the saga as a whole.
const legalSteps = (saga: Saga, operation: Operation): string[] => (saga.legal ?? []).filter((l) => l.operation === operation.operation).map((l) => l.step ?? "");

// Decide asks for what a decision needs, and takes it about the step that was chosen, at the
// revision that is on show.
export function Decide({ saga, operation, step, close, done }: Props) {
  const who = useWho();
  // What is offered is what was when this was opened: somebody chose among that, and a saga that
  // moves meanwhile must not put another step into its place.
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
    const decision: Record<string, string> = { operation: operation.operation, reason: text("reason"), by: who.known ? who.name : text("by") };
    if (gone) return;
    if (chosen) decision.step = chosen;
    if (operation.operation === "resolve") {
      decision.outcome = outcome;
      if (outcome === "completed" && text("result")) decision.result = text("result");
    }
    if (!who.known) rememberName(decision.by!);
    setBusy(true);
    try {
      const asked = moment();
      const answer = await call<{ saga: Saga }>("Operate", { id: saga.id, decision, expected_revision: saga.revision });
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
                <option value="completed">completed: it was done</option>
                <option value="rejected">rejected: it was not done, and left no trace</option>
              </select>
            </label>
            {outcome === "completed" && (
              <label class="field">
                <span>Result, as JSON (what the participant would have answered; may be empty)</span>
                <textarea name="result" class="mono" spellcheck={false} placeholder='{"receipt": "…"}' />
              </label>
            )}
          </>
        )}
        <label class="field">
          <span>Reason (becomes part of the history)</span>
          <textarea name="reason" required maxLength={1000} autofocus placeholder="What you know, and who said so" />
        </label>
        {!who.known && (
          <label class="field">
            <span>Your name (becomes part of the history)</span>
            <input type="text" name="by" required maxLength={64} defaultValue={rememberedName(who)} autocomplete="name" />
          </label>
        )}
        {gone && !busy && (
          <div class="notice" role="alert" data-gone>
            <Icon of="parked" />
            <span class="fill"><strong>The saga has moved meanwhile.</strong> {operation.title}{chosen ? ` of ${chosen}` : ""} is not what it was when this was opened. Close this, and look at the saga again.</span>
          </div>
        )}
        <Problem error={error} doing={error?.refused ? "Nothing was decided" : "It is not known whether it was decided"} once="Look at the history before you decide again." />
        <div class="buttons">
          <button type="button" onClick={close}>Leave it</button>
          <button class={"primary " + (operation.danger ? "danger" : "")} disabled={busy || gone} data-confirm>{operation.confirm}</button>
        </div>
      </form>
    </Dialog>
  );
}
