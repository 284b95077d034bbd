import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, number, refText, type ApiError, type Definition, type HistoryEvent, type Saga, type Removal } from "./api";
import { Diagram, show } from "./diagram";
import { Gantt } from "./gantt";
import { History } from "./history";
import { onKey } from "./keys";
import { nodesOf, type Node } from "./layout";
import { Ago, AsOf, Chip, Data, Empty, Icon, PhaseChip, Problem } from "./pieces";
import { Plan } from "./plan";
import { asError, useNow, useQuery } from "./query";
import { definitionPath, listPath, navigate } from "./router";
import { moment, newer, type Said } from "./said";
import { Decide, OperationButtons, type Operation } from "./operations";
import { visible } from "./visible";
import { useWatch } from "./watch";

// Maximum number of events of a history to keep; older ones are dropped.
const most = 2000;

// same reports whether two events of one revision are the same event.
const same = (a: HistoryEvent, b: HistoryEvent) => a.revision === b.revision && a.type === b.type && a.at === b.at && a.step === b.step && a.by === b.by;

// useHistory returns the history with the saga's state after each event, and loads new
// events when the saga changes. If its newest event is no longer part of the history,
// because the store was restored, it reloads all of them.
function useHistory(saga: Saga): { events: HistoryEvent[]; error: ApiError | undefined } {
  const [events, set] = useState<HistoryEvent[]>([]);
  const [error, setError] = useState<ApiError>();
  const have = useRef<HistoryEvent[]>([]);
  const { id } = saga, revision = saga.removed ? 0 : number(saga.revision);
  useEffect(() => {
    if (revision === 0) return;
    const newest = () => have.current[have.current.length - 1];
    const abort = new AbortController();
    let timer = 0;
    const read = async () => {
      const oldest = Math.max(1, revision - most + 1);
      if (number(newest()?.revision) > revision) have.current = [];
      let from = Math.max(number(newest()?.revision), oldest);
      while (from > 0 && from <= revision) {
        const part = await call<{ events?: HistoryEvent[]; nextRevision?: number }>("History", { id, fromRevision: from, withSaga: true }, abort.signal);
        if (abort.signal.aborted) return;
        let more = part.events ?? [];
        const known = newest();
        if (known && from === number(known.revision)) {
          if (!more[0] || !same(more[0], known)) {
            have.current = [];
            from = oldest;
            continue;
          }
          more = more.slice(1);
        }
        have.current = have.current.concat(more).slice(-most);
        from = number(part.nextRevision);
      }
      set(have.current);
      setError(undefined);
    };
    const attempt = () =>
      void read().catch((e) => {
        if (abort.signal.aborted) return;
        setError(asError(e));
        timer = window.setTimeout(attempt, 3000);
      });
    attempt();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, revision, saga.started, saga.updated]);
  return { events, error };
}

function useDefinition(saga: Saga | undefined): Node[] | undefined {
  const ref = saga?.definition;
  const { data } = useQuery(ref ? refText(ref) : "", async (signal) => (ref ? (await call<{ definition: Definition }>("GetDefinition", { definition: ref }, signal)).definition : undefined));
  return useMemo(() => nodesOf(data?.canonical), [data?.canonical]);
}

// useSaga returns the current saga, from a watch and from polling.
function useSaga(id: string) {
  const [told, tell] = useState<Said>();
  const take = (now: Said) => tell((known) => newer(now, known));
  const [heard, hear] = useState<number>();
  const live = useWatch("saga " + id, () => ({ id }), (m, asked) => {
    hear(Date.now());
    if (m.saga) take({ saga: m.saga, asked, heard: moment() });
  });
  const { data, at, late, error, refresh } = useQuery("saga " + id, async (signal): Promise<Said> => {
    const asked = moment();
    const { saga } = await call<{ saga: Saga }>("Get", { id }, signal);
    return { saga, asked, heard: moment() };
  }, live ? 15000 : 2000);
  return { saga: newer(told, data)?.saga, live, late: !live && late, at: Math.max(at ?? 0, heard ?? 0), error: live ? undefined : error, decided: (s: Said) => (take(s), refresh()) };
}

export function SagaPage({ id }: { id: string }) {
  const { saga, live, late, at, error, decided } = useSaga(id);
  useLayoutEffect(() => onKey((key) => key === "Escape" && (navigate(listPath()), true)), []);
  useEffect(() => {
    document.title = visible(id) + " · Amends";
    return () => void (document.title = "Amends");
  }, [id]);
  if (!saga) {
    if (error?.code === "not_found") {
      return (
        <Empty title={`No saga with the id ${id}`}>
          <p>It was never started here, or has been removed after its retention. Ids are case-sensitive.</p>
          <a class="button" href={listPath()}>Show the list</a>
        </Empty>
      );
    }
    return <Problem error={error} doing="The saga could not be read" />;
  }
  return (
    <>
      {error && <Problem error={error} doing="The data may be out of date" />}
      <Known saga={saga} asOf={<AsOf at={at} live={live} late={late} />} decided={decided} />
    </>
  );
}

