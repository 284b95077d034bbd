import type { Step } from "./api";
import { layout, measures, type Node } from "./layout";
import { colour, Glyph } from "./pieces";

// show returns the status of a step, or waiting between two attempts.
export function show(s: Step): string {
  return s.waiting && s.status !== "parked" ? "waiting" : s.status;
}

function sentence(s: Step): string {
  const word = show(s);
  if (word === "waiting") return `waiting after attempt ${s.attempt ?? 0} of ${s.maxAttempt ?? 0}`;
  if (word === "doing" || word === "undoing") return (s.attempt ?? 0) > 1 ? `${word}, attempt ${s.attempt} of ${s.maxAttempt ?? 0}` : word;
  return word;
}

const fit = (text: string, room: number) => (text.length > room ? text.slice(0, room - 1) + "…" : text);

type Props = {
  nodes: Node[]; label: string; steps?: Step[] | undefined; waves?: Map<string, number> | undefined;
  chosen?: string | undefined; choose?: (step: string) => void;
};

// Diagram draws a definition and, if steps are given, the state of a saga.
export function Diagram({ nodes, label, steps, waves, chosen, choose }: Props) {
  const picture = layout(nodes);
  const stand = new Map(steps?.map((s) => [s.name, s]));
  const { width, height } = measures;
  const at = picture.pivotAt !== undefined && picture.pivotAt < picture.height - measures.margin ? picture.pivotAt : undefined;
  return (
    <svg width={picture.width} height={picture.height} viewBox={`0 0 ${picture.width} ${picture.height}`} role="group" aria-label={label}>
      {picture.lines.map(([x1, y1, x2, y2]) => (
        <line class="wire" x1={x1} y1={y1} x2={x2} y2={y2} />
      ))}
      {at !== undefined && (
        <g class="return">
          <line x1="0" y1={at} x2={picture.width} y2={at} />
          <title>point of no return: steps below are never undone</title>
        </g>
      )}
      {picture.boxes.map(({ step, x, y }) => {
        const s = stand.get(step.name);
        const word = s ? show(s) : "";
        const wave = waves?.get(step.name);
        const says = s ? sentence(s) : step.kind;
        const name = `${step.name}, ${step.kind}` + (s ? `, ${says}` : "") + (wave ? `, undone as number ${wave} by a compensation` : "");
        const pick = () => choose?.(step.name);
        return (
          <g
            class={`box ${s ? colour(word) : kinds[step.kind] ?? ""} ${word} ${step.kind} ${s?.parked ? "parkedstep" : ""} ${chosen === step.name ? "chosen" : ""}`}
            transform={`translate(${x} ${y})`} data-step={step.name} data-status={word}
            {...(choose ? { role: "button", tabIndex: 0, "aria-pressed": chosen === step.name } : { role: "img" })}
            aria-label={name} onClick={pick}
            onKeyDown={(e: KeyboardEvent) => {
              if (e.key === "Enter" || e.key === " ") {
                e.preventDefault();
                e.stopPropagation();
                pick();
              }
            }}
          >
            <rect class="focus" x="-3.5" y="-3.5" width={width + 7} height={height + 7} rx="11" />
            <rect class="frame" width={width} height={height} rx="8" />
            {s && <Glyph of={word} x={10} y={9} />}
            <text x={s ? 32 : 12} y="22">{fit(step.name, s ? 20 : 23)}</text>
            <text class="sub" x="12" y="39">{fit(`${step.do.participant}: ${step.do.action}`, 30)}</text>
            <text class="state" x="12" y="55">{s ? says : step.kind}</text>
            {!s && step.undo && <text class="sub" x={width - 10} y="55" text-anchor="end">↶ {fit(step.undo.action, 18)}</text>}
            {s && (step.kind !== "compensable") && <text class="sub" x={width - 10} y="55" text-anchor="end">{step.kind}</text>}
            {wave !== undefined && (
              <g class="undo-mark" transform={`translate(${width - 34} -7)`}>
                <rect width="28" height="17" rx="5" />
                <text x="14" y="12.5" text-anchor="middle">↶ {wave}</text>
              </g>
            )}
            <title>{name}</title>
          </g>
        );
      })}
    </svg>
  );
}

// Colours of the kinds, for diagrams without a saga.
const kinds: Record<string, string> = { compensable: "c-run", pivot: "c-back", retriable: "c-ok" };
