import { number, type Saga } from "./api";

// Said is a state of a saga from an answer, with the moments of its request and its
// arrival. Moments are a counter, not times.
export type Said = { saga: Saga; asked: number; heard: number };

let moments = 0;

export const moment = (): number => ++moments;

// instant pads a time to nine digits, so that times compare as text. The API omits trailing
// zeros.
export function instant(at: string | undefined): string {
  const [whole = "", digits = ""] = (at ?? "").replace("Z", "").split(".");
  return whole + "." + digits.padEnd(9, "0");
}

// supersedes reports whether a new state replaces the known one. It does if it was
// requested after the known one arrived, whatever its revision, because a store may have
// been restored from a backup. States of one stream arrive in order. Of overlapping
// requests, the saga's start time and revision decide.
export function supersedes(now: Said, known: Said): boolean {
  if (now.asked === known.asked) return now.heard >= known.heard;
  if (now.asked > known.heard) return true;
  if (now.heard < known.asked) return false;
  const a = instant(known.saga.started), b = instant(now.saga.started);
  return a === b ? number(now.saga.revision) >= number(known.saga.revision) : b > a;
}

// newer returns the newer of two states.
export const newer = (now: Said | undefined, known: Said | undefined): Said | undefined => (!now || !known ? now ?? known : supersedes(now, known) ? now : known);
