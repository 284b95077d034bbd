// Checks the test vectors of the coordinator's requests, proto/testdata/vectors.json.
//
// It encodes the JSON of each vector as protobuf and decodes the protobuf as JSON, by the mapping
// that docs/WIRE.md describes. It needs Node's standard library and api.proto, and nothing else of
// Amends.
//
//     node test/javascript/vectors.mjs [vectors.json]
//
// It prints the number of vectors or, with exit code 1, the first one that fails.

import { readFileSync } from "node:fs";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";

const proto = new URL("../../proto/", import.meta.url);

// Refused is the error for JSON that does not fit its message.
class Refused extends Error {}

// --- api.proto ---------------------------------------------------------------

// readSchema returns the fields of each message: name in JSON, number, type, whether it is repeated,
// and whether it is inline JSON, which is a string in protobuf.
function readSchema(text) {
  const schema = new Map();
  let fields = [];
  let comment = "";
  for (const line of text.split("\n").map((l) => l.trim())) {
    if (line.startsWith("//")) {
      comment += line.slice(2);
      continue;
    }
    let match;
    if ((match = /^message (\w+) \{/.exec(line))) {
      schema.set(match[1], (fields = []));
    } else if ((match = /^(repeated )?([\w.]+) (\w+) = (\d+);$/.exec(line))) {
      fields.push({
        name: match[3].replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
        number: Number(match[4]),
        type: match[2],
        repeated: match[1] !== undefined,
        inline: comment.trim().startsWith("JSON:"),
      });
    }
    comment = "";
  }
  return schema;
}

// --- JSON --------------------------------------------------------------------

// Digits is a number as it is written, because payloads have numbers of any size.
class Digits {
  constructor(text) {
    this.text = text;
  }
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

// readJSON decodes JSON. Objects become Maps, and numbers Digits.
function readJSON(text) {
  let at = 0;
  const take = (token) => {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match) at = token.lastIndex;
    return match?.[0];
  };
  const next = (character) => {
    take(SPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  const expect = (character) => {
    if (!next(character)) throw new Refused(`at ${at}: no ${character}`);
  };
  const string = () => {
    take(SPACE);
    const token = take(STRING);
    if (token === undefined) throw new Refused(`at ${at}: no string`);
    const value = JSON.parse(token);
    if (/\p{Surrogate}/u.test(value)) throw new Refused("half of a surrogate pair");
    return value;
  };
  const value = () => {
    if (next("{")) {
      const object = new Map();
      if (next("}")) return object;
      do {
        const name = string();
        if (object.has(name)) throw new Refused(`${name} is there twice`);
        expect(":");
        object.set(name, value());
      } while (next(","));
      expect("}");
      return object;
    }
    if (next("[")) {
      const list = [];
      if (next("]")) return list;
      do list.push(value());
      while (next(","));
      expect("]");
      return list;
    }
    if (text[at] === '"') return string();
    const word = take(WORD);
    if (word !== undefined) return JSON.parse(word);
    const number = take(NUMBER);
    if (number === undefined) throw new Refused(`at ${at}: no JSON`);
    return new Digits(number);
  };
  const whole = value();
  take(SPACE);
  if (at < text.length) throw new Refused(`at ${at}: something follows the JSON`);
  return whole;
}

function writeJSON(value) {
  if (value instanceof Digits) return value.text;
  if (value instanceof Map) return `{${[...value].map(([name, v]) => `${JSON.stringify(name)}:${writeJSON(v)}`).join()}}`;
  if (Array.isArray(value)) return `[${value.map(writeJSON).join()}]`;
  return JSON.stringify(value);
}

// --- JSON to protobuf --------------------------------------------------------

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const RANGES = { int64: [-(2n ** 63n), 2n ** 63n], uint64: [0n, 2n ** 64n] };

function varint(number) {
  let n = BigInt.asUintN(64, BigInt(number));
  const bytes = [];
  for (; n > 0x7fn; n >>= 7n) bytes.push(Number(n & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(n)]);
}

function tagged(number, wire, data) {
  return Buffer.concat([varint((number << 3) | wire), wire === LENGTH ? varint(data.length) : Buffer.alloc(0), data]);
}

// checkGiven refuses conditions that are given and empty, and would select more than intended.
function checkGiven(message, request) {
  const purge = message === "PurgeDeadLettersRequest";
  const changes = message === "OperatePageRequest" || message === "OperateAllRequest";
  const conditions = purge ? request : request.get("filter");
  if (!(conditions instanceof Map)) return;
  for (const [name, value] of conditions) {
    if (purge && name === "by") continue;
    const empty = value === null || (value === "" && (purge || changes)) ||
      (Array.isArray(value) && value.length === 0 && !purge) || (value instanceof Map && value.size === 0 && changes);
    if (empty) throw new Refused(`${name} is given and empty`);
  }
  const definition = conditions.get("definition");
  if (definition instanceof Map && !definition.get("name")) throw new Refused("definition has no name");
}

// encode encodes the JSON of a message as protobuf, in the order of the field numbers.
function encode(schema, message, value) {
  if (!(value instanceof Map)) throw new Refused(`${message} is not an object`);
  const fields = schema.get(message);
  for (const name of value.keys()) {
    if (!fields.some((f) => f.name === name)) throw new Refused(`unknown field ${name}`);
  }
  if (message.endsWith("Request")) checkGiven(message, value);
  const parts = [];
  for (const f of [...fields].sort((a, b) => a.number - b.number)) {
    const given = value.get(f.name);
    if (given === undefined || (given === null && !f.inline)) continue;
    if (!f.repeated) {
      const { wire, data, zero } = encodeOne(schema, f, given);
      if (!zero) parts.push(tagged(f.number, wire, data));
      continue;
    }
    if (!Array.isArray(given)) throw new Refused(`${f.name} is not a list`);
    const items = given.map((item) => encodeOne(schema, f, item));
    if (items.length > 0 && items[0].wire !== LENGTH) {
      parts.push(tagged(f.number, LENGTH, Buffer.concat(items.map((i) => i.data)))); // numbers are packed
    } else {
      parts.push(...items.map((i) => tagged(f.number, LENGTH, i.data)));
    }
  }
  return Buffer.concat(parts);
}

// encodeOne returns the wire type and the encoding of one value, and whether it is the zero value.
function encodeOne(schema, f, value) {
  const want = (ok) => {
    if (!ok) throw new Refused(`${f.name} has the wrong type`);
  };
  const text = (data) => ({ wire: LENGTH, data, zero: data.length === 0 });
  const message = (data) => ({ wire: LENGTH, data, zero: false });
  if (f.inline) return text(Buffer.from(writeJSON(value)));
  switch (f.type) {
    case "string":
      want(typeof value === "string");
      return text(Buffer.from(value));
    case "bytes":
      want(typeof value === "string" && Buffer.from(value, "base64").toString("base64") === value);
      return text(Buffer.from(value, "base64"));
    case "bool":
      want(typeof value === "boolean");
      return { wire: VARINT, data: varint(value ? 1 : 0), zero: !value };
    case "double": {
      want(value instanceof Digits);
      const data = Buffer.alloc(8);
      data.writeDoubleLE(Number(value.text));
      return { wire: FIXED64, data, zero: data.every((b) => b === 0) };
    }
    case "int64":
    case "uint64": {
      want(value instanceof Digits && /^-?\d+$/.test(value.text));
      const n = BigInt(value.text);
      const [least, end] = RANGES[f.type];
      want(least <= n && n < end);
      return { wire: VARINT, data: varint(n), zero: n === 0n };
    }
    case "google.protobuf.Timestamp":
      want(typeof value === "string");
      return message(encodeParts(...readTime(value)));
    case "google.protobuf.Duration":
      want(typeof value === "string");
      return message(encodeParts(...readDuration(value)));
  }
  return message(encode(schema, f.type, value));
}

// encodeParts encodes a Timestamp or a Duration.
function encodeParts(seconds, nanos) {
  const parts = [];
  if (seconds !== 0) parts.push(tagged(1, VARINT, varint(seconds)));
  if (nanos !== 0) parts.push(tagged(2, VARINT, varint(nanos)));
  return Buffer.concat(parts);
}

function readTime(text) {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  const milliseconds = match ? Date.parse(match[1] + match[3]) : NaN;
  if (Number.isNaN(milliseconds)) throw new Refused("not a time of RFC 3339");
  return [milliseconds / 1000, Number((match[2] ?? "").padEnd(9, "0"))];
}

function readDuration(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,9}))?s$/.exec(text);
  if (!match) throw new Refused("not a duration in seconds");
  const sign = match[1] ? -1 : 1;
  return [sign * Number(match[2]), sign * Number((match[3] ?? "").padEnd(9, "0"))];
}

