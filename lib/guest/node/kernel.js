/* The kernel: takes cells from the reader, runs them, and says what became of them. Every entry of an event loop's turn
 * begins with hold() and ends with release(): an interrupt hits only what runs between. */
'use strict';

const path = require('path');
const { MessageChannel, Worker } = require('worker_threads');
const { Cells } = require('./cells.js');
const { Channel, cut, reallyExit } = require('./channel.js');
const { displayForms, forms } = require('./display.js');
const { Evaluator } = require('./evaluate.js');
const { Failures } = require('./failure.js');
const { Guard } = require('./guard.js');
const { Imports } = require('./imports.js');
const { Streams } = require('./streams.js');
const { redeclare, toScript } = require('./source.js');
const { Surroundings, getcwd } = require('./surroundings.js');
const { TypeScript } = require('./typescript.js');
const wire = require('./wire.js');

const hrtime = process.hrtime.bigint.bind(process.hrtime);
const setCapture = process.setUncaughtExceptionCaptureCallback.bind(process);
const define = Object.defineProperty;
const emit = process.emit.bind(process);
const on = process.on.bind(process);
const listenerCount = process.listenerCount.bind(process);

const promiseMethods = users.Promise.prototype;
const promiseThen = promiseMethods.then;
const NEEDS_THEN = parseInt(process.versions.node, 10) < 20; // its inspector calls what a cell may have put there

const ITEMS_MAX = 64;
const DIAGNOSTICS_MAX = 100;
const DECLARED = /Identifier '(.+)' has already been declared/;
const SHORTHANDS = [
    ['html', 'text/html'], ['markdown', 'text/markdown'], ['latex', 'text/latex'], ['svg', 'image/svg+xml'],
    ['png', 'image/png'], ['jpeg', 'image/jpeg'], ['json', 'application/json'],
];
const INTERRUPTED = { name: 'Interrupted', message: 'the cell was interrupted', traceback: 'Interrupted\n' };

class Kernel {
    constructor() {
        this._shared = new Int32Array(new SharedArrayBuffer(4 * wire.SHARED_SIZE));
        Atomics.store(this._shared, wire.STATE, wire.HELD);
        this._channel = new Channel(this._shared);
        this._evaluator = new Evaluator();
        this._guard = new Guard(this._shared, this._evaluator.session);
        this._cells = new Cells();
        this._failures = new Failures(this._cells);
        this._surroundings = new Surroundings();
        this._streams = new Streams();
        this._typescript = new TypeScript(path.join(folder, 'node_modules'));
        this._isReady = false; // and said so
        this._cell = null; // what runs: {request, result, items, …}
        this._skipped = 0; // number of a request that was interrupted before it began
        new Imports();
        this._wantsTypeScript = process.argv.includes('--typescript');
        this._own();
        this._publishDisplay();
    }

    start() {
        const { port1, port2 } = new MessageChannel();
        port1.on('message', (message) => this._onMessage(JSON.parse(message)));
        new Worker(path.join(folder, 'reader.js'), {
            workerData: { shared: this._shared.buffer, port: port2 },
            transferList: [port2],
            stdout: false,
            env: {},
        }).unref();
        if (this._wantsTypeScript)
            this._typescript.start(() => this._turn(() => this._onWarm()));
        this._warmUp();
    }

    /* The first time, all takes longer. */
    _warmUp() {
        this._evaluator.run('({ a: [1] })', ({ value }) => {
            this._evaluator.visit(value, forms);
            this._evaluator.forget();
        });
        toScript('const a = 1;');
    }

    _ready() {
        const info = {
            node: process.versions.node,
            typescript: this._typescript.version,
        };
        const warming = this._typescript.warming ? [[wire.WARMING, 1]] : [];
        this._channel.send(wire.READY, [[wire.INFO, JSON.stringify(info)], [wire.LISTENS, 1], ...warming]);
        this._isReady = true;
    }

    /* What was ready before anybody was told of it needs no word. */
    _onWarm() {
        if (this._isReady)
            this._channel.send(wire.WARM, []);
    }

    /* --- what a process of Node's does by itself, and a kernel must not ------------------------------------------- */

    _own() {
        process.execArgv = [];
        process.argv.splice(1, Infinity, path.join(getcwd(), 'cell.mjs')); // as import.meta.filename
        this._exitFunction = { exit: (code) => this._exit(code) }.exit;
        this._restoreProcess();
    }

    /* Before each cell. */
    _restoreProcess() {
        for (const name of ['exit', 'reallyExit'])
            if (process[name] !== this._exitFunction)
                process[name] = this._exitFunction;
        if (listenerCount('SIGINT') === 0)
            on('SIGINT', () => {});
        try {
            if (NEEDS_THEN)
                define(promiseMethods, 'then', { value: promiseThen, writable: true, configurable: true });
        } catch {
            // a cell has made it final
        }
        try {
            setCapture(null);
            setCapture((error) => this._onUncaught(error));
        } catch {
            // a cell uses domains, which have it
        }
    }