function Known({ saga, asOf, decided }: { saga: Saga; asOf: ComponentChildren; decided: (s: Said) => void }) {
  const newest = number(saga.revision);
  const { events, error: unread } = useHistory(saga);
  const nodes = useDefinition(saga);
  const time = useNow();
  const oldest = Math.max(1, number(events[0]?.revision));
  const [chosenAt, setAt] = useState<number>(); // an earlier revision; undefined: the current one
  const at = chosenAt !== undefined && chosenAt < newest ? chosenAt : undefined;
  const [chosen, choose] = useState<string>();
  const [operation, setOperation] = useState<{ operation: Operation; step?: string | undefined }>();
  const past = at !== undefined ? events[at - oldest]?.saga : undefined;
  const shown = past ? { ...saga, ...past, definition: saga.definition } : saga;
  const go = (revision: number) => setAt(revision >= newest ? undefined : Math.max(oldest, revision));
  const waves = useMemo(() => new Map(shown.undo?.flatMap((w, i) => w.steps.map((s) => [s, i + 1] as const))), [shown]);
  const step = shown.steps?.find((s) => s.name === chosen);
  return (
    <>
      <Head saga={saga} asOf={asOf} />
      {saga.phase === "parked" && !saga.ended && <Parked saga={saga} />}
      {saga.paused && <Held saga={saga} />}
      {saga.removal && <Removed of={saga.removal} />}
      <div class="two">
        <div class="stack">
          <section class="card" aria-label="Diagram">
            <header>
              <h2>{past ? `State at revision ${at}` : "Current state"}</h2>
              {past && <PhaseChip phase={shown.phase} ended={!!shown.ended} />}
              <span class="fill" />
              {past && <button onClick={() => setAt(undefined)}>Show current state</button>}
            </header>
            <div class="picture" tabIndex={0} role="group" aria-label="Diagram of the definition">
              {nodes ? (
                <Diagram nodes={nodes} label={`Saga ${saga.id}`} steps={shown.steps} waves={waves} chosen={chosen} choose={(s) => choose(s === chosen ? undefined : s)} />
              ) : (
                <span class="muted">{saga.removal ? "The saga was damaged and has been removed." : saga.removed ? "The saga was removed after its retention; only its end is known." : "…"}</span>
              )}
            </div>
            {newest > 1 && events.length > 1 && (
              <label class="slider">
                <span class="small muted nowrap">Revision {at !== undefined ? at : newest} of {newest}</span>
                <input type="range" min={oldest} max={newest} value={Math.min(at ?? newest, newest)} onInput={(e) => go(Number(e.currentTarget.value))} aria-label="Revision of the history" />
              </label>
            )}
            <p class="legend">
              {["done", "doing", "waiting", "pending", "undone", "parked"].map((word) => (
                <span><Icon of={word} />{word}</span>
              ))}
              {waves.size > 0 && <span>↶ 1 is undone first</span>}
            </p>
          </section>
        </div>
        <div class="stack">
          {!saga.removed && (
            <section class="card" aria-label="Operations">
              <header><h2>Operations</h2></header>
              <div class="body">
                <OperationButtons legal={saga.legal ?? []} choose={(v) => setOperation({ operation: v, step: chosen })} />
              </div>
            </section>
          )}
          {!saga.removed && (
            <section class="card" aria-label="Steps that Cancel would undo">
              <header><h2>{planTitle(shown, !!past)}</h2></header>
              <div class="body"><Plan saga={shown} /></div>
            </section>
          )}
          {step && (
            <section class="card" aria-label="Step">
              <header>
                <h2>{step.name}</h2>
                <Chip of={show(step)} />
                <span class="fill" />
                <button class="plain" onClick={() => choose(undefined)} aria-label="Close the step">✕</button>
              </header>
              <div class="body">
                <dl class="facts">
                  <dt>kind</dt><dd>{step.kind}</dd>
                  <dt>participant</dt><dd class="mono">{step.participant}: {step.action}</dd>
                  {number(step.attempt) > 0 && <><dt>attempt</dt><dd>{step.attempt} of {step.maxAttempt}</dd></>}
                  {step.due && <><dt>{step.waiting ? "next attempt" : "times out"}</dt><dd><Ago at={step.due} /></dd></>}
                  {step.parked && <><dt>parked</dt><dd><Ago at={step.parked} /></dd></>}
                  {step.reason && <><dt>reason</dt><dd>{step.reason}</dd></>}
                </dl>
                <Data of={step.result} title="result" />
              </div>
            </section>
          )}
          <section class="card" aria-label="Facts">
            <header><h2>Facts</h2></header>
            <div class="body">
              <Facts saga={saga} />
              <Data of={saga.input} title="input" />
            </div>
          </section>
        </div>
      </div>
      <Problem error={unread} doing={events.length > 0 ? "The history may be out of date" : "The history could not be read"} />
      {events.length > 0 && (
        <div class="stack">
          <section class="card" aria-label="Timeline">
            <header><h2>Attempts</h2><span class="muted small">hatched: undo · dashed: failed or rejected · open to the right: in progress</span></header>
            <Gantt events={events} steps={saga.steps?.map((s) => s.name) ?? []} ended={!!saga.ended} at={at ?? newest} time={time} />
          </section>
          <section class="card" aria-label="History">
            <header><h2>History</h2><span class="muted small">newest first; click a revision to see the saga's state then</span></header>
            <History events={events} at={at ?? newest} go={go} />
          </section>
        </div>
      )}
      {operation && <Decide saga={saga} operation={operation.operation} step={operation.step} close={() => setOperation(undefined)} done={(s) => (setOperation(undefined), setAt(undefined), decided(s))} />}
    </>
  );
}

