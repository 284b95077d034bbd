#!/usr/bin/env python3
"""Checks the test vectors of the coordinator's requests, proto/testdata/vectors.json.

It encodes the JSON of each vector as protobuf and decodes the protobuf as JSON, by the mapping
that docs/WIRE.md describes. It needs Python's standard library and api.proto, and nothing else
of Amends.

    python3 test/python/vectors.py [vectors.json]

It prints the number of vectors or, with exit code 1, the first one that fails.
"""

import base64
import calendar
import json
import re
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROTO = Path(__file__).resolve().parents[2] / "proto"


class Refused(Exception):
    """The JSON does not fit its message."""


# --- api.proto -----------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    name: str  # in JSON
    number: int
    type: str
    repeated: bool
    inline: bool  # JSON data, a string in protobuf


def read_schema(text):
    """Returns the fields of each message."""
    schema, fields, comment = {}, [], ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("//"):
            comment += line[2:]
            continue
        if match := re.match(r"message (\w+) \{", line):
            fields = schema[match[1]] = []
        elif match := re.fullmatch(r"(repeated )?([\w.]+) (\w+) = (\d+);", line):
            name = re.sub(r"_(.)", lambda m: m[1].upper(), match[3])
            inline = comment.strip().startswith("JSON:")
            fields.append(Field(name, int(match[4]), match[2], bool(match[1]), inline))
        comment = ""
    return schema


# --- JSON ----------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A number as it is written, because payloads have numbers of any size."""

    text: str


def read_json(text):
    def pairs(items):
        if len(dict(items)) != len(items):
            raise Refused("an object has a name twice")
        return dict(items)

    def constant(name):
        raise Refused(f"{name} is not JSON")

    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=constant, object_pairs_hook=pairs)