    /* Ends the cell, or what an earlier cell has left to be called back. Does not return. */
    _exit(code) {
        const cell = this._cell;
        if (cell !== null) {
            cell.exit = Number(code ?? process.exitCode ?? 0) & 0xff;
            setImmediate(() => {
                this._guard.hold();
                this._finish(cell);
                this._guard.release();
            });
        }
        process.exitCode = undefined;
        this._guard.terminate();
    }

    _onUncaught(error) {
        if (listenerCount('uncaughtException') > 0) {
            emit('uncaughtException', error, 'uncaughtException');
            return;
        }
        this._turn(() => {
            const cell = this._cell;
            const said = this._describe((failures) => failures.describe(error));
            if (cell !== null) {
                cell.result = { outcome: wire.EXCEPTION, ...said };
                this._finish(cell);
            } else {
                this._streams.complain(said.traceback);
            }
        });
    }

    /* --- the conversation ----------------------------------------------------------------------------------------- */

    _turn(action) {
        this._guard.hold();
        action();
        this._guard.release();
    }

    _onMessage(message) {
        if (message.kind === 'end') {
            Atomics.store(this._shared, wire.ENDING, 1);
            Atomics.notify(this._shared, wire.ENDING);
            reallyExit(message.status);
        }
        this._turn(() => {
            if (message.kind === 'exec')
                this._begin(message);
            else if (message.kind === 'interrupt')
                this._interrupt(message);
            else
                this._ready();
        });
    }

    _interrupt({ number, ask }) {
        const cell = this._cell;
        if (cell !== null && cell.request.number === number) {
            cell.result = { outcome: wire.EXCEPTION, ...INTERRUPTED };
            this._finish(cell);
        } else if (Atomics.load(this._shared, wire.ENDED) < number) {
            this._skipped = number;
        }
        Atomics.store(this._shared, wire.SEEN, ask);
        Atomics.notify(this._shared, wire.SEEN);
    }

    _begin(request) {
        const cell = {
            request,
            number: this._cells.add(request.text),
            started: hrtime(),
            result: { outcome: wire.OK },
            exit: undefined,
            items: 0,
            dropped: 0,
            over: false,
        };
        this._cell = cell;
        this._streams.restore();
        this._restoreProcess();
        try {
            this._surroundings.enter(request);
        } catch (error) {
            cell.result = { outcome: wire.EXCEPTION, ...this._failures.describe(error) };
            this._finish(cell);
            return;
        }
        if (request.number === this._skipped) {
            cell.result = { outcome: wire.EXCEPTION, ...INTERRUPTED };
            this._finish(cell);
        } else if (request.language === 'typescript') {
            this._translate(cell);
        } else {
            this._evaluate(cell);
        }
    }

    _finish(cell) {
        if (cell.over)
            return;
        cell.over = true;
        this._cell = null;
        this._evaluator.forget();
        this._surroundings.leave();
        const { request, result } = cell;
        const fields = [];
        if (cell.exit !== undefined && result.outcome === wire.OK) {
            result.outcome = cell.exit === 0 ? wire.OK : wire.EXIT;
            fields.push([wire.EXIT_CODE, cell.exit]);
        }
        fields.unshift([wire.OUTCOME, result.outcome]);
        if (result.value !== undefined) {
            const { data, total } = cut(result.value);
            fields.push([wire.VALUE, data], [wire.VALUE_TOTAL, total]);
        }
        for (const [key, text] of [[wire.ERROR_NAME, result.name], [wire.ERROR_MESSAGE, result.message],
            [wire.TRACEBACK, result.traceback], [wire.DIAGNOSTICS, result.diagnostics]])
            if (text !== undefined)
                fields.push([key, cut(text).data]);
        fields.push([wire.EXECUTION_US, Number((hrtime() - cell.started) / 1000n)]);
        if (cell.dropped > 0)
            fields.push([wire.ITEM_DROPPED, cell.dropped]);
        if (request.call !== undefined)
            fields.push([wire.CALL, Uint8Array.from(request.call)]);
        this._channel.send(wire.DONE, fields);
        Atomics.store(this._shared, wire.ENDED, request.number);
    }

    /* --- a cell --------------------------------------------------------------------------------------------------- */

    _translate(cell) {
        if (this._typescript.version === null) {
            this._failTranslation(cell, 'the package typescript is not installed beside the kernel');
            return;
        }
        const check = (cell.request.flags & wire.NO_TYPECHECK) === 0;
        this._typescript.translate(cell.number, cell.request.text, getcwd(), check, (answer) => this._turn(() => {
            if (cell.over)
                return;
            if (answer.failure !== undefined) {
                this._failTranslation(cell, answer.failure);
                return;
            }
            if (answer.diagnostics !== undefined) {
                cell.result = typeErrors(answer.diagnostics);
                this._finish(cell);
                return;
            }
            this._cells.translated(cell.number, answer.source, answer.map);
            this._evaluate(cell);
        }));
    }

