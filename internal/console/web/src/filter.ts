import type { Filter } from "./api";

// The URL holds the list's filter, so that it can be shared.

export const ages: [string, string, number][] = [
  ["5m", "5 minutes", 5 * 60],
  ["15m", "15 minutes", 15 * 60],
  ["1h", "hour", 3600],
  ["24h", "24 hours", 86400],
  ["7d", "7 days", 7 * 86400],
];

// Text fields of a filter, with their labels.
export const texts = [
  { name: "step", title: "Step", hint: "in progress, waiting or parked" },
  { name: "participant", title: "Participant", hint: "of a step in progress" },
  { name: "reason", title: "Reason", hint: "contains" },
] as const;

// filterOf turns URL parameters into a filter. Ages count back from now. Unknown values are
// sent to the coordinator, which rejects them; dropping them would widen the filter.
export function filterOf(p: URLSearchParams, now: number): Filter {
  const f: Filter = {};
  const [name = "", version] = (p.get("definition") ?? "").split("@");
  if (name || version) f.definition = version ? { name, version: versionOf(version) } : { name };
  const phases = (p.get("phase") ?? "").split(",").filter(Boolean);
  if (phases.length > 0) f.phases = phases;
  if (p.get("id")) f.idPrefix = p.get("id")!;
  if (p.has("open")) f.open = true;
  if (p.has("paused")) f.paused = true;
  if (p.has("overdue")) f.overdue = true;
  for (const { name } of texts) if (p.get(name)) f[name] = p.get(name)!;
  const before = (parameter: string) => {
    const given = p.get(parameter);
    const age = ages.find(([word]) => word === given);
    return age ? new Date(now - age[2] * 1000).toISOString() : given;
  };
  const started = before("since"), moved = before("still");
  if (started) f.startedAfter = started;
  if (moved) f.updatedBefore = moved;
  return f;
}

// versionOf returns the version that a text names. Another text stays a string, which the
// coordinator rejects.
function versionOf(text: string): number {
  const version = Number(text);
  return /^[0-9]+$/.test(text) && Number.isSafeInteger(version) ? version : (text as unknown as number);
}

// change returns the list's URL with some parameters set, or removed if empty.
export function change(p: URLSearchParams, to: Record<string, string>): string {
  const next = new URLSearchParams(p);
  for (const [name, value] of Object.entries(to)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString().replaceAll("%2C", ",").replaceAll("%40", "@");
  return "/sagas" + (text ? "?" + text : "");
}
