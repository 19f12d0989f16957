/* The reader: a thread that does nothing but read the channel, so that an interrupt is heard whatever the main thread
 * does. It hands requests to the main thread by a port, counts acknowledgements in shared memory, and ends code that is
 * to be interrupted. It never waits for the main thread without a bound. */
'use strict';

const { readSync } = require('fs');
const { Session } = require('inspector');
const { workerData } = require('worker_threads');
const wire = require('./wire.js');

const { port } = workerData;
const shared = new Int32Array(workerData.shared);
let sent = 0; // requests given to the main thread

/* As text: objects would be made of the main thread's own prototypes, which users may have broken. */
const tell = (message) => port.postMessage(JSON.stringify(message));

const HEARD_MS = 10; // a main thread that only waits answers within this
const PATIENT_MS = 50; // or within this, when the machine is busy
const TRIES = 100; // seconds: a main thread that others keep from running hears at last
const IMPATIENT_TRIES = 6;
let asks = 0; // words about interrupts given to the main thread
let postponed = false; // there is an interrupt, which waits for the next acknowledgement

/* The main thread may be in the middle of a user's endless loop: then only a signal ends the process. */
function end(status) {
    tell({ kind: 'end', status });
    if (Atomics.wait(shared, wire.ENDING, 0, 200) === 'timed-out')
        process.kill(process.pid, 'SIGKILL');
    Atomics.wait(shared, wire.ENDING, 1, 2000);
    process.kill(process.pid, 'SIGKILL');
}

function read(size) {
    const data = Buffer.allocUnsafe(size);
    for (let at = 0; at < size; ) {
        let count;
        try {
            count = readSync(wire.FD, data, at, size - at, null);
        } catch (error) {
            if (error.code === 'EINTR' || error.code === 'EAGAIN') {
                Atomics.wait(shared, wire.ENDING, 0, 1);
                continue;
            }
            end(error.code === 'ECONNRESET' ? 0 : wire.PROTOCOL_LOST);
        }
        if (count === 0)
            end(at === 0 ? 0 : wire.PROTOCOL_LOST);
        at += count;
    }
    return data;
}

function receive() {
    const pieces = [];
    let total = 0;
    let type;
    for (;;) {
        const head = read(wire.HEAD_SIZE);
        const size = head.readUInt32LE(0);
        const flags = head[5];
        total += size;
        if (size > wire.FRAME_MAX || total > wire.MESSAGE_MAX || flags & ~wire.MORE || head.readUInt16LE(6) !== 0 ||
            (pieces.length > 0 && head[4] !== type))
            end(wire.PROTOCOL_LOST);
        type = head[4];
        pieces.push(read(size));
        if (!(flags & wire.MORE))
            return { type, payload: pieces.length === 1 ? pieces[0] : Buffer.concat(pieces) };
    }
}

/* Numbers of 8 bytes are small enough for a double, but for the call, which is only echoed. */
function request(payload) {
    const found = { kind: 'exec', number: ++sent, text: '', language: 'javascript', env: [], flags: 0 };
    for (let at = 0; at < payload.length; ) {
        if (at + 5 > payload.length)
            end(wire.PROTOCOL_LOST);
        const key = payload[at];
        const size = payload.readUInt32LE(at + 1);
        const data = payload.subarray(at + 5, at + 5 + size);
        if (data.length !== size)
            end(wire.PROTOCOL_LOST);
        at += 5 + size;
        if (key === wire.TEXT)
            found.text = data.toString();
        else if (key === wire.LANGUAGE)
            found.language = data.toString();
        else if (key === wire.CWD)
            found.cwd = data.toString();
        else if (key === wire.ENV)
            found.env.push(data.toString());
        else if (key === wire.FLAGS && size === 8)
            found.flags = Number(data.readBigUInt64LE());
        else if (key === wire.CALL)
            found.call = [...data];
    }
    return found;
}

const hasEnded = () => Atomics.load(shared, wire.ENDED) === sent;
const waitsForAck = () => Atomics.load(shared, wire.ITEMS) > Atomics.load(shared, wire.ACKS);

/* Whether the main thread takes a word about the interrupt in time. */
function isHeard(milliseconds) {
    tell({ kind: 'interrupt', number: sent, ask: ++asks });
    const end = Date.now() + milliseconds;
    for (;;) {
        const seen = Atomics.load(shared, wire.SEEN);
        const left = end - Date.now();
        if (seen === asks || left <= 0)
            return seen === asks;
        Atomics.wait(shared, wire.SEEN, seen, left);
    }
}

/* See guard.js. */
function terminate(session) {
    for (const state of [wire.ARMED, wire.HIT])
        if (Atomics.compareExchange(shared, wire.STATE, state, wire.ASKING) === state) {
            session.post('Runtime.terminateExecution');
            Atomics.store(shared, wire.STATE, wire.HIT);
            Atomics.notify(shared, wire.STATE);
            return;
        }
}

/* A main thread that waits takes the message and is done. One that does not is busy: if with a user's code, that is
 * terminated, after which it comes to the message; if with the kernel's, that ends soon. It has come to rest when it has
 * heard two in a row: a chain of process.nextTick() goes on after the first. Since the channel is read by this thread
 * alone, an interrupt is dealt with before the next request is heard of, and after an acknowledgement without which the
 * main thread does not go on. */
function interrupt() {
    let session = null;
    postponed = false;
    for (let i = 0, heard = 0; i < TRIES && heard < 2; i++) {
        if (session === null && hasEnded()) // by itself: what may run now is not to be hit
            return;
        if (waitsForAck()) {
            postponed = true;
            break;
        }
        if (isHeard(i < IMPATIENT_TRIES ? HEARD_MS : PATIENT_MS)) {
            heard++;
            continue;
        }
        heard = 0;
        if (session === null && hasEnded())
            return;
        if (session === null) {
            session = new Session();
            session.connectToMainThread();
        }
        terminate(session);
    }
    if (session !== null)
        session.disconnect();
}

tell({ kind: 'up' });
for (;;) {
    const { type, payload } = receive();
    if (type === wire.EXEC) {
        tell(request(payload));
    } else if (type === wire.ITEM_ACK) {
        Atomics.add(shared, wire.ACKS, 1);
        Atomics.notify(shared, wire.ACKS);
        if (postponed)
            interrupt();
    } else if (type === wire.INTERRUPT) {
        interrupt();
    } else {
        end(wire.PROTOCOL_LOST);
    }
}