    _failTranslation(cell, message) {
        cell.result = { outcome: wire.EXCEPTION, name: 'NoTypeScript', message, traceback: `${message}\n` };
        this._finish(cell);
    }

    _evaluate(cell) {
        if (cell.request.language !== 'typescript')
            this._typescript.learn(cell.number, cell.request.text, getcwd());
        this._cells.changed(cell.number, toScript(this._cells.source(cell.number)));
        this._run(cell, null);
    }

    /* `conflict`: a name that had to be declared in another way. */
    _run(cell, conflict) {
        const source = `${this._cells.source(cell.number)}\n//# sourceURL=<cell_${cell.number}>`;
        this._guard.release();
        this._evaluator.run(source, (answer) => {
            this._guard.hold();
            // Not at once: what was rejected and not handled is known after this turn of the event loop.
            setImmediate(() => this._turn(() => cell.over || this._conclude(cell, answer, conflict)));
            this._guard.release();
        });
        this._guard.hold();
    }

    _conclude(cell, answer, conflict) {
        if (answer.terminated) {
            if (cell.exit === undefined)
                cell.result = { outcome: wire.EXCEPTION, ...INTERRUPTED };
        } else if (answer.thrown === undefined) {
            this._present(cell, answer.value);
        } else if (isCompileError(answer.details)) {
            const name = DECLARED.exec(answer.thrown.description)?.[1];
            if (name !== undefined && name !== conflict) {
                const isGlobal = Object.getOwnPropertyDescriptor(users, name) !== undefined;
                this._cells.changed(cell.number, redeclare(this._cells.source(cell.number), name, isGlobal));
                this._run(cell, name);
                return;
            }
            cell.result = { outcome: wire.EXCEPTION, ...this._failures.describeSyntax(answer.details, cell.number) };
        } else {
            this._evaluator.healNames();
            const said = this._describe((failures, value) => failures.describe(value), answer.thrown);
            cell.result = { outcome: wire.EXCEPTION, ...said };
        }
        this._finish(cell);
    }

    /* Calls a function that may run a user's code, with a value of the inspector's. False: it was terminated. */
    _guarded(remote, action) {
        this._guard.release();
        const done = this._evaluator.visit(remote, action);
        this._guard.hold();
        return done;
    }

    _describe(how, remote = { value: null }) {
        let said;
        const done = this._guarded(remote, (value) => {
            said = how(this._failures, value);
        });
        return done ? said : INTERRUPTED;
    }

    _present(cell, remote) {
        if (remote.type === 'undefined')
            return;
        let found;
        const done = this._guarded(remote, (value) => {
            found = forms(value);
        });
        if (!done) {
            if (cell.exit === undefined)
                cell.result = { outcome: wire.EXCEPTION, ...INTERRUPTED };
            return;
        }
        [cell.result.value] = found;
        this._sendItems(cell, found[1]);
    }

    /* --- rich items ----------------------------------------------------------------------------------------------- */

    _sendItems(cell, items) {
        for (const [mime, data] of items) {
            if (cell.items >= ITEMS_MAX || data.length > wire.ITEM_MAX) {
                cell.dropped++;
                continue;
            }
            cell.items++;
            this._channel.sendItem(mime, data);
        }
    }

    /* What users call. Between cells there is nobody to send items to. */
    _display(values) {
        for (const value of values) {
            const [text, items] = displayForms(value);
            this._guard.hold();
            if (text !== undefined)
                this._streams.print(`${text}\n`);
            if (this._cell !== null)
                this._sendItems(this._cell, items);
            this._guard.release();
        }
    }

    _publishDisplay() {
        const { display } = { display: (...values) => this._display(values) };
        for (const [name, mime] of SHORTHANDS)
            display[name] = (data) => this._display([{ [mime]: data }]);
        Object.defineProperty(users, 'display', { value: display, writable: true, configurable: true });
    }
}

/* It has not run: no place but that of the text, and no stack. */
const isCompileError = (details) => details.scriptId !== undefined && details.stackTrace === undefined &&
    details.exception.className === 'SyntaxError';

function typeErrors(all) {
    const diagnostics = all.slice(0, DIAGNOSTICS_MAX);
    const rest = all.length - diagnostics.length;
    const text = diagnostics.map(({ code, line, column, message }) =>
        `cell.ts(${line},${column}): error TS${code}: ${message}\n`).join('') +
        (rest > 0 ? `and ${rest} more\n` : '');
    return {
        outcome: wire.TYPE_ERROR,
        name: 'TypeCheck',
        message: text.trimEnd(),
        traceback: text,
        diagnostics: JSON.stringify(diagnostics),
    };
}

new Kernel().start();