// --- protobuf to JSON --------------------------------------------------------

function readVarint(data, at) {
  let n = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = data[at++];
    n |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [n, at];
  }
}

// records yields number and value of each field.
function* records(data) {
  for (let at = 0; at < data.length; ) {
    let tag, value;
    [tag, at] = readVarint(data, at);
    if ((tag & 7n) === BigInt(VARINT)) {
      [value, at] = readVarint(data, at);
    } else {
      let size = 8n;
      if ((tag & 7n) === BigInt(LENGTH)) [size, at] = readVarint(data, at);
      value = data.subarray(at, at + Number(size));
      at += Number(size);
    }
    yield [Number(tag >> 3n), value];
  }
}

// decode decodes protobuf as the JSON of a message.
function decode(schema, message, data) {
  const found = new Map();
  for (const [number, value] of records(data)) found.set(number, [...(found.get(number) ?? []), value]);
  const out = new Map();
  for (const f of schema.get(message)) {
    const values = found.get(f.number);
    if (values === undefined) continue;
    found.delete(f.number);
    if (f.repeated && f.type in RANGES) {
      const list = [];
      for (let n, at = 0; at < values[0].length; ) {
        [n, at] = readVarint(values[0], at);
        list.push(decodeOne(schema, f, n));
      }
      out.set(f.name, list);
    } else if (f.repeated) {
      out.set(f.name, values.map((value) => decodeOne(schema, f, value)));
    } else {
      out.set(f.name, decodeOne(schema, f, values.at(-1)));
    }
  }
  if (found.size > 0) throw new Refused(`${message} has unknown fields ${[...found.keys()]}`);
  return out;
}

