import { number, type Saga } from "./api";

// Said is what was said of a saga: by the answer to a question that was asked at one moment,
// and heard at another. Moments are counted, not timed.
export type Said = { saga: Saga; asked: number; heard: number };

let moments = 0;

export const moment = (): number => ++moments;

// instant is a time that can be compared as a text: with all nine digits. The API
// leaves out zeros at the end.
export function instant(at: string | undefined): string {
  const [whole = "", digits = ""] = (at ?? "").replace("Z", "").split(".");
  return whole + "." + digits.padEnd(9, "0");
}

// supersedes says whether what came now takes the place of what was known. What was asked for
// after that was heard does, whatever its revision: a store that was restored is behind. What
// one stream says comes in order. Only of questions that were under way at the same time do the
// saga's birth and revision say which answer is newer.
export function supersedes(now: Said, known: Said): boolean {
  if (now.asked === known.asked) return now.heard >= known.heard;
  if (now.asked > known.heard) return true;
  if (now.heard < known.asked) return false;
  const a = instant(known.saga.started), b = instant(now.saga.started);
  return a === b ? number(now.saga.revision) >= number(known.saga.revision) : b > a;
}

// newer is the one of two that holds.
export const newer = (now: Said | undefined, known: Said | undefined): Said | undefined => (!now || !known ? now ?? known : supersedes(now, known) ? now : known);