function planTitle(s: Saga, past: boolean): string {
  if (s.phase === "compensating") return past ? "Steps that were still to be undone" : "Steps still to be undone";
  const operation = !s.legal?.some((l) => l.operation === "cancel") && s.legal?.some((l) => l.operation === "compensate") ? "Compensate" : "Cancel";
  return past ? `Steps that ${operation} would have undone` : `Steps that ${operation} would undo now`;
}

function Head({ saga, asOf }: { saga: Saga; asOf: ComponentChildren }) {
  return (
    <div class="head">
      <h1 class="mono">{saga.id}</h1>
      <PhaseChip phase={saga.phase} ended={!!saga.ended} />
      {saga.paused && <Chip of="paused" />}
      {saga.overdue && <Chip of="waiting">overdue</Chip>}
      <a href={definitionPath(saga.definition.name, saga.definition.version)}>{refText(saga.definition)}</a>
      <span class="fill" />
      <span class="muted small">
        revision {saga.revision ?? 0} · updated <Ago at={saga.updated ?? saga.ended} />
      </span>
      {asOf}
    </div>
  );
}

function Parked({ saga }: { saga: Saga }) {
  const steps = saga.steps?.filter((s) => s.parked) ?? [];
  const ways = [...new Set(saga.legal?.map((l) => l.operation))];
  return (
    <div class="notice" role="status" data-parked>
      <Icon of="parked" />
      <span class="fill">
        <strong>Parked{steps.length > 0 && <> at {steps.map((s) => s.name).join(", ")}, <Ago at={steps[0]!.parked} /></>}.</strong> {saga.reason}
        <br />
        <span class="muted">Waiting for an operator. Legal now: {ways.join(", ")}.</span>
      </span>
    </div>
  );
}

function Removed({ of: r }: { of: Removal }) {
  return (
    <div class="notice" role="status" data-removal>
      <Icon of="parked" />
      <span class="fill">
        <strong>Removed by {r.by}, <Ago at={r.at} />, because it was damaged.</strong> {r.reason}
        <br />
        <span class="muted">{r.damage}. The effects of its steps at the participants remain. Its id stays in use.</span>
      </span>
    </div>
  );
}

function Held({ saga }: { saga: Saga }) {
  return (
    <div class="notice c-back" role="status" data-paused>
      <Icon of="paused" />
      <span class="fill">
        <strong>Paused by {saga.paused!.by}, <Ago at={saga.paused!.since} />.</strong> {saga.paused!.reason}
        <br />
        <span class="muted">No new commands are sent and its timers are stopped until it is resumed.</span>
      </span>
    </div>
  );
}

function Facts({ saga }: { saga: Saga }) {
  return (
    <dl class="facts">
      <dt>started</dt><dd><Ago at={saga.started} /></dd>
      <dt>updated</dt><dd><Ago at={saga.updated} /></dd>
      {saga.ended && <><dt>ended</dt><dd><Ago at={saga.ended} /></dd></>}
      {saga.deadline && !saga.ended && <><dt>deadline</dt><dd><Ago at={saga.deadline} /></dd></>}
      {saga.reason && <><dt>reason</dt><dd>{saga.reason}</dd></>}
      {saga.problem && <><dt>problem</dt><dd>{saga.problem}</dd></>}
      {saga.traceId && <><dt>trace</dt><dd class="mono">{saga.traceId}</dd></>}
    </dl>
  );
}
