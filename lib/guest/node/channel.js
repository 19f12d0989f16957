/* The writing half of the channel: whole messages, written by the main thread while no interrupt can hit it. Reading is
 * the reader's. Without its channel a kernel is of no use, and ends. */
'use strict';

const { writeSync } = require('fs');
const wire = require('./wire.js');

const reallyExit = process.reallyExit.bind(process);
const encoder = new TextEncoder();

function writeAll(data, shared) {
    for (let at = 0; at < data.length; ) {
        try {
            at += writeSync(wire.FD, data, at, data.length - at);
        } catch (error) {
            if (error.code !== 'EAGAIN' && error.code !== 'EINTR')
                reallyExit(wire.PROTOCOL_LOST);
            Atomics.wait(shared, wire.ENDING, 0, 1);
        }
    }
}

function toBytes(value) {
    if (typeof value === 'string')
        return encoder.encode(value);
    if (typeof value !== 'number')
        return value;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, BigInt(Math.trunc(value)), true);
    return bytes;
}

/* Fields of [key, string, number or bytes] as one payload. */
function pack(fields) {
    const parts = fields.map(([key, value]) => [key, toBytes(value)]);
    const payload = new Uint8Array(parts.reduce((size, [, data]) => size + 5 + data.length, 0));
    const view = new DataView(payload.buffer);
    let at = 0;
    for (const [key, data] of parts) {
        payload[at] = key;
        view.setUint32(at + 1, data.length, true);
        payload.set(data, at + 5);
        at += 5 + data.length;
    }
    return payload;
}

class Channel {
    constructor(shared) {
        this._shared = shared;
    }

    send(type, fields) {
        const payload = pack(fields);
        let start = 0;
        do {
            const piece = payload.subarray(start, start + wire.FRAME_MAX);
            start += piece.length;
            const frame = new Uint8Array(wire.HEAD_SIZE + piece.length);
            new DataView(frame.buffer).setUint32(0, piece.length, true);
            frame[4] = type;
            frame[5] = start < payload.length ? wire.MORE : 0;
            frame.set(piece, wire.HEAD_SIZE);
            writeAll(frame, this._shared);
        } while (start < payload.length);
    }

    /* Sends an item and waits until it has its place in stdout. */
    sendItem(mime, data) {
        const number = Atomics.add(this._shared, wire.ITEMS, 1) + 1;
        this.send(wire.ITEM, [[wire.MIME, mime], [wire.DATA, data]]);
        for (let acks; (acks = Atomics.load(this._shared, wire.ACKS)) < number; )
            Atomics.wait(this._shared, wire.ACKS, acks);
    }
}

/* Text as UTF-8, at most so many bytes and never part of a character, and its size uncut. */
function cut(text, limit = wire.VALUE_MAX) {
    const data = encoder.encode(text.length > limit ? text.slice(0, limit) : text);
    const total = text.length > limit ? Buffer.byteLength(text) : data.length;
    let end = Math.min(data.length, limit);
    if (end < data.length)
        while ((data[end] & 0xc0) === 0x80)
            end--;
    return { data: data.subarray(0, end), total };
}

module.exports = { Channel, cut, reallyExit };
