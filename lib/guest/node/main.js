/* The Node kernel: `node --no-force-async-hooks-checks --experimental-import-meta-resolve main.js`, with its channel as
 * descriptor 3.
 *
 * (The flags: when code is terminated inside a timer, say, Node would find its stack of asynchronous ids unbalanced and
 * abort; see below.) The kernel's own modules are loaded into a context beside the one in which cells run: they have built-in
 * objects of their own, which no cell can replace. */
'use strict';

if (parseInt(process.versions.node, 10) < 18) { // in words that an old one understands
    process.stderr.write('JavaScript and TypeScript need Node 18 or later; this is ' + process.version + '\n');
    process.exit(1);
}

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

/* What is compiled below has no loader. The promise is of the context in which cells run. Node tells where a module is, as
 * seen from another file, only by the `import.meta` of a module, and with a flag. */
const RESOLVER = 'data:text/javascript,export const resolve = (name, from) => import.meta.resolve(name, from)';
const importFrom = async (from, specifier) => import(await (await import(RESOLVER)).resolve(specifier, from));

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
            ['require', 'module', 'folder', 'users', 'importFrom', ...shared],
            { filename, parsingContext: context }
        )(load, module, __dirname, globalThis, importFrom, ...values);
    }
    return module.exports;
}

load('./kernel.js');
