/* Standard output and error: written at once, by the thread that prints, so that order holds whatever else writes to
 * the same pipes. What a cell closes or replaces is put back before the next one. */
'use strict';

const { closeSync, fstatSync, openSync, writeSync } = require('fs');
const { Console } = require('console');
const { Writable } = require('stream');

const sleeper = new Int32Array(new SharedArrayBuffer(4));
const define = Object.defineProperty;

/* A child that shares the pipe may have made it non-blocking. */
function writeAll(fd, data) {
    for (let at = 0; at < data.length; ) {
        try {
            at += writeSync(fd, data, at, data.length - at);
        } catch (error) {
            if (error.code !== 'EAGAIN')
                return error;
            Atomics.wait(sleeper, 0, 0, 1);
        }
    }
    return null;
}

function makeStream(fd) {
    const stream = new Writable({
        decodeStrings: true,
        emitClose: false,
        write(chunk, _encoding, callback) {
            callback(writeAll(fd, chunk));
        },
    });
    stream.destroy = stream.destroySoon = function () {
        return this;
    };
    stream.fd = fd;
    stream._type = 'pipe';
    stream._isStdio = true;
    stream.on('error', () => {});
    return stream;
}

class Streams {
    constructor() {
        this._spares = [1, 2].map((fd) => openSync(`/proc/self/fd/${fd}`, 'w'));
        this._inodes = this._spares.map((fd) => fstatSync(fd, { bigint: true }).ino);
        this._streams = [makeStream(1), makeStream(2)];
        this._methods = this._streams.map(({ write, end, _write, emit }) => ({ write, end, _write, emit }));
        this._publish();
        this._makeConsole();
    }

    /* Before each cell. */
    restore() {
        for (const at of [0, 1]) {
            this._restoreDescriptor(at);
            const stream = this._streams[at];
            // What has anything left to write was interrupted as it wrote: it would wait for the end of that for ever.
            if (stream.writableEnded || stream.destroyed || stream.errored || !stream.writable ||
                stream.writableLength > 0 || stream.writableCorked > 0) {
                this._streams[at] = makeStream(at + 1);
                this._makeConsole();
                continue;
            }
            for (const name of ['write', 'end', '_write', 'emit'])
                if (stream[name] !== this._methods[at][name])
                    stream[name] = this._methods[at][name];
        }
        for (const [name, method] of this._consoleMethods)
            if (Reflect.getOwnPropertyDescriptor(this._console, name)?.value !== method.value)
                Reflect.defineProperty(this._console, name, method);
        this._publish();
    }

    /* What the kernel itself has to say between cells. */
    complain(text) {
        writeAll(2, Buffer.from(text));
    }

    print(text) {
        writeAll(1, Buffer.from(text));
    }

    _restoreDescriptor(at) {
        const fd = at + 1;
        try {
            if (fstatSync(fd, { bigint: true }).ino === this._inodes[at])
                return;
            closeSync(fd);
        } catch {
            // closed by a cell
        }
        try {
            const extra = [];
            let got = openSync(`/proc/self/fd/${this._spares[at]}`, 'w');
            while (got < fd) {
                extra.push(got);
                got = openSync(`/proc/self/fd/${this._spares[at]}`, 'w');
            }
            if (got !== fd)
                extra.push(got);
            extra.filter((number) => number > 2).forEach((number) => closeSync(number));
        } catch {
            // the spare is gone as well
        }
    }

    _publish() {
        const streams = this._streams;
        for (const [at, name] of [[0, 'stdout'], [1, 'stderr']]) {
            const now = Object.getOwnPropertyDescriptor(process, name);
            if (now !== undefined && now.value === streams[at])
                continue;
            try {
                define(process, name, { value: streams[at], writable: true, configurable: true, enumerable: true });
            } catch {
                // a cell has made it final
            }
        }
        if (this._console !== undefined && Object.getOwnPropertyDescriptor(users, 'console')?.value !== this._console)
            this._publishConsole();
    }

    _makeConsole() {
        this._publish();
        this._console = new Console({ stdout: this._streams[0], stderr: this._streams[1] });
        this._console.Console = Console;
        this._consoleMethods = Object.entries(Object.getOwnPropertyDescriptors(this._console))
            .filter(([, { value }]) => typeof value === 'function');
        this._publishConsole();
    }

    _publishConsole() {
        try {
            define(users, 'console', { value: this._console, writable: true, configurable: true, enumerable: false });
        } catch {
            // a cell has made it final
        }
    }
}

module.exports = { Streams };
