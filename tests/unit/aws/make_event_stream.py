#!/usr/bin/env python3
"""Writes data/event_stream.json: event streams, and which messages botocore reads in them. Not run by the tests, for it needs
botocore:

    make_event_stream.py > data/event_stream.json

A message is told as test_event_stream.c tells it: "#NUMBER@OFFSET NAME:TYPE=VALUE …|PAYLOAD", with numbers in decimals, and all
else in hex.
"""
import json
import random
import struct
import zlib

import botocore
import botocore.eventstream

# Published vectors, by their names there (botocore, tests/unit/test_eventstream.py).
PUBLISHED = {
    "EMPTY_MESSAGE": "000000100000000005c248eb7d98c8ff",
    "INT8_HEADER": "0000001700000007298601580462797465" "02ffc2f869dc",
    "INT16_HEADER": "0000001900000009710e923e0573686f7274" "03ffffb27cb6cc",
    "INT32_HEADER": "0000001d0000000d83e3f0e707696e7465676572" "04ffffffff8b8e12eb",
    "INT64_HEADER": "0000001e0000000e5d4adb8d046c6f6e67" "05ffffffffffffffff4bc232da",
    "PAYLOAD_NO_HEADERS": "0000001d00000000fd528c5a" "7b27666f6f273a27626172277dc3653936",
    "PAYLOAD_ONE_STR_HEADER": "0000003d0000002007fd8396" "0c636f6e74656e742d74797065070010"
                              "6170706c69636174696f6e2f6a736f6e" "7b27666f6f273a27626172277d8d9c08b1",
    "ALL_HEADERS_TYPES": "000000620000005203b5cb9c" "013000" "013101" "01320202" "0133030003" "01340400000004"
                         "0135050000000000000005" "01360600056279746573" "0137070004" "75746638"
                         "0138080000000000000008" "01390930313233343536373839616263646566" "63353671",
    "ERROR_EVENT_MESSAGE": "0000005200000042bf23637e" "0d3a6d6573736167652d747970650700056572726f72"
                           "0b3a6572726f722d636f6465070004636f6465" "0e3a6572726f722d6d6573736167650700076d657373616765"
                           "6b6cea3d",
    "CORRUPTED_HEADER_LENGTH": "0000003dff00010207fd8396" "0c636f6e74656e742d74797065070010"
                               "6170706c69636174696f6e2f6a736f6e" "7b27666f6f273a27626172277d8d9c08b1",
    "CORRUPTED_HEADERS": "0000003d0000002007fd8396" "0c636f6e74656e742b74797065070010"
                         "6170706c69636174696f6e2f6a736f6e" "7b27666f6f273a27626172277d8d9c08b1",
    "CORRUPTED_LENGTH": "0100001d00000000fd528c5a" "7b27666f6f273a27626172277dc3653936",
    "CORRUPTED_PAYLOAD": "0000001d00000000fd528c5a" "7b27666f6f273a27626172278dc3653936",
    "DUPLICATE_HEADER": "00000024000000144bb982d0" "04746573740461736466" "04746573740461736466" "f3f47563",
    "INVALID_HEADERS_LENGTH": "0000003dff0001021583f5c2" "0c636f6e74656e742d74797065070010"
                              "6170706c69636174696f6e2f6a736f6e" "7b27666f6f273a27626172277d2f377f5d",
}
# What AgentCore answers, as the encoder of AWS's JavaScript client writes it.
AGENTCORE = {
    "result": "000000e50000004cfa7c9a7d0b3a6576656e742d74797065070006726573756c740d3a636f6e74656e742d74797065070010617070"
              "6c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22636f6e74656e74223a5b7b2274797065"
              "223a2274657874222c2274657874223a2231227d5d2c2273747275637475726564436f6e74656e74223a7b227374646f7574223a22"
              "31222c22737464657272223a22222c2265786974436f6465223a302c22657865637574696f6e54696d65223a302e30317d2c226973"
              "4572726f72223a66616c73657d108fbb0e",
    "exception": "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a"
                 "636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700096578636570"
                 "74696f6e7b226d657373616765223a22736c6f7720646f776e227d832ee072",
    "error": "0000005a0000004a8188a08d0b3a6572726f722d636f646507000f496e7465726e616c4661696c7572650e3a6572726f722d6d657373"
             "616765070004626f6f6d0d3a6d6573736167652d747970650700056572726f72f8d6999d",
}
SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
INTEGERS = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}

