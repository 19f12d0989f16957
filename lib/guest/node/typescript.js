/* The main thread's end of the checker (checker.js), a thread of its own that is started with the first TypeScript
 * cell, or beforehand where that is asked for. */
'use strict';

const { existsSync, readFileSync } = require('fs');
const path = require('path');
const { MessageChannel, Worker } = require('worker_threads');

class TypeScript {
    constructor(modules) {
        this.warming = false; // started beforehand, and not done with what is slow the first time
        this._modules = modules;
        this._port = null;
        this._waiting = null; // callback for the answer that is due
        this._past = []; // cells that ran before the checker was started
        const file = path.join(modules, 'typescript', 'package.json');
        this.version = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null;
    }

    /* `onWarm`: beforehand, and called when a first check takes no longer than others, or there is no checker. */
    start(onWarm) {
        if (this._port !== null || this.version === null)
            return;
        const warm = onWarm !== undefined;
        const { port1, port2 } = new MessageChannel();
        const worker = new Worker(path.join(folder, 'checker.js'), {
            workerData: { modules: this._modules, port: port2, warm },
            transferList: [port2],
            env: {},
        });
        const setWarm = () => {
            if (this.warming) {
                this.warming = false;
                onWarm();
            }
        };
        port1.on('message', (message) => {
            const answer = JSON.parse(message);
            if (answer.warm)
                setWarm();
            else
                this._onAnswer(answer);
        });
        worker.on('error', (error) => {
            if (this._port === port1)
                this._onEnd(error);
            setWarm();
        });
        worker.unref();
        port1.unref();
        this.warming = warm;
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

    /* Calls back with {diagnostics}, {source, map} or {failure}, a sentence. */
    translate(number, text, cwd, check, callback) {
        try {
            this.start();
        } catch (error) { // no process is left for its thread, say
            callback({ failure: `the type checker cannot be started: ${error.message}` });
            return;
        }
        this._waiting = { number, callback };
        this._port.postMessage({ kind: 'translate', number, text, cwd, check });
    }

    /* It has no memory left, say. What it knew of earlier cells is lost; the next cell gets another. */
    _onEnd(error) {
        this._port = null;
        const waiting = this._waiting;
        this._waiting = null;
        waiting?.callback({ failure: `the type checker has ended: ${error.message}` });
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