function decodeOne(schema, f, value) {
  if (f.inline) return readJSON(value.toString());
  switch (f.type) {
    case "string":
      return value.toString();
    case "bytes":
      return value.toString("base64");
    case "bool":
      return value !== 0n;
    case "double":
      return new Digits(String(value.readDoubleLE()));
    case "uint64":
      return new Digits(String(value));
    case "int64":
      return new Digits(String(BigInt.asIntN(64, value)));
    case "google.protobuf.Timestamp":
    case "google.protobuf.Duration": {
      const parts = new Map([...records(value)].map(([number, n]) => [number, Number(BigInt.asIntN(64, n))]));
      const write = f.type.endsWith("Timestamp") ? writeTime : writeDuration;
      return write(parts.get(1) ?? 0, parts.get(2) ?? 0);
    }
  }
  return decode(schema, f.type, value);
}

const fraction = (nanos) => (nanos ? `.${String(nanos).padStart(9, "0").replace(/0+$/, "")}` : "");

const writeTime = (seconds, nanos) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction(nanos)}Z`;

const writeDuration = (seconds, nanos) => `${seconds < 0 || nanos < 0 ? "-" : ""}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`;

// --- the vectors -------------------------------------------------------------

// check throws an error if the vector does not hold.
function check(schema, vector) {
  const message = vector.get("message");
  if (vector.has("error")) {
    try {
      encode(schema, message, readJSON(vector.get("text")));
    } catch (problem) {
      if (problem instanceof Refused) return;
      throw problem;
    }
    throw new Error("the JSON is accepted");
  }
  const want = vector.get("protobuf");
  for (const value of [vector.get("json"), ...(vector.get("also") ?? []).map(readJSON)]) {
    const got = encode(schema, message, value).toString("base64");
    if (got !== want) throw new Error(`${writeJSON(value)} is ${got}, want ${want}`);
  }
  const got = decode(schema, message, Buffer.from(want, "base64"));
  if (!isDeepStrictEqual(got, vector.get("json"))) {
    throw new Error(`the protobuf is ${writeJSON(got)}, want ${writeJSON(vector.get("json"))}`);
  }
}

const schema = readSchema(readFileSync(new URL("amends/api/v1/api.proto", proto), "utf8"));
const vectors = readJSON(readFileSync(process.argv[2] ?? new URL("testdata/vectors.json", proto), "utf8"));
for (const vector of vectors) {
  try {
    check(schema, vector);
  } catch (problem) {
    console.log(`${vector.get("message")}, ${vector.get("note")}: ${problem.message}`);
    process.exit(1);
  }
}
console.log(vectors.length, "vectors");
