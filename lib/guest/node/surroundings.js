/* Environment and working folder of a call: set before it, and as they were after it. */
'use strict';

const { statSync } = require('fs');
const path = require('path');

const chdir = process.chdir.bind(process);
const getcwd = process.cwd.bind(process);
const env = process.env;

function attemptChdir(folders) {
    for (const folder of folders) {
        try {
            chdir(folder);
            return;
        } catch {
            // the next
        }
    }
}

class Surroundings {
    constructor() {
        this._home = getcwd();
        this._before = [];
        this._cwd = undefined;
    }

    /* Throws when it cannot be. */
    enter(request) {
        if (statSync('.').nlink === 0) // it was deleted; process.cwd() may not know
            attemptChdir([this._home, '/']);
        const cwd = getcwd();
        if (request.cwd !== undefined) {
            chdir(path.resolve(this._home, request.cwd));
            this._cwd = cwd;
        }
        for (const entry of request.env) {
            const equals = entry.indexOf('=');
            if (equals <= 0)
                continue;
            const name = entry.slice(0, equals);
            this._before.push([name, env[name]]);
            env[name] = entry.slice(equals + 1);
        }
    }

    leave() {
        for (const [name, value] of this._before.reverse()) {
            if (value === undefined)
                delete env[name];
            else
                env[name] = value;
        }
        this._before = [];
        if (this._cwd !== undefined)
            attemptChdir([this._cwd, this._home, '/']);
        this._cwd = undefined;
    }
}

module.exports = { Surroundings, getcwd };
