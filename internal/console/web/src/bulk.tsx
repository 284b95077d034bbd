import { useEffect, useRef, useState } from "preact/hooks";
import { legalText, number, stream, type ApiError, type Filter, type LegalOperation } from "./api";
import { Dialog } from "./dialog";
import { count, plural } from "./format";
import { Problem } from "./pieces";
import { asError } from "./query";
import { operations, type Operation } from "./operations";
import { may, rememberedName, rememberName, useWho } from "./who";

type Progress = { matched?: number; done?: number; refused?: number; finished?: boolean; refusals?: { id: string; reason?: string; legal?: LegalOperation[] }[] };

// A result belongs to one saga only.
const forMany = operations.filter((v) => v.operation !== "resolve");

type BarProps = { chosen: Set<string>; clear: () => void; filter: () => Filter; filtered: boolean; matching: number; done: () => void };

// BulkBar offers operations on the selected rows or, if there are none, on all that match
// the filter.
export function BulkBar({ chosen, clear, filter, filtered, matching, done }: BarProps) {
  const who = useWho();
  const [asking, ask] = useState<{ operation: Operation; filter: Filter; what: string }>();
  const some = chosen.size > 0;
  const open = (operation: Operation) =>
    ask(some ? { operation, filter: { ids: [...chosen] }, what: `${count(chosen.size)} selected` } : { operation, filter: filter(), what: "all that match the filter" });
  return (
    <>
      {some || filtered ? (
        <div class="bulk">
          <span class="small">{some ? <b>{count(chosen.size)} selected</b> : matching === 1 ? <>The <b>1</b> that matches</> : <>All <b>{count(matching)}</b> that match</>}</span>
          <select
            aria-label="Operation on these sagas" value="" disabled={!may(who, "operator") || chosen.size > 1000}
            title={chosen.size > 1000 ? "Select at most 1,000 sagas, or use the filter" : undefined}
            onChange={(e) => {
              const operation = forMany.find((v) => v.operation === e.currentTarget.value);
              e.currentTarget.value = "";
              if (operation) open(operation);
            }}
          >
            <option value="">Choose an operation …</option>
            {forMany.map((v) => <option value={v.operation}>{v.title}</option>)}
          </select>
          {some && <button class="plain" onClick={clear}>Select none</button>}
        </div>
      ) : (
        <div class="bulk muted small">Select rows or set a filter to operate on many sagas at once.</div>
      )}
      {/* Stays open after the selection is cleared, to show the result. */}
      {asking && <BulkDialog {...asking} close={() => ask(undefined)} done={() => (clear(), done())} />}
    </>
  );
}

type DialogProps = { operation: Operation; filter: Filter; what: string; close: () => void; done: () => void };

// BulkDialog counts the matching sagas first, and operates on at most as many.
function BulkDialog({ operation, filter, what, close, done }: DialogProps) {
  const who = useWho();
  const [dry, setDry] = useState<Progress>();
  const [progress, setProgress] = useState<Progress>();
  const [error, setError] = useState<ApiError>();
  const abort = useRef(new AbortController());
  const all = async (decision: object, more: object, show: (p: Progress) => void) => {
    let refusals: NonNullable<Progress["refusals"]> = [];
    await stream<Progress>("OperateAll", { filter, decision: { operation: operation.operation, ...decision }, ...more }, (p) => {
      refusals = refusals.concat(p.refusals ?? []).slice(0, 100);
      show({ ...p, refusals });
    }, abort.current.signal);
  };
  useEffect(() => {
    all({ by: rememberedName(who) || "nobody yet", reason: "only to count" }, { dryRun: true }, setDry).catch((e) => setError(asError(e)));
    return () => abort.current.abort();
  }, []);
  const submit = async (e: Event) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget as HTMLFormElement);
    const by = who.known ? who.name : String(form.get("by") ?? "").trim();
    if (!who.known) rememberName(by);
    setError(undefined);
    setProgress({});
    try {
      await all({ by, reason: String(form.get("reason") ?? "").trim() }, { maxMatches: number(dry?.matched) }, setProgress);
      done();
    } catch (e) {
      setError(asError(e));
    }
  };
  const matched = number(dry?.matched), legal = number(dry?.done);
  const shown = progress?.finished ? progress : dry;
  return (
    <Dialog title={`${operation.title}: ${what}`} close={close}>
      <form onSubmit={submit}>
        <h2>{operation.title}: {what}</h2>
        <p style={{ marginBottom: "12px" }}>{operation.does}</p>
        {progress?.finished ? (
          <p role="status" data-finished>
            Done for <b>{count(number(progress.done))}</b>{number(progress.refused) > 0 && <>, refused for <b>{count(number(progress.refused))}</b></>}.
          </p>
        ) : (
          <p role="status" data-dry={dry?.finished}>
            {dry?.finished ? "" : "Counting: "}
            <b>{count(matched)}</b> {matched === 1 ? "matches" : "match"}. For <b>{count(legal)}</b> {operation.title} is legal now
            {number(dry?.refused) > 0 && <>, for <b>{count(number(dry?.refused))}</b> it would be refused</>}.
          </p>
        )}
        {(shown?.refusals?.length ?? 0) > 0 && (
          <details class="payload">
            <summary>reasons for the refusals</summary>
            <pre tabIndex={0}>{shown!.refusals!.map((r) => <div>{r.id}: {r.reason}{r.legal?.length ? `; legal now: ${legalText(r.legal)}` : ""}</div>)}</pre>
          </details>
        )}
        {progress && !progress.finished && !error && <progress max={matched} value={number(progress.matched)} aria-label="Decided" />}
        {!progress && (
          <>
            <label class="field" style={{ marginTop: "12px" }}>
              <span>Reason (recorded in each history)</span>
              <textarea name="reason" required maxLength={1000} autofocus />
            </label>
            {!who.known && (
              <label class="field">
                <span>Your name (recorded in each history)</span>
                <input type="text" name="by" required maxLength={64} defaultValue={rememberedName(who)} autocomplete="name" />
              </label>
            )}
          </>
        )}
        <Problem error={error} doing={progress ? "Stopped. Operations that were taken stay in effect" : "The sagas could not be counted"} once={progress ? "Histories show what was done. Trying again does not repeat it." : "Nothing was done. Close this dialog and try again."} />
        <div class="buttons">
          <button type="button" onClick={close}>{progress?.finished ? "Close" : progress ? "Stop" : "Cancel"}</button>
          {!progress && (
            <button class={"primary " + (operation.danger ? "danger" : "")} disabled={!dry?.finished || legal === 0} data-confirm>
              {operation.title}{dry?.finished ? ` ${plural(legal, "saga", "sagas")}` : ""}
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}
