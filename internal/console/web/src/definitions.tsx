import { useMemo, useState } from "preact/hooks";
import { call, number, phases, refText, type Count, type Definition, type Difference, type Latency } from "./api";
import { Diagram } from "./diagram";
import { count, seconds } from "./format";
import { nodesOf } from "./layout";
import { AsOf, Chip, Data, Empty, Problem } from "./pieces";
import { useQuery } from "./query";
import { definitionPath, navigate } from "./router";

export function Definitions({ name, version }: { name: string; version: string }) {
  const { data, at: asked, late, error } = useQuery("definitions", (signal) => call<{ definitions?: Definition[] }>("ListDefinitions", {}, signal), 10000);
  const all = data?.definitions ?? [];
  const names = [...new Set(all.map((d) => d.ref.name))];
  const shown = name || names[0];
  const versions = all.filter((d) => d.ref.name === shown);
  const at = versions.find((d) => String(d.ref.version) === version) ?? versions.find((d) => d.newest) ?? versions[versions.length - 1];
  return (
    <>
      <div class="head"><h1>Definitions</h1><span class="muted">{data ? `${names.length} registered` : ""}</span><span class="fill" /><AsOf at={asked} late={late} /></div>
      <Problem error={error} doing="The definitions could not be read" />
      {data && all.length === 0 && (
        <div class="card">
          <Empty title="No definition yet">
            <p>A definition lists the steps of a saga, with their participants and undo actions. Register one from a file or from a Go program:</p>
            <pre>coordinator definition apply checkout.yaml</pre>
          </Empty>
        </div>
      )}
      {data && all.length > 0 && (
        <div class="aside">
          <nav class="card names" aria-label="Definitions">
            <ul>
              {names.map((n) => (
                <li>
                  <a href={definitionPath(n, "")} aria-current={n === shown ? "page" : undefined}>
                    {n}
                    <span class="muted small">{versionsOf(all, n)}</span>
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          {at ? (
            <One key={refText(at.ref)} listed={at} versions={versions} />
          ) : (
            <div class="card"><Empty title={`No definition named ${name}`}><p>The registered definitions are listed on the left.</p></Empty></div>
          )}
        </div>
      )}
    </>
  );
}

function versionsOf(all: Definition[], name: string): string {
  const n = all.filter((d) => d.ref.name === name).length;
  return n === 1 ? "1 version" : n + " versions";
}

function One({ listed, versions }: { listed: Definition; versions: Definition[] }) {
  const { data: d, error } = useQuery(refText(listed.ref), async (signal) => (await call<{ definition: Definition }>("GetDefinition", { definition: listed.ref }, signal)).definition, 5000);
  const nodes = useMemo(() => nodesOf(d?.canonical), [d?.canonical]);
  return (
    <div class="stack">
      <section class="card" aria-label="Diagram">
        <header>
          <h2>{listed.ref.name}</h2>
          <select aria-label="Version" value={listed.ref.version} onChange={(e) => navigate(definitionPath(listed.ref.name, e.currentTarget.value))}>
            {versions.map((v) => (
              <option value={v.ref.version}>version {v.ref.version}{v.newest ? " (newest)" : ""}</option>
            ))}
          </select>
          <span class="fill" />
          <span class="muted small">fingerprint <span class="mono" title={listed.fingerprint}>{listed.fingerprint?.slice(0, 12)}</span></span>
        </header>
        <Problem error={error} doing="The definition could not be read" />
        <div class="picture" tabIndex={0} role="group" aria-label="Diagram of the definition">{nodes && <Diagram nodes={nodes} label={"Definition " + refText(listed.ref)} />}</div>
        <p class="legend"><span>thick frame: pivot, the point of no return</span><span>↶ undo action</span></p>
      </section>
      <section class="card" aria-label="Sagas"><header><h2>Sagas of this version</h2></header><div class="body"><Counts counts={d?.counts} of={`${listed.ref.name}@${listed.ref.version}`} /></div></section>
      <Figures d={d} />
      <Compare versions={versions} at={listed} />
      {d?.canonical && (
        <section class="card" aria-label="Content"><header><h2>Content</h2></header><div class="body"><Data of={{ json: d.canonical, sizeBytes: Math.max(2000, d.canonical.length) }} title="canonical JSON" /></div></section>
      )}
    </div>
  );
}

function Took({ of }: { of: Latency | undefined }) {
  if (!number(of?.count)) return <span class="muted">–</span>;
  return <>{seconds(of!.p50Seconds ?? 0)} <span class="muted">/ {seconds(of!.p99Seconds ?? 0)}</span></>;
}

function Figures({ d }: { d: Definition | undefined }) {
  if (!d?.steps?.length) return null;
  return (
    <section class="card" aria-label="Statistics">
      <header>
        <h2>Steps, since the coordinator started</h2>
        {number(d.duration?.count) > 0 && <span class="muted small">a whole saga: <Took of={d.duration} /> (p50 / p99)</span>}
      </header>
      <div class="scroll" tabIndex={0} role="group" aria-label="Statistics of the steps">
        <table data-figures>
          <thead><tr><th>Step</th><th class="right">Completed</th><th class="right">Rejected</th><th class="right">Failed</th><th class="right">Do, p50 / p99</th><th class="right">Undo, p50 / p99</th></tr></thead>
          <tbody>
            {d.steps.map((s) => (
              <tr>
                <td>{s.step}</td>
                <td class="right">{count(number(s.completed))}</td>
                <td class="right">{count(number(s.rejected))}</td>
                <td class="right">{count(number(s.failed))}</td>
                <td class="right nowrap"><Took of={s.do} /></td>
                <td class="right nowrap"><Took of={s.undo} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Counts({ counts, of }: { counts: Count[] | undefined; of: string }) {
  const numbers = phases.map((phase) => [phase, counts?.filter((c) => c.phase === phase).reduce((n, c) => n + number(c.sagas), 0) ?? 0] as const).filter(([, n]) => n > 0);
  if (numbers.length === 0) return <span class="muted">None. New sagas use the newest version unless they name another.</span>;
  return (
    <div class="operations">
      {numbers.map(([phase, n]) => (
        <a href={`/sagas?definition=${of}&phase=${phase}`}><Chip of={phase}>{count(n)} {phase}</Chip></a>
      ))}
    </div>
  );
}

function Compare({ versions, at }: { versions: Definition[]; at: Definition }) {
  const others = versions.filter((v) => v !== at && v.ref.version !== at.ref.version);
  const before = [...others].reverse().find((v) => number(v.ref.version) < number(at.ref.version)) ?? others[0];
  const [from, setFrom] = useState<number | undefined>(before?.ref.version);
  const { data, error } = useQuery(`compare ${from}`, async (signal) =>
    from ? (await call<{ differences?: Difference[] }>("CompareDefinitions", { from: { name: at.ref.name, version: from }, to: at.ref }, signal)).differences ?? [] : undefined,
  );
  return (
    <section class="card" aria-label="Comparison">
      <header>
        <h2>What changed</h2>
        {others.length > 0 && (
          <label class="muted small">
            since{" "}
            <select value={from} onChange={(e) => setFrom(Number(e.currentTarget.value))} aria-label="Compare with version">
              {others.map((v) => <option value={v.ref.version}>version {v.ref.version}</option>)}
            </select>
          </label>
        )}
      </header>
      {others.length === 0 && <div class="body muted">This is the only version. Registered versions never change: a change is a new version, and running sagas keep theirs.</div>}
      <Problem error={error} doing="The versions could not be compared" />
      {data && data.length === 0 && <div class="body muted">Nothing.</div>}
      {data && data.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Differences">
          <table class="diff">
            <thead><tr><th>Where</th><th>Change</th><th>Before</th><th>Now</th></tr></thead>
            <tbody>
              {data.map((d) => (
                <tr><td>{d.path}</td><td>{d.change}</td><td class="muted">{d.from}</td><td>{d.to}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
