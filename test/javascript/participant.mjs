// A participant without an SDK: the payment service of docs/WIRE.md, in one file.
//
//   NATS_URL=nats://127.0.0.1:4222 node participant.mjs
//
// It keeps its inbox in memory, so it forgets when it ends. A real service writes
// the inbox in the same database transaction as the money it moves.
import { pathToFileURL } from "node:url";
import { connect, headers } from "@nats-io/transport-node";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";

/** Thrown by an action to say the business's no: final, nothing was done. */
export class Rejection extends Error {}

// answerer returns answer(action, command) for a table of actions. The inbox
// holds what was answered, by saga, step and direction: repeated commands are
// answered again and do nothing again.
export function answerer(actions) {
  const inbox = new Map();
  return (action, { saga, step, direction, data }) => {
    const key = `${saga}/${step}/${direction}`; // the idempotency key: the same for all attempts
    const settle = (answer) => (inbox.set(key, answer), answer);
    const done = inbox.get(`${saga}/${step}/do`);
    if (direction === "do" && inbox.has(`${saga}/${step}/undo`) && done?.type !== "rejected") {
      return { type: "rejected", reason: "this step was undone" }; // the do comes after its undo
    }
    if (inbox.has(key)) return inbox.get(key);
    const happened = done ? done.type === "completed" : data?.result != null;
    if (direction === "undo" && !happened) {
      return settle({ type: "completed" }); // nothing to take back; what is recorded is the tombstone
    }
    if (!Object.hasOwn(actions, action)) {
      return { type: "failed", reason: `there is no action ${action}`, final: true };
    }
    try {
      return settle({ type: "completed", data: actions[action](data, done?.data) });
    } catch (error) {
      if (error instanceof Rejection) return settle({ type: "rejected", reason: error.message });
      return { type: "failed", reason: error.message }; // not recorded: the next attempt may do better
    }
  };
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

// serve answers the commands of a participant until the connection closes.
export async function serve(nc, name, answer) {
  const js = jetstream(nc);
  const manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.consumers.info("SAGA_COMMANDS", name).catch(() =>
    manager.consumers.add("SAGA_COMMANDS", {
      durable_name: name,
      filter_subject: `saga.command.${name}.>`,
      ack_policy: AckPolicy.Explicit,
    }));
  const consumer = await js.consumers.get("SAGA_COMMANDS", name);
  const messages = await consumer.consume({ max_messages: 64 });
  console.log(`${name} is ready`);
  for await (const command of messages) {
    if (!command.headers?.has("ce-replyto")) {
      command.term("not a command: ce-replyto is missing"); // nobody to answer
      continue;
    }
    try {
      await reply(js, command, respond(command, answer));
      command.ack(); // only now: what was not answered comes again
    } catch (error) {
      console.error(`${command.subject}: ${error.message}`);
      command.nak(1000);
    }
  }
}

function respond(command, answer) {
  let data;
  try {
    data = JSON.parse(command.string() || "null");
  } catch (error) {
    return { type: "failed", reason: error.message, final: true }; // another attempt brings the same bytes
  }
  return answer(command.subject.split(".").pop(), {
    saga: attribute(command, "sagaid"),
    step: attribute(command, "step"),
    direction: attribute(command, "direction"),
    data,
  });
}

// The service itself.
const limit = 10_000;
let receipts = 0;
export const payment = {
  "charge-card": ({ amount_cents }) => {
    if (amount_cents > limit) throw new Rejection(`card declined: ${amount_cents} is above the limit, ${limit}`);
    return { receipt: `r-${++receipts}` };
  },
  "refund-card": ({ result }, recorded) => ({ refunded: (result ?? recorded).receipt }),
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