def write_json(value):
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + write_json(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    if isinstance(value, Number):
        return value.text
    return json.dumps(value, ensure_ascii=False)


# --- JSON to protobuf ----------------------------------------------------------

VARINT, FIXED64, LENGTH = 0, 1, 2
ZERO = {VARINT: b"\0", FIXED64: bytes(8), LENGTH: b""}
INTEGERS = {"int64": (-(1 << 63), 1 << 63), "uint64": (0, 1 << 64)}


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def tagged(number, wire, data):
    return varint(number << 3 | wire) + (varint(len(data)) if wire == LENGTH else b"") + data


def check_given(message, request):
    """Refuses conditions that are given and empty, and would select more than intended."""
    conditions, empty = request.get("filter"), [None, []]
    if message in ("OperatePageRequest", "OperateAllRequest"):
        empty += ["", {}]
    elif message == "PurgeDeadLettersRequest":
        conditions, empty = {name: v for name, v in request.items() if name != "by"}, [None, ""]
    if not isinstance(conditions, dict):
        return
    for name, value in conditions.items():
        if value in empty:
            raise Refused(f"{name} is given and empty")
    definition = conditions.get("definition")
    if isinstance(definition, dict) and not definition.get("name"):
        raise Refused("definition has no name")


def encode(schema, message, value):
    """Encodes the JSON of a message as protobuf, in the order of the field numbers."""
    if not isinstance(value, dict):
        raise Refused(f"{message} is not an object")
    fields = {f.name: f for f in schema[message]}
    for name in value:
        if name not in fields:
            raise Refused(f"unknown field {name}")
    if message.endswith("Request"):
        check_given(message, value)
    out = b""
    for f in sorted(fields.values(), key=lambda f: f.number):
        if f.name not in value or value[f.name] is None and not f.inline:
            continue
        given = value[f.name]
        if not f.repeated:
            wire, data = encode_one(schema, f, given)
            if f.type in schema or f.type.startswith("google.") or data != ZERO[wire]:
                out += tagged(f.number, wire, data)
            continue
        if not isinstance(given, list):
            raise Refused(f"{f.name} is not a list")
        items = [encode_one(schema, f, item) for item in given]
        if items and items[0][0] == LENGTH:
            out += b"".join(tagged(f.number, wire, data) for wire, data in items)
        elif items:  # numbers are packed
            out += tagged(f.number, LENGTH, b"".join(data for _, data in items))
    return out


def encode_one(schema, f, value):
    """Returns the wire type and the encoding of one value."""

    def want(kind):
        if not isinstance(value, kind):
            raise Refused(f"{f.name} has the wrong type")
        return value

    if f.inline:
        return LENGTH, write_json(value).encode()
    if f.type == "string":
        return LENGTH, want(str).encode()
    if f.type == "bytes":
        return LENGTH, base64.b64decode(want(str), validate=True)
    if f.type == "bool":
        return VARINT, varint(want(bool))
    if f.type == "double":
        return FIXED64, struct.pack("<d", float(want(Number).text))
    if f.type in INTEGERS:
        least, end = INTEGERS[f.type]
        text = want(Number).text
        if not re.fullmatch(r"-?\d+", text) or not least <= int(text) < end:
            raise Refused(f"{f.name} is not a number of type {f.type}")
        return VARINT, varint(int(text))
    if f.type == "google.protobuf.Timestamp":
        return LENGTH, encode_parts(*read_time(want(str)))
    if f.type == "google.protobuf.Duration":
        return LENGTH, encode_parts(*read_duration(want(str)))
    return LENGTH, encode(schema, f.type, value)


def encode_parts(seconds, nanos):
    """Encodes a Timestamp or a Duration."""
    out = tagged(1, VARINT, varint(seconds)) if seconds else b""
    return out + (tagged(2, VARINT, varint(nanos)) if nanos else b"")


def read_time(text):
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", text)
    if not match:
        raise Refused("not a time of RFC 3339")
    seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    if match[3]:
        seconds -= int(match[3] + "60") * (60 * int(match[4]) + int(match[5]))
    return seconds, int((match[2] or "").ljust(9, "0"))


def read_duration(text):
    match = re.fullmatch(r"(-?)(\d+)(?:\.(\d{1,9}))?s", text)
    if not match:
        raise Refused("not a duration in seconds")
    sign = -1 if match[1] else 1
    return sign * int(match[2]), sign * int((match[3] or "").ljust(9, "0"))


# --- protobuf to JSON ----------------------------------------------------------


def read_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        n, shift, at = n | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return n, at


def records(data):
    """Yields number, wire type and value of each field."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
        else:
            size = 8
            if wire == LENGTH:
                size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        yield tag >> 3, wire, value


def decode(schema, message, data):
    """Decodes protobuf as the JSON of a message."""
    found = {}
    for number, wire, value in records(data):
        found.setdefault(number, []).append((wire, value))
    out = {}
    for f in schema[message]:
        values = found.pop(f.number, None)
        if values is None:
            continue
        if f.repeated and f.type in INTEGERS:
            at, packed = 0, values[0][1]
            out[f.name] = []
            while at < len(packed):
                n, at = read_varint(packed, at)
                out[f.name].append(decode_one(schema, f, n))
        elif f.repeated:
            out[f.name] = [decode_one(schema, f, value) for _, value in values]
        else:
            out[f.name] = decode_one(schema, f, values[-1][1])
    if found:
        raise Refused(f"{message} has unknown fields {sorted(found)}")
    return out


def signed(n):
    return n - (1 << 64) if n >= 1 << 63 else n


def decode_one(schema, f, value):
    if f.inline:
        return read_json(value.decode())
    if f.type == "string":
        return value.decode()
    if f.type == "bytes":
        return base64.b64encode(value).decode()
    if f.type == "bool":
        return bool(value)
    if f.type == "double":
        number = struct.unpack("<d", value)[0]
        return Number(str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number))
    if f.type in INTEGERS:
        return Number(str(value if f.type == "uint64" else signed(value)))
    if f.type.startswith("google."):
        parts = {number: signed(n) for number, _, n in records(value)}
        write = write_time if f.type.endswith("Timestamp") else write_duration
        return write(parts.get(1, 0), parts.get(2, 0))
    return decode(schema, f.type, value)


def fraction(nanos):
    return f".{nanos:09d}".rstrip("0") if nanos else ""


def write_time(seconds, nanos):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction(nanos) + "Z"


def write_duration(seconds, nanos):
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{fraction(abs(nanos))}s"


# --- the vectors ---------------------------------------------------------------


def check(schema, vector):
    """Raises an exception if the vector does not hold."""
    message = vector["message"]
    if "error" in vector:
        try:
            encode(schema, message, read_json(vector["text"]))
        except (Refused, ValueError):
            return
        raise AssertionError("the JSON is accepted")
    want = base64.b64decode(vector["protobuf"], validate=True)
    spellings = [vector["json"]] + [read_json(text) for text in vector.get("also", [])]
    for value in spellings:
        if (got := encode(schema, message, value)) != want:
            raise AssertionError(f"{write_json(value)} is {base64.b64encode(got).decode()}, want {vector['protobuf']}")
    if (got := decode(schema, message, want)) != vector["json"]:
        raise AssertionError(f"the protobuf is {write_json(got)}, want {write_json(vector['json'])}")


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO / "testdata" / "vectors.json"
    schema = read_schema((PROTO / "amends" / "api" / "v1" / "api.proto").read_text(encoding="utf-8"))
    vectors = read_json(path.read_text(encoding="utf-8"))
    for vector in vectors:
        try:
            check(schema, vector)
        except Exception as problem:
            print(f"{vector['message']}, {vector['note']}: {problem}")
            sys.exit(1)
    print(len(vectors), "vectors")


if __name__ == "__main__":
    main()
