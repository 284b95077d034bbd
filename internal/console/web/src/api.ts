import { parse, stringify, type Inline } from "./json";

// The coordinator's API: Connect's JSON over fetch. The messages are those of
// proto/amends/api/v1/api.proto, without the fields that the console does not need; zero
// values are omitted. User data is JSON text.

export type Ref = { name: string; version?: number };
export type LegalOperation = { operation: string; step?: string };
export type Payload = { contentType?: string; sizeBytes?: number; json?: string; binary?: string; leftOut?: boolean };
export type Step = {
  name: string; kind: string; status: string; direction?: string; attempt?: number; maxAttempt?: number; due?: string; waiting?: boolean;
  parked?: string; reason?: string; result?: Payload; participant?: string; action?: string;
};
export type Pause = { since?: string; by?: string; reason?: string };
export type Removal = { at?: string; by?: string; reason?: string; damage?: string };
export const legalText = (legal: LegalOperation[]): string => legal.map((l) => (l.step ? `${l.operation} (${l.step})` : l.operation)).join(", ");
export type Saga = {
  id: string; definition: Ref; phase: Phase; revision?: number; removed?: boolean; removal?: Removal; paused?: Pause; started?: string; updated?: string;
  ended?: string; deadline?: string; overdue?: boolean; reason?: string; problem?: string; traceId?: string; legal?: LegalOperation[];
  undo?: { steps: string[] }[]; pastPivot?: boolean; steps?: Step[]; input?: Payload;
};
export type Phase = "running" | "compensating" | "completed" | "compensated" | "parked";
export const phases: Phase[] = ["running", "compensating", "parked", "completed", "compensated"];
export type HistoryEvent = {
  revision: number; type: string; at?: string; participant?: string; step?: string; direction?: string; attempt?: number;
  outcome?: string; operation?: string; timer?: string; by?: string; reason?: string; problem?: string; payload?: Payload; saga?: Saga;
};
export type Count = { definition: Ref; phase: Phase; sagas?: number; ended?: number };
export type Latency = { count?: number; p50Seconds?: number; p99Seconds?: number };
export type StepFigures = {
  step: string; completed?: number; rejected?: number; failed?: number; do?: Latency; undo?: Latency;
};
export type Definition = {
  ref: Ref; fingerprint?: string; canonical?: string; counts?: Count[]; newest?: boolean; steps?: StepFigures[]; duration?: Latency; mermaid?: string;
};
export type Difference = { path: string; change: string; from?: string; to?: string };
export type DeadLetter = {
  sequence: number; stream?: string; subject?: string; reason?: string; since?: string;
  headers?: { name: string; values?: string[] }[]; data?: Payload;
};
export type Participant = {
  name: string; lastAnswer?: string; waiting?: number; inFlight?: number; redelivered?: number; listening?: boolean; answers?: number;
  latency?: Latency; actions?: string[]; unknown?: boolean;
};
export type Second = { at?: string; started?: number; completed?: number; compensated?: number; parked?: number; failed?: number; transitions?: number };
export type Standstill = { kind: string; object?: string; since?: string; reason: string; fix: string; stops?: boolean };
export type Blocked = { id: string; since?: string; reason: string };
export type Overview = {
  version?: string; since?: string; ready?: boolean; notReady?: string; open?: number; parked?: number; deadLetters?: number; deadLettersDropped?: number;
  outbox?: number; outboxOldestSeconds?: number; counts?: Count[]; cacheHitRatio?: number; startedPerSecond?: number; refusedPerSecond?: number; endedPerSecond?: number;
  transitionsPerSecond?: number; compensatedShare?: number; failedShare?: number; durations?: { definition: string; duration?: Latency }[];
  series?: Second[]; commit?: Latency; blocked?: number; blockedSagas?: Blocked[]; standstills?: Standstill[]; owner?: Owner; nats?: string; store?: StoreStatus;
};
// StoreStatus describes the files of the coordinator's store; waiting is what commits wait for.
export type StoreStatus = { stateBytes?: number; logBytes?: number; behindBytes?: number; lastCheckpoint?: string; waiting?: string; waitingSince?: string };
// Owner is the owner of the prefix, and whether that is confirmed.
export type Owner = {
  prefix?: string; store?: string; claim?: number; host?: string; address?: string; since?: string;
  ours?: boolean; confirmed?: boolean; lastConfirmed?: string; waiting?: string; replaced?: boolean;
};
export type Filter = {
  definition?: Ref; phases?: string[]; ids?: string[]; idPrefix?: string; open?: boolean; paused?: boolean; overdue?: boolean; step?: string; participant?: string;
  reason?: string; startedAfter?: string; startedBefore?: string; updatedBefore?: string;
};
export type Decision = { operation: string; step?: string; by?: string; reason: string; outcome?: string; result?: Inline };

// ApiError is an error of the API: its code, a message, and the operations that are legal
// now.
export class ApiError extends Error {
  constructor(readonly code: string, message: string, readonly legal: LegalOperation[] = []) {
    super(message);
  }

  // refused reports whether the coordinator rejected the request. After any other error it
  // is unknown whether the request was carried out: only the answer may be lost.
  get refused(): boolean {
    return refusals.has(this.code);
  }
}

const refusals = new Set(["invalid_argument", "not_found", "already_exists", "permission_denied", "unauthenticated", "failed_precondition", "out_of_range", "unimplemented", "resource_exhausted"]);

