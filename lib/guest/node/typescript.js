/* The main thread's end of the checker (checker.js), a thread of its own that is started with the first TypeScript
 * cell, or beforehand where that is asked for. */
'use strict';

const { existsSync, readFileSync } = require('fs');
const path = require('path');
const { MessageChannel, Worker } = require('worker_threads');

class TypeScript {
    constructor(modules) {
        this._modules = modules;
        this._port = null;
        this._waiting = null; // callback for the answer that is due
        this._past = []; // cells that ran before the checker was started
        const file = path.join(modules, 'typescript', 'package.json');
        this.version = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null;
    }

    start(warm = false) {
        if (this._port !== null || this.version === null)
            return;
        const { port1, port2 } = new MessageChannel();
        port1.on('message', (answer) => this._onAnswer(JSON.parse(answer)));
        new Worker(path.join(folder, 'checker.js'), {
            workerData: { modules: this._modules, port: port2, warm },
            transferList: [port2],
            env: {},
        }).unref();
        port1.unref();
        this._port = port1;
        this._past.splice(0).forEach((cell) => port1.postMessage(cell));
    }

    /* Names that a JavaScript cell has made are known to later TypeScript. */
    learn(number, text, cwd) {
        const cell = { kind: 'learn', number, text, cwd };
        if (this._port !== null)
            this._port.postMessage(cell);
        else if (this.version !== null)
            this._past.push(cell);
    }

    /* Calls back with {diagnostics} or {source, map}. */
    translate(number, text, cwd, check, callback) {
        this.start();
        this._waiting = { number, callback };
        this._port.postMessage({ kind: 'translate', number, text, cwd, check });
    }

    _onAnswer(answer) {
        const waiting = this._waiting;
        if (waiting !== null && waiting.number === answer.number) {
            this._waiting = null;
            waiting.callback(answer);
        }
    }
}

module.exports = { TypeScript };
