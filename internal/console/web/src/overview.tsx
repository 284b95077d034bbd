import { call, number, phases, type ApiError, type Blocked, type Latency, type Overview, type Owner, type Participant, type Phase, type Second, type Standstill, type StoreStatus } from "./api";
import { count, plural, rate, relative, seconds, share, size } from "./format";
import { Ago, AsOf, colour, Empty, Icon, Problem } from "./pieces";
import { StartOne } from "./startone";
import { useQuery } from "./query";

export function OverviewPage() {
  const { data: o, at, late, error } = useQuery("overview", async (signal) => (await call<{ overview: Overview }>("GetOverview", {}, signal)).overview, 2000);
  const { data: p, error: unasked } = useQuery("participants", async (signal) => (await call<{ participants?: Participant[] }>("ListParticipants", {}, signal)).participants ?? [], 5000);
  if (!o) return <Problem error={error} doing="The overview could not be read" />;
  const parked = number(o.parked);
  return (
    <>
      <Problem error={error} doing="The data may be out of date" />
      {o.notReady && (
        <div class="notice" role="alert"><Icon of="parked" /><span><strong>The coordinator is not ready.</strong> {o.notReady}</span></div>
      )}
      {o.owner && <OwnerNotice of={o.owner} fix={o.standstills?.find((s) => s.kind === "owner")?.fix} />}
      <Standstills of={(o.standstills ?? []).filter((s) => s.kind !== "sagas" && !(s.kind === "owner" && o.owner))} />
      {number(o.blocked) > 0 && <BlockedSagas count={number(o.blocked)} sagas={o.blockedSagas ?? []} />}
      {parked > 0 && (
        <div class="notice" role="status" data-parked>
          <Icon of="parked" />
          <span class="fill"><strong>{plural(parked, "saga is", "sagas are")} parked.</strong> They wait for an operator.</span>
          <a class="button" href="/sagas?phase=parked&open=1">Show {parked === 1 ? "it" : "them"}</a>
        </div>
      )}
      <div class="head">
        <h1>Overview</h1>
        <span class="muted">coordinator {o.version}, started <Ago at={o.since} /></span>
        <span class="fill" />
        <AsOf at={at} late={late} />
      </div>
      <Tiles o={o} />
      <Charts series={o.series ?? []} />
      <div class="half">
        <ByDefinition o={o} />
        <Participants of={p} error={unasked} />
      </div>
      {o.owner?.ours && o.owner.confirmed && <OwnerLine of={o.owner} nats={o.nats} />}
    </>
  );
}

// OwnerNotice warns while the prefix is not confirmed to belong to this store.
function OwnerNotice({ of: w, fix }: { of: Owner; fix: string | undefined }) {
  if (w.ours && w.confirmed) return null;
  const title = w.replaced ? `Another store has taken over the prefix ${w.prefix}.`
    : w.ours ? `The ownership of the prefix ${w.prefix} is not confirmed.`
    : `This store does not own the prefix ${w.prefix} yet.`;
  return (
    <div class="notice" role="alert" data-owner>
      <Icon of="parked" />
      <div class="fill">
        <strong>{title}</strong>{" "}
        {w.replaced ? "This coordinator is stopping and sends nothing." : "No commands are sent and no answers processed. Starts are accepted and stored."}
        {w.waiting && <> Waiting: {w.waiting}.</>} {w.lastConfirmed && <>Last confirmed <Ago at={w.lastConfirmed} />.</>}
        {fix && <> <em>What to do:</em> {fix}.</>}
        <br />
        <span class="muted small"><OwnerWords of={w} /></span>
      </div>
    </div>
  );
}

// OwnerLine shows the owner while it is confirmed.
const OwnerLine = ({ of, nats }: { of: Owner; nats: string | undefined }) => (
  <p class="muted small" data-owner>
    <OwnerWords of={of} />{nats && <> · NATS <span class="mono">{nats}</span></>}
  </p>
);

