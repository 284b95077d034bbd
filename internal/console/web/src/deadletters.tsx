import { useState } from "preact/hooks";
import { call, type ApiError, type DeadLetter } from "./api";
import { Dialog } from "./dialog";
import { plural } from "./format";
import { Ago, AsOf, Data, Empty, Icon, Problem } from "./pieces";
import { asError, useQuery } from "./query";
import { may, useWho } from "./who";

type Done = { replayed?: number[]; discarded?: number[]; failed?: { sequence: number; problem?: string }[] };

export function DeadLetters() {
  const [pages, setPages] = useState(1);
  const { data, at, late, error, refresh } = useQuery("dead letters " + pages, (signal) => call<{ deadLetters?: DeadLetter[] }>("ListDeadLetters", { limit: Math.min(1000, pages * 100) }, signal), 5000);
  const [chosen, choose] = useState<Set<number>>(new Set());
  const [asking, ask] = useState<"replay" | "discard">();
  const [told, tell] = useState("");
  const who = useWho();
  const admin = may(who, "admin");
  const letters = data?.deadLetters ?? [];
  const selected = letters.filter((l) => chosen.has(l.sequence)).map((l) => l.sequence);
  const why = admin ? (selected.length === 0 ? "Select dead letters first" : undefined) : "This needs the role admin.";
  const mark = (sequence: number) => {
    const next = new Set(chosen);
    if (!next.delete(sequence)) next.add(sequence);
    choose(next);
  };
  return (
    <>
      <div class="head">
        <h1>Dead letters</h1>
        <span class="muted" role="status">{told || "messages that could not be processed, oldest first"}</span>
        <span class="fill" />
        <AsOf at={at} late={late} />
      </div>
      <Problem error={error} doing="The dead letters could not be read" />
      <div class="card">
        {data && letters.length === 0 && (
          <Empty title="No dead letters">
            <p>Messages that could not be processed, such as an answer that is not JSON, are kept here with the reason. Fix the cause, then replay them: they are published again unchanged.</p>
          </Empty>
        )}
        {letters.length > 0 && (
          <>
            <div class="bulk">
              <label class="small">
                <input type="checkbox" checked={selected.length === letters.length} onChange={(e) => choose(new Set(e.currentTarget.checked ? letters.map((l) => l.sequence) : []))} /> all {letters.length}
              </label>
              <button disabled={!admin || selected.length === 0} title={why} onClick={() => ask("replay")}>Replay {selected.length || ""}</button>
              <button class="danger" disabled={!admin || selected.length === 0} title={why} onClick={() => ask("discard")}>Discard {selected.length || ""}</button>
            </div>
            <ul>
              {letters.map((l) => (
                <Letter key={l.sequence} letter={l} chosen={chosen.has(l.sequence)} mark={() => mark(l.sequence)} />
              ))}
            </ul>
            {letters.length === pages * 100 && pages < 10 && <div class="bulk"><button onClick={() => setPages(pages + 1)}>Show more</button></div>}
          </>
        )}
      </div>
      {asking && (
        <Confirm
          operation={asking} sequences={selected} close={() => ask(undefined)}
          done={(text) => {
            ask(undefined);
            tell(text);
            choose(new Set());
            refresh();
          }}
        />
      )}
    </>
  );
}

function Letter({ letter: l, chosen, mark }: { letter: DeadLetter; chosen: boolean; mark: () => void }) {
  return (
    <li class="letter" data-sequence={l.sequence}>
      <input type="checkbox" checked={chosen} onChange={mark} aria-label={`Select dead letter ${l.sequence}`} />
      <div class="what">
        <div><Icon of="parked" /> {l.reason}</div>
        <div class="muted small">
          #{l.sequence} · from <span class="mono">{l.subject}</span> in {l.stream} · <Ago at={l.since} />
        </div>
        <Data of={l.data} title="data" />
        {(l.headers?.length ?? 0) > 0 && (
          <details class="payload">
            <summary>{plural(l.headers!.length, "header", "headers")}</summary>
            <pre tabIndex={0}>{l.headers!.map((h) => <div>{h.name}: {(h.values ?? []).join(", ")}</div>)}</pre>
          </details>
        )}
      </div>
    </li>
  );
}

type ConfirmProps = { operation: "replay" | "discard"; sequences: number[]; close: () => void; done: (told: string) => void };

function Confirm({ operation, sequences, close, done }: ConfirmProps) {
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const replay = operation === "replay";
  const go = async () => {
    setBusy(true);
    try {
      const answer = await call<Done>(replay ? "ReplayDeadLetters" : "DiscardDeadLetters", { sequences });
      const failed = answer.failed ?? [];
      const n = (answer.replayed ?? answer.discarded ?? []).length;
      done(`${n} ${replay ? "replayed" : "discarded"}${failed.length > 0 ? `, ${failed.length} failed:  ${failed[0]!.problem ?? ""}` : ""}`);
    } catch (e) {
      setError(asError(e));
      setBusy(false);
    }
  };
  return (
    <Dialog title={replay ? "Replay" : "Discard"} close={close}>
      <div class="pad">
        <h2>{replay ? "Replay" : "Discard"} {plural(sequences.length, "dead letter", "dead letters")}?</h2>
        <p>{replay ? "Each message is published again unchanged, on its original subject. If it still cannot be processed, it becomes a dead letter again." : "They are removed for good, with their content."}</p>
        <Problem error={error} doing={error?.refused ? "Nothing was done" : "It is unknown whether this was done"} once="Check the remaining dead letters before you try again." />
        <div class="buttons">
          <button onClick={close}>Cancel</button>
          <button class={"primary " + (replay ? "" : "danger")} disabled={busy} onClick={go} autofocus data-confirm>{replay ? "Replay" : "Discard"}</button>
        </div>
      </div>
    </Dialog>
  );
}
