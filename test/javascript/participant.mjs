// A participant without an SDK: the payment service of docs/WIRE.md, in one file.
//
//   NATS_URL=nats://127.0.0.1:4222 node participant.mjs
//
// It keeps its inbox in memory, so it forgets when it ends. A real service writes
// the inbox in the same database transaction as the money it moves.
import { pathToFileURL } from "node:url";
import { connect, headers } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

/** Thrown by an action to say the business's no: final, nothing was done. */
export class Rejection extends Error {}

// answerer returns answer(action, command) for tables of actions, one for each
// direction. The inbox holds what was answered, by saga, its birth, step and direction:
// repeated commands are answered again and do nothing again. An answer of type "unknown" says
// that only another process could answer.
export function answerer(actions) {
  const inbox = new Map();
  return (action, { saga, birth, step, direction, data }) => {
    const key = (direction) => `${saga}/${birth}/${step}/${direction}`; // the same for all attempts
    const record = (answer) => (inbox.set(key(direction), answer), answer);
    const done = inbox.get(key("do"));
    const undone = inbox.get(key("undo"));
    if (direction === "do" && undone && done?.type !== "rejected") {
      return { type: "rejected", reason: "this step was undone" }; // the do comes after its undo
    }
    const recorded = direction === "do" ? done : undone;
    if (recorded) return recorded;
    if (direction === "undo" && done?.type === "rejected") return record({ type: "completed" });
    if (!Object.hasOwn(actions[direction] ?? {}, action)) return { type: "unknown" };
    if (direction === "undo" && !done && data?.result == null) {
      return record({ type: "completed" }); // nothing to take back; what is recorded is the tombstone
    }
    try {
      return record({ type: "completed", data: actions[direction][action](data, done?.data) });
    } catch (error) {
      if (!(error instanceof Rejection)) return { type: "failed", reason: error.message }; // the next attempt may do better
      const rejected = { type: "rejected", reason: error.message };
      return direction === "do" ? record(rejected) : rejected; // an operator may have a rejected undo tried again
    }
  };
}

// What docs/WIRE.md says of an action that this process does not know.
const deliveries = 12; // then it is answered
const longest = 10_000; // ms between two deliveries
const least = 250;

// HandedBack counts the commands that were handed back and have not come again.
class HandedBack {
  due = [];
  constructor(bound) { this.bound = bound; }
  take(delay) {
    const now = Date.now();
    this.due = this.due.filter((due) => due > now);
    if (this.due.length >= this.bound) return false;
    return this.due.push(now + delay) > 0;
  }
}

// unknown hands a command back, or says how it is answered.
function unknown(command, back) {
  const [, , name, action] = command.subject.split(".");
  const direction = attribute(command, "direction");
  const delivered = command.info.deliveryCount;
  const failed = (note, final) => ({
    type: "failed", final,
    reason: `unknown action: ${name}.${action} (${direction}; ${note}): deploy a process that handles it`,
  });
  if (delivered >= deliveries) return failed(`delivered ${delivered} times`, direction === "do");
  let delay = Math.min(1000 * 2 ** (delivered - 1), longest);
  const left = Date.parse(attribute(command, "expirytime")) - Date.now(); // NaN where there is none
  if (left > 0 && delay >= left) delay = left / 2;
  if (delay < least) return failed(`delivered ${delivered} times in this attempt`, false);
  if (!back.take(delay)) return failed("too many commands are handed back already", false);
  command.nak(Math.round(delay));
}

// encode writes an attribute's value as CloudEvents does in headers.
const encode = (value) =>
  Array.from(new TextEncoder().encode(value), (byte) =>
    byte <= 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x25
      ? "%" + byte.toString(16).toUpperCase().padStart(2, "0")
      : String.fromCharCode(byte)).join("");

const attribute = (message, name) => decodeURIComponent(message.headers?.get(`ce-${name}`) ?? "");