function OwnerWords({ of: w }: { of: Owner }) {
  if (!w.store) return <>The owner is not known.</>;
  return (
    <>
      Prefix <span class="mono">{w.prefix}</span> · owner: store <span class="mono">{w.store}</span>, claim {w.claim ?? 0}, on {w.host || "an unnamed host"}
      {w.address && <> at <span class="mono">{w.address}</span></>}, since <Ago at={w.since} />
    </>
  );
}

// Standstills lists what is stuck, each with what to do about it.
function Standstills({ of: all }: { of: Standstill[] }) {
  if (all.length === 0) return null;
  return (
    <div class="notice" role="alert" data-standstills>
      <Icon of="parked" />
      <div class="fill">
        <strong>{all.length === 1 ? "1 standstill." : `${count(all.length)} standstills.`}</strong>
        <ul>
          {all.map((s) => (
            <li key={s.kind + s.object}>
              <b>{s.kind}{s.object ? ` ${s.object}` : ""}</b>, since <Ago at={s.since} />: {s.reason}. <em>What to do:</em> {s.fix}.
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

// BlockedSagas warns about sagas that no operation of the console can fix.
function BlockedSagas({ count: n, sagas }: { count: number; sagas: Blocked[] }) {
  return (
    <div class="notice" role="alert" data-blocked>
      <Icon of="parked" />
      <div class="fill">
        <strong>{plural(n, "saga", "sagas")} {n === 1 ? "is" : "are"} blocked.</strong> The record is damaged, or the definition is missing. Other sagas continue. See
        AmendsSagasBlocked in the runbook. Once the effects of a damaged saga are corrected, remove it with <code>coordinator remove-damaged</code>.
        <ul>
          {sagas.map((s) => <li><code>{s.id}</code>, found <Ago at={s.since} />: {s.reason}</li>)}
          {n > sagas.length && <li>and {count(n - sagas.length)} more</li>}
        </ul>
      </div>
    </div>
  );
}

function Tile({ title, value, more, href, loud }: { title: string; value: string; more?: string; href?: string; loud?: boolean }) {
  const inside = (
    <>
      <small>{title}</small>
      <b>{value}</b>
      <small>{more ?? " "}</small>
    </>
  );
  const name = "tile" + (loud ? " loud" : "");
  return href ? <a class={name} href={href}>{inside}</a> : <div class={name}>{inside}</div>;
}

function Tiles({ o }: { o: Overview }) {
  const parked = number(o.parked), letters = number(o.deadLetters), dropped = number(o.deadLettersDropped), outbox = number(o.outbox);
  const oldest = o.outboxOldestSeconds ?? 0, refused = o.refusedPerSecond ?? 0;
  return (
    <div class="tiles">
      <Tile title="Parked" value={count(parked)} more={parked > 0 ? "waiting for an operator" : "none"} href="/sagas?phase=parked&open=1" loud={parked > 0} />
      <Tile title="Open" value={count(number(o.open))} more={"not ended"} href="/sagas?open=1" />
      <Tile title="Started" value={rate(o.startedPerSecond ?? 0) + "/s"} more={refused > 0 ? `${rate(refused)}/s refused: overload` : "in the last 10 s"} loud={refused > 0} />
      <Tile title="Ended" value={rate(o.endedPerSecond ?? 0) + "/s"} more={`${rate(o.transitionsPerSecond ?? 0)} transitions/s`} />
      <Tile title="Not completed" value={share(o.compensatedShare ?? 0)} more="of ended sagas" href="/sagas?phase=compensated" />
      <Tile title="Failed answers" value={share(o.failedShare ?? 0)} more="of all answers" />
      <Tile title="Dead letters" value={letters < 0 ? "?" : count(letters)} more={letters < 0 ? "NATS does not answer" : dropped > 0 ? `${count(dropped)} dropped` : "not processed"} href="/dead-letters" loud={letters > 0 || dropped > 0} />
      <Tile title="Outbox" value={count(outbox)} more={outbox > 0 ? `oldest waits ${seconds(oldest)}` : "all sent"} loud={oldest > 30} />
      <Tile title="Commit, p99" value={number(o.commit?.count) > 0 ? seconds(o.commit!.p99Seconds ?? 0) : "–"} more={number(o.commit?.count) > 0 ? `p50 ${seconds(o.commit!.p50Seconds ?? 0)}` : "none yet"} />
      <Tile title="Cache" value={share(o.cacheHitRatio ?? 0)} more="hit ratio" />
      {o.store && <StoreTile s={o.store} />}
    </div>
  );
}

const waits: Record<string, string> = { checkpoint: "commits wait for a checkpoint", log_full: "commits wait: disk full", state_full: "commits wait: disk full" };

function StoreTile({ s }: { s: StoreStatus }) {
  const more = s.waiting ? waits[s.waiting] ?? `commits wait: ${s.waiting}` : s.lastCheckpoint ? `checkpoint ${relative(Date.parse(s.lastCheckpoint), Date.now())}` : "no checkpoint yet";
  return <Tile title="Store, log" value={`${size(number(s.stateBytes))}, ${size(number(s.logBytes))}`} more={more} loud={!!s.waiting} />;
}

// A line has the colour of its status everywhere.
type Line = { name: string; word: string; of: (s: Second) => number };

// Chart shows the last two minutes. Lines differ in dash pattern as well as in colour.
function Chart({ title, series, lines }: { title: string; series: Second[]; lines: Line[] }) {
  const width = 360, height = 84, foot = 14;
  const top = Math.max(1, ...series.flatMap((s) => lines.map((l) => l.of(s))));
  const x = (i: number) => (series.length > 1 ? (i / (series.length - 1)) * width : 0);
  const y = (n: number) => height - foot - (n / top) * (height - foot - 12);
  const last = series[series.length - 1];
  const said = `${title}, the last two minutes: ` + lines.map((l) => `${l.name} at most ${count(Math.max(0, ...series.map(l.of)))} a second, now ${count(last ? l.of(last) : 0)}`).join("; ");
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        <span class="keyline">
          {lines.map((l, k) => (
            <span data-line={l.name}>
              <svg class="chart" viewBox="0 0 22 8" aria-hidden="true"><path class={`line-${k} ${colour(l.word)}`} d="M0 4H22" /></svg> {l.name}
            </span>
          ))}
        </span>
      </header>
      <div class="body">
        <svg class="chart" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={said}>
          <path class="base" d={`M0 ${height - foot}H${width}`} />
          {lines.map((l, k) => {
            const d = series.map((s, i) => `${i === 0 ? "M" : "L"}${x(i).toFixed(1)} ${y(l.of(s)).toFixed(1)}`).join("");
            return (
              <>
                {k === 0 && d && <path class="fill" d={`${d}L${width} ${height - foot}L0 ${height - foot}Z`} />}
                <path class={`line-${k} ${colour(l.word)}`} d={d} vector-effect="non-scaling-stroke" />
              </>
            );
          })}
        </svg>
        <div class="ends"><span>2 min ago</span><span>max {count(top)}/s</span><span>now</span></div>
      </div>
    </section>
  );
}

function Charts({ series }: { series: Second[] }) {
  return (
    <div class="three">
      <Chart
        title="Sagas" series={series}
        lines={[
          { name: "started", word: "running", of: (s) => number(s.started) },
          { name: "completed", word: "completed", of: (s) => number(s.completed) },
        ]}
      />
      <Chart
        title="Failures" series={series}
        lines={[
          { name: "compensated", word: "compensated", of: (s) => number(s.compensated) },
          { name: "failed", word: "failed", of: (s) => number(s.failed) },
          { name: "parked", word: "parked", of: (s) => number(s.parked) },
        ]}
      />
      <Chart title="Transitions" series={series} lines={[{ name: "a second", word: "running", of: (s) => number(s.transitions) }]} />
    </div>
  );
}

const took = (l: Latency | undefined, of: "p50Seconds" | "p99Seconds") => (number(l?.count) > 0 ? seconds(l![of] ?? 0) : "–");

function ByDefinition({ o }: { o: Overview }) {
  const by = new Map<string, Map<Phase, number>>();
  for (const c of o.counts ?? []) {
    const name = c.definition.name;
    const phases = by.get(name) ?? new Map<Phase, number>();
    phases.set(c.phase, (phases.get(c.phase) ?? 0) + number(c.sagas));
    by.set(name, phases);
  }
  const names = [...by.keys()].sort();
  return (
    <section class="card" aria-label="By definition">
      <header><h2>By definition</h2></header>
      {names.length === 0 ? (
        <Empty title="No saga yet"><p>Start one to see it here:</p><StartOne /></Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-label="Sagas by definition">
          <table>
            <thead><tr><th>Definition</th><th>Phases</th><th class="right">Sagas</th><th class="right">p50</th><th class="right">p99</th></tr></thead>
            <tbody>
              {names.map((name) => {
                const counts = by.get(name)!;
                const whole = [...counts.values()].reduce((a, b) => a + b, 0);
                const duration = o.durations?.find((d) => d.definition === name)?.duration;
                return (
                  <tr>
                    <td><a href={`/sagas?definition=${name}`}>{name}</a></td>
                    <td><Phases counts={counts} whole={whole} /></td>
                    <td class="right">{count(whole)}</td>
                    <td class="right nowrap">{took(duration, "p50Seconds")}</td>
                    <td class="right nowrap">{took(duration, "p99Seconds")}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Phases({ counts, whole }: { counts: Map<Phase, number>; whole: number }) {
  const there = phases.filter((p) => (counts.get(p) ?? 0) > 0);
  return (
    <>
      <div class="parts" aria-hidden="true">
        {there.map((p) => <i class={colour(p)} style={{ width: Math.max(2, (counts.get(p)! / whole) * 100) + "%" }} />)}
      </div>
      <div class="small muted">{there.map((p) => `${count(counts.get(p)!)} ${p}`).join(" · ")}</div>
    </>
  );
}

function state(p: Participant): { word: string; icon: string; tone: string } {
  if (p.unknown) return { word: "never connected", icon: "unknown", tone: "c-bad" };
  if (!p.listening) return { word: "not listening", icon: "paused", tone: "c-bad" };
  return { word: "listening", icon: "done", tone: "c-ok" };
}

function Participants({ of, error }: { of: Participant[] | undefined; error: ApiError | undefined }) {
  if (of && of.length === 0) {
    return <section class="card"><header><h2>Participants</h2></header><div class="body muted">No participants, because no definition is registered.</div></section>;
  }
  return (
    <section class="card" aria-label="Participants">
      <header><h2>Participants</h2><span class="muted small">waiting: commands not delivered yet</span></header>
      <Problem error={error} doing={of ? "The data may be out of date" : "The participants could not be read"} />
      <div class="scroll" tabIndex={0} role="group" aria-label="Participants">
        <table>
          <thead><tr><th>Name</th><th>State</th><th class="right">Waiting</th><th class="right">In flight</th><th class="right">p50</th><th class="right">p99</th><th class="right">Last answer</th></tr></thead>
          <tbody>
            {(of ?? []).map((p) => {
              const s = state(p);
              return (
                <tr data-participant={p.name}>
                  <td><a href={`/sagas?open=1&participant=${p.name}`} title={p.actions?.join(", ")}>{p.name}</a></td>
                  <td><span class={"chip " + s.tone}><Icon of={s.icon} />{s.word}</span></td>
                  <td class="right">{count(number(p.waiting))}</td>
                  <td class="right">{count(number(p.inFlight))}</td>
                  <td class="right nowrap">{took(p.latency, "p50Seconds")}</td>
                  <td class="right nowrap">{took(p.latency, "p99Seconds")}</td>
                  <td class="right nowrap"><Ago at={p.lastAnswer} /></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
