/* The Node kernel: `node --no-force-async-hooks-checks main.js`, with its channel as descriptor 3.
 *
 * (The flag: when code is terminated inside a timer, say, Node would find its stack of asynchronous ids unbalanced and
 * abort.) The kernel's own modules are loaded into a context beside the one in which cells run: they have built-in
 * objects of their own, which no cell can replace. */
'use strict';

const fs = require('fs');
const path = require('path');
const vm = require('vm');

const context = vm.createContext();
const modules = new Map();
const shared = [
    'Atomics', 'Buffer', 'SharedArrayBuffer', 'TextDecoder', 'TextEncoder', 'clearTimeout', 'process', 'setImmediate',
    'setTimeout',
];
const values = shared.map((name) => globalThis[name]);

const importHere = (specifier) => import(specifier); // what is compiled below has no loader

function load(name) {
    if (!name.startsWith('./'))
        return require(name);
    let module = modules.get(name);
    if (module === undefined) {
        const filename = path.join(__dirname, name);
        module = { exports: {} };
        modules.set(name, module);
        vm.compileFunction(
            fs.readFileSync(filename, 'utf8'),
            ['require', 'module', 'folder', 'users', 'importHere', ...shared],
            { filename, parsingContext: context }
        )(load, module, __dirname, globalThis, importHere, ...values);
    }
    return module.exports;
}

load('./kernel.js');