// reply publishes an answer and returns when the stream has it.
async function reply(js, command, answer) {
  const h = headers();
  h.set("ce-type", `dev.amends.${answer.type}.v1`);
  if (answer.reason) h.set("ce-reason", encode(answer.reason));
  if (answer.final) h.set("ce-final", "true");
  const trace = command.headers?.get("traceparent");
  if (trace) h.set("traceparent", trace);
  const data = answer.data === undefined ? "" : JSON.stringify(answer.data);
  await js.publish(attribute(command, "replyto"), data, { headers: h });
}

// How the participant takes its commands.
const ackWait = "30s";
const maxInFlight = 1000;

// subscribe has the coordinator make the participant's consumer, or bring it to what this
// process understands: a neighbour may have said that it takes bundles.
async function subscribe(nc, name) {
  const reply = await nc.request(`saga.api.subscribe.${name}`, JSON.stringify({ ackWait, maxInFlight }), { timeout: 5000 });
  const code = attribute(reply, "code");
  if (code) throw new Error(`${code}: ${attribute(reply, "reason")}`);
  return reply.json();
}

// serve answers the commands of a participant until the connection closes. A consumer
// that is gone, with its stream or alone, ends the inner loop and is recreated.
export async function serve(nc, name, answer) {
  const js = jetstream(nc, { apiPrefix: process.env.NATS_JS_PREFIX ?? "$JS.API" });
  const back = new HandedBack(maxInFlight / 4);
  const over = () => nc.isClosed() || nc.isDraining();
  while (!over()) {
    try {
      const at = await subscribe(nc, name);
      const consumer = await js.consumers.get(at.stream, at.consumer);
      const messages = await consumer.consume({ max_messages: 64, expires: 5000, idle_heartbeat: 1000, abort_on_missing_resource: true });
      console.log(`${name} is ready`);
      for await (const command of messages) await handle(js, command, answer, back);
    } catch (error) {
      if (over()) return;
      console.log(`${name} has no consumer: ${error.message}; it is recreated`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

// needed are the attributes without which a message is no command.
const needed = ["replyto", "sagaid", "birth", "step", "direction"];

async function handle(js, command, answer, back) {
  if (command.subject.split(".")[3] === "bundle") { // a neighbour takes bundles: it may get this one
    if (command.info.deliveryCount < deliveries && back.take(longest)) command.nak(1000);
    else command.term("bundles are not understood here");
    return;
  }
  const missing = needed.find((name) => !attribute(command, name));
  if (missing) {
    command.term(`not a command: ce-${missing} is missing`); // nobody to answer, or no key
    return;
  }
  try {
    let answered = respond(command, answer);
    if (answered.type === "unknown") answered = unknown(command, back);
    if (!answered) return; // it was handed back
    await reply(js, command, answered);
    command.ack(); // only now: what was not answered comes again
  } catch (error) {
    console.error(`${command.subject}: ${error.message}`);
    command.nak(1000);
  }
}

function respond(command, answer) {
  const direction = attribute(command, "direction");
  let data;
  try {
    data = JSON.parse(command.string() || "null");
  } catch {
    return { type: "failed", reason: "the data is not JSON", final: direction === "do" }; // another attempt brings the same bytes; the error quotes them
  }
  return answer(command.subject.split(".")[3], {
    saga: attribute(command, "sagaid"), birth: attribute(command, "birth"), step: attribute(command, "step"), direction, data,
  });
}

// The service itself.
const limit = 10_000;
let receipts = 0;
export const payment = {
  do: {
    "charge-card": ({ amount_cents }) => {
      if (amount_cents > limit) throw new Rejection(`card declined: ${amount_cents} is above the limit, ${limit}`);
      return { receipt: `r-${++receipts}` };
    },
  },
  undo: {
    "refund-card": ({ request, result }, recorded) => {
      if (request?.account === "closed") throw new Rejection("the account is closed");
      return { refunded: (result ?? recorded).receipt };
    },
  },
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const name = process.env.PARTICIPANT ?? "payment";
  const nc = await connect({
    servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
    user: process.env.NATS_USER,
    pass: process.env.NATS_PASSWORD,
    inboxPrefix: `_INBOX_${name}`, // so that permissions can keep replies apart
    maxReconnectAttempts: -1,
  });
  process.once("SIGTERM", () => nc.drain());
  await serve(nc, name, answerer(payment));
}
