// Definitions are series-parallel, so that layout is a recursion, as in package
// saga/diagram: sequences from top to bottom, branches side by side.

export type Action = { participant: string; action: string };
export type StepNode = { name: string; kind: string; do: Action; undo?: Action; nothingToUndo?: boolean };
export type Node = { step?: StepNode; parallel?: Node[]; sequence?: Node[] };

export const measures = { width: 196, height: 64, across: 22, down: 26, margin: 8 };

export type Box = { step: StepNode; x: number; y: number };
export type Line = [number, number, number, number];
export type Picture = { width: number; height: number; boxes: Box[]; lines: Line[]; pivotAt?: number };

type Area = { width: number; height: number; step?: StepNode; parallel?: boolean; parts: Area[] };

function group(nodes: Node[], parallel: boolean): Area {
  const parts = nodes.map(measure);
  const gaps = Math.max(0, nodes.length - 1);
  const sum = (f: (a: Area) => number) => parts.reduce((n, a) => n + f(a), 0);
  const most = (f: (a: Area) => number) => parts.reduce((n, a) => Math.max(n, f(a)), 0);
  return parallel
    ? { parallel, parts, width: sum((a) => a.width) + gaps * measures.across, height: most((a) => a.height) + 2 * measures.down }
    : { parallel, parts, width: most((a) => a.width), height: sum((a) => a.height) + gaps * measures.down };
}

function measure(node: Node): Area {
  if (node.step) return { width: measures.width, height: measures.height, step: node.step, parts: [] };
  return node.parallel ? group(node.parallel, true) : group(node.sequence ?? [], false);
}

export function layout(nodes: Node[]): Picture {
  const whole = group(nodes, false);
  const m = measures.margin;
  const picture: Picture = { width: whole.width + 2 * m, height: whole.height + 2 * m, boxes: [], lines: [] };
  place(whole, m, m, picture);
  let y = m;
  for (const part of whole.parts) {
    y += part.height;
    if (part.step?.kind === "pivot") picture.pivotAt = y + measures.down / 2;
    y += measures.down;
  }
  return picture;
}

function place(a: Area, x: number, y: number, out: Picture): void {
  if (a.step) {
    out.boxes.push({ step: a.step, x, y });
  } else if (a.parallel) {
    branches(a, x, y, out);
  } else {
    const middle = x + a.width / 2;
    a.parts.forEach((part, i) => {
      place(part, x + (a.width - part.width) / 2, y, out);
      y += part.height;
      if (i < a.parts.length - 1) {
        out.lines.push([middle, y, middle, y + measures.down]);
        y += measures.down;
      }
    });
  }
}

function branches(a: Area, x: number, y: number, out: Picture): void {
  const half = measures.down / 2, middle = x + a.width / 2;
  const top = y + half, bottom = y + a.height - half;
  const first = x + a.parts[0]!.width / 2, last = x + a.width - a.parts[a.parts.length - 1]!.width / 2;
  out.lines.push([middle, y, middle, top], [middle, bottom, middle, y + a.height]);
  for (const at of [top, bottom]) out.lines.push([Math.min(first, middle), at, Math.max(last, middle), at]);
  for (const part of a.parts) {
    const centre = x + part.width / 2;
    out.lines.push([centre, top, centre, y + measures.down], [centre, y + measures.down + part.height, centre, bottom]);
    place(part, x, y + measures.down, out);
    x += part.width + measures.across;
  }
}

// nodesOf parses a definition's canonical JSON.
export function nodesOf(source: string | undefined): Node[] | undefined {
  if (!source) return undefined;
  try {
    const nodes = (JSON.parse(source) as { steps?: Node[] }).steps;
    return Array.isArray(nodes) ? nodes : undefined;
  } catch {
    return undefined;
  }
}

export function stepsOf(nodes: Node[]): StepNode[] {
  return nodes.flatMap((n) => (n.step ? [n.step] : stepsOf(n.parallel ?? n.sequence ?? [])));
}
