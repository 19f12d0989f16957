/* Runs code through this process's own inspector, as the console of a debugger does: names may be declared again,
 * `await` stands at the top level, and code that is terminated comes back here, with the state kept. */
'use strict';

const { Session } = require('inspector');
const { promiseHooks } = require('v8');

const GROUP = 'cell';

class Evaluator {
    constructor() {
        this.session = new Session();
        this.session.connect();
        this._hook = undefined; // what the inspector calls with a value that it only knows by number
        const name = '__ci_hook';
        users[name] = (value) => this._hook(value);
        this.session.post('Runtime.evaluate', { expression: name }, (_error, answer) => {
            this._hookId = answer.result.objectId;
        });
        delete users[name];
    }

    /* Calls back with {terminated}, {value} (a remote object) or {thrown, details}; never when the code is interrupted
     * after its first await.
     *
     * The promise of the code itself, which is the first that it makes, is held by what waits for it: one that is collected
     * as garbage makes the inspector call back in the middle of that, which is fatal to Node 22. */
    run(text, callback) {
        let own;
        const stop = promiseHooks.onInit((promise) => {
            own = promise;
            stop();
        });
        const parameters = {
            expression: text,
            replMode: true,
            awaitPromise: true,
            silent: true,
            objectGroup: GROUP,
        };
        this.session.post('Runtime.evaluate', parameters, (error, answer) => {
            own = undefined;
            if (error)
                callback({ terminated: true });
            else if (answer.exceptionDetails !== undefined)
                callback({ thrown: answer.exceptionDetails.exception, details: answer.exceptionDetails });
            else
                callback({ value: answer.result });
        });
        stop();
    }

    /* Calls the function with what a remote object stands for; it may run a user's code. Whether it came to its end. */
    visit(remote, visitor) {
        const argument = remote.objectId !== undefined ? { objectId: remote.objectId } :
            remote.unserializableValue !== undefined ? { unserializableValue: remote.unserializableValue } :
            { value: remote.value };
        let done = false;
        this._hook = (value) => {
            visitor(value);
            done = true;
        };
        const parameters = {
            objectId: this._hookId,
            functionDeclaration: 'function (value) { this(value); }',
            arguments: [argument],
            silent: true,
        };
        this.session.post('Runtime.callFunctionOn', parameters, () => {});
        return done;
    }

    /* Names that a cell which failed has declared by `let` or `class`, without a value, can be neither read nor set:
     * they get one. */
    healNames() {
        const names = new Set(); // each is listed as often as it was declared
        this.session.post('Runtime.globalLexicalScopeNames', {}, (_error, answer) => {
            for (let i = 0; i < answer?.names.length; i++)
                names.add(answer.names[i]);
        });
        if (this._isReadable([...names].join(', typeof ')))
            return;
        for (const name of names)
            if (!this._isReadable(name))
                this.run(`let ${name};`, () => {});
    }

    _isReadable(name) {
        let readable = true;
        const parameters = { expression: `typeof ${name}`, silent: true, objectGroup: GROUP };
        this.session.post('Runtime.evaluate', parameters, (_error, answer) => {
            readable = answer?.exceptionDetails === undefined;
        });
        return readable;
    }

    forget() {
        this.session.post('Runtime.releaseObjectGroup', { objectGroup: GROUP }, () => {});
    }
}

module.exports = { Evaluator };