const service = "/amends.api.v1.CoordinatorService/";

type ErrorBody = { code?: string; message?: string; details?: { debug?: { legal?: LegalOperation[] } }[] };

function refusal(body: ErrorBody, fallback: string): ApiError {
  return new ApiError(body.code ?? fallback, body.message ?? "the coordinator answered without a reason", body.details?.find((d) => d.debug?.legal)?.debug?.legal);
}

// Timeouts in milliseconds, of a request and between two messages of a stream. A Watch
// sends a sign of life every 15 seconds.
export const requestTimeout = 10000;
const silence = 25000;

// State of the connection to the coordinator: requests in progress with their start, the
// time of the last answer, and whether the last request failed.
const waiting = new Set<{ since: number }>();
let heard = Date.now(), failed = false;

// unheard returns since when the coordinator has not answered, if that is too long ago;
// undefined if it answers.
export function unheard(now: number): number | undefined {
  let since = Infinity;
  for (const w of waiting) since = Math.min(since, w.since);
  return failed || now - Math.max(heard, since) > 4000 ? heard : undefined;
}

const hears = () => ((heard = Date.now()), (failed = false));

// request sends all requests. It times out after requestTimeout, and between two parts of a
// stream after silence.
export async function request<R>(url: string, init: RequestInit, read: (response: Response, more: () => void) => Promise<R>, signal?: AbortSignal): Promise<R> {
  const limit = new AbortController();
  const tooLate = () => limit.abort();
  const away = () => limit.abort();
  signal?.addEventListener("abort", away);
  if (signal?.aborted) away();
  let timer = window.setTimeout(tooLate, requestTimeout);
  const mine = { since: Date.now() };
  waiting.add(mine);
  try {
    const response = await fetch(url, { ...init, signal: limit.signal });
    hears();
    return await read(response, () => {
      hears();
      waiting.delete(mine);
      clearTimeout(timer);
      timer = window.setTimeout(tooLate, silence);
    });
  } catch (e) {
    if (signal?.aborted || e instanceof ApiError) throw e;
    failed ||= heard < mine.since;
    throw new ApiError("unreachable", limit.signal.aborted
      ? `The request timed out: the coordinator did not answer within ${requestTimeout / 1000} seconds.`
      : "The coordinator does not answer. Is it running?");
  } finally {
    waiting.delete(mine);
    clearTimeout(timer);
    signal?.removeEventListener("abort", away);
  }
}

function post<R>(method: string, contentType: string, body: BodyInit, read: (response: Response, more: () => void) => Promise<R>, signal?: AbortSignal): Promise<R> {
  const headers = { "Content-Type": contentType, "Connect-Protocol-Version": "1" };
  return request(service + method, { method: "POST", headers, body }, async (response, more) => read(await checked(response), more), signal);
}

// checked returns the response, or throws its error.
async function checked(response: Response): Promise<Response> {
  if (response.status === 401) {
    location.assign("/auth/login?next=" + encodeURIComponent(location.pathname + location.search));
  }
  if (!response.ok) {
    const text = await response.text();
    let problem: ErrorBody;
    try {
      problem = JSON.parse(text) as ErrorBody;
    } catch {
      problem = { code: response.status === 404 ? "unimplemented" : "http_" + response.status, message: text.trim() };
    }
    throw refusal(problem, "http_" + response.status);
  }
  return response;
}

// call sends a request and returns its answer.
export const call = <R,>(method: string, question: object, signal?: AbortSignal): Promise<R> =>
  post(method, "application/json", stringify(question), async (response) => parse(await response.text()) as R, signal);

// stream sends a request with a stream of answers, and passes each to take until take
// returns true. An envelope of Connect is a byte of flags, four bytes of length, and JSON.
export function stream<R>(method: string, question: object, take: (r: R) => boolean | void, signal?: AbortSignal): Promise<void> {
  const json = new TextEncoder().encode(stringify(question));
  const body = new Uint8Array(5 + json.length);
  new DataView(body.buffer).setUint32(1, json.length);
  body.set(json, 5);
  return post(method, "application/connect+json", body, async (response, more) => {
    const reader = response.body!.getReader();
    let have = new Uint8Array(0);
    try {
      for (;;) {
        more();
        const { done, value } = await reader.read();
        if (done) throw new ApiError("unavailable", "the connection ended in the middle of the stream");
        const joined = new Uint8Array(have.length + value.length);
        joined.set(have);
        joined.set(value, have.length);
        have = joined;
        while (have.length >= 5) {
          const size = new DataView(have.buffer, have.byteOffset).getUint32(1);
          if (have.length < 5 + size) break;
          const last = (have[0]! & 2) !== 0;
          const message = parse(new TextDecoder().decode(have.subarray(5, 5 + size)));
          have = have.slice(5 + size);
          if (!last) {
            if (take(message as R)) return;
            continue;
          }
          const { error } = message as { error?: ErrorBody };
          if (error) throw refusal(error, "unknown");
          return;
        }
      }
    } finally {
      reader.cancel().catch(() => {}); // the caller already has its result or error
    }
  }, signal);
}

// number returns the value of a number that is omitted if it is zero.
export const number = (n: number | undefined): number => n ?? 0;
// refText formats a definition reference; a saga with a damaged record may have none.
export const refText = (ref: Ref | undefined): string => (ref?.name ? `${ref.name}/${ref.version ?? 0}` : "not known");