rng = random.Random(7)


def message(headers, payload):
    """headers: (name, type, bytes of the value)."""
    block = b"".join(bytes([len(name)]) + name + bytes([kind]) + (struct.pack(">H", len(value)) if kind in (6, 7) else b"") + value
                     for name, kind, value in headers)
    head = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    head += struct.pack(">I", zlib.crc32(head))
    return head + block + payload + struct.pack(">I", zlib.crc32(head + block + payload))


def any_header(number):
    kind = rng.randrange(10)
    name = ("é日😀"[number % 3] * rng.randrange(3) + "n" * rng.randrange(60) + str(number)).encode()
    if kind == 7:
        return name, kind, "".join(rng.choice("aé日😀\0\n:") for _ in range(rng.randrange(30))).encode()
    return name, kind, rng.randbytes(rng.randrange(60) if kind == 6 else SIZES[kind])


def any_stream():
    return b"".join(message([any_header(n) for n in range(rng.randrange(9))], rng.randbytes(rng.choice((0, 1, 7, 100))))
                    for _ in range(rng.randrange(1, 4)))


def types_of(encoded):
    """botocore tells values alone: here are the types, in the order of the headers."""
    end, at, types = 12 + struct.unpack(">I", encoded[4:8])[0], 12, []
    while at < end:
        kind = encoded[at + 1 + encoded[at]]
        at += 2 + encoded[at]
        at += 2 + struct.unpack(">H", encoded[at:at + 2])[0] if kind in (6, 7) else SIZES[kind]
        types.append(kind)
    return types


def value_of(value):
    if isinstance(value, (bytes, str)):
        return (value.encode() if isinstance(value, str) else value).hex()
    return str(int(value))


def read(stream):
    buffer, told, offset = botocore.eventstream.EventStreamBuffer(), "", 0
    buffer.add_data(stream)
    try:
        for number, found in enumerate(buffer, 1):
            size = found.prelude.total_length
            headers = zip(found.headers.items(), types_of(stream[offset:offset + size]), strict=True)
            told += f"#{number}@{offset}" + "".join(f" {name.encode().hex()}:{kind}={value_of(value)}"
                                                    for (name, value), kind in headers) + f"|{found.payload.hex()}\n"
            offset += size
    except botocore.eventstream.ParserError as error:
        return told, type(error).__name__
    return told, None


def cases():
    yield from ((name, bytes.fromhex(text)) for name, text in (PUBLISHED | AGENTCORE).items())
    yield "nothing", b""
    yield "three in one", b"".join(bytes.fromhex(AGENTCORE[name]) for name in ("result", "exception", "error"))
    yield "sound, then damaged", bytes.fromhex(AGENTCORE["result"] + PUBLISHED["CORRUPTED_PAYLOAD"])
    for kind, form in INTEGERS.items():
        bits = 8 * SIZES[kind]
        values = (0, 1, -1, -2 ** (bits - 1), 2 ** (bits - 1) - 1)
        yield f"ends of type {kind}", message([(str(i).encode(), kind, struct.pack(form, v)) for i, v in enumerate(values)], b"")
    yield "a name of 255 bytes", message([(b"n" * 255, 0, b""), (b"", 1, b"")], b"")
    yield "empty values", message([(b"a", 6, b""), (b"b", 7, b"")], b"")
    for number in range(40):
        yield f"random {number}", any_stream()


lines = []
for name, stream in cases():
    told, refused = read(stream)
    lines.append(json.dumps({"name": name, "stream": stream.hex(), "told": told, "refused": refused}))
print(f'{{"made_with": "botocore {botocore.__version__}", "cases": [\n' + ",\n".join(lines) + "\n]}")
