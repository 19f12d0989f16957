/* `require` and `import` of cells: both look from the working folder. */
'use strict';

const { existsSync, readFileSync } = require('fs');
const { createRequire, isBuiltin } = require('module');
const path = require('path');
const { URL, pathToFileURL } = require('url');
const vm = require('vm');
const { getcwd } = require('./surroundings.js');

const LOADER = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER; // from Node 20.12 on

/* Node warns, once, that how its loader is named may change. */
function quietly(action) {
    const { emitWarning } = process;
    process.emitWarning = () => {};
    try {
        return action();
    } finally {
        process.emitWarning = emitWarning;
    }
}

/* The name of the package that a folder belongs to. */
function packageOf(folder) {
    try {
        return JSON.parse(readFileSync(path.join(folder, 'package.json'))).name;
    } catch {
        const above = path.dirname(folder);
        return above === folder ? undefined : packageOf(above);
    }
}

/* Whether there is nothing by the name of a package. Node remembers of a package that is missing that it has no
 * package.json, and would not find it right when it has been installed: so it is not asked. */
function isMissing(specifier, { resolve }, folder) {
    const [, name] = /^(@[^/]+\/[^/]+|[^@./#][^/]*)/.exec(specifier) ?? [];
    if (name === undefined || isBuiltin(specifier) || packageOf(folder) === name)
        return false;
    const places = resolve.paths(specifier) ?? [];
    return !places.some((place) => ['', '.js', '.json', '.node'].some((end) => existsSync(path.join(place, name + end))));
}

/* `require` of a program in a folder. */
function makeRequire(filename) {
    const found = createRequire(filename), folder = path.dirname(filename);
    const guarded = (action) => (specifier, ...rest) => {
        if (rest.length === 0 && typeof specifier === 'string' && isMissing(specifier, found, folder))
            throw Object.assign(new users.Error(`Cannot find module '${specifier}'\nRequire stack:\n- ${filename}`),
                { code: 'MODULE_NOT_FOUND', requireStack: [filename] });
        return action(specifier, ...rest);
    };
    const resolve = Object.assign(guarded(found.resolve), { paths: found.resolve.paths });
    return Object.assign(guarded(found), { resolve, cache: found.cache, extensions: found.extensions });
}

class Imports {
    constructor() {
        this._folder = undefined;
        this._import = undefined;
        const imports = this;
        /* What `import(x)` in a cell has become (source.js); with names, what an import statement has. */
        const entry = { __import: (specifier, options, names) => imports.load(specifier, options, names) }.__import;
        Object.defineProperty(users, '__import', { value: entry });
        Object.defineProperty(users, '__importMeta', { get: () => imports._meta(), set: undefined });
        const module = { exports: {} };
        const require = (name) => imports._here().require(name);
        for (const name of ['resolve', 'cache', 'extensions'])
            Object.defineProperty(require, name, { get: () => imports._here().require[name], enumerable: true });
        require.main = module; // a cell is a program: `if (require.main === module)`
        for (const [name, value] of Object.entries({ require, module, exports: module.exports }))
            Object.defineProperty(users, name, { value, writable: true, configurable: true });
        this._define('__filename', () => this._here().filename);
        this._define('__dirname', () => path.dirname(this._here().filename));
    }

    /* A name of all cells, which they may give another value. */
    _define(name, get) {
        const set = (value) => Object.defineProperty(users, name, { value, writable: true, configurable: true });
        Object.defineProperty(users, name, { get, set, configurable: true });
    }

    /* A promise of the users' own kind. */
    load(specifier, options, names) {
        const { require, load, filename } = this._here(), name = `${specifier}`;
        if (isMissing(name, require, path.dirname(filename)))
            return users.Promise.reject(Object.assign(
                new users.Error(`Cannot find package '${name}' imported from ${filename}`), { code: 'ERR_MODULE_NOT_FOUND' }));
        const loading = quietly(() => load(name, options));
        return names === undefined ? loading : loading.then((found) => {
            const missing = names.filter((name) => !(name in found));
            const fallback = Object(found.default); // of a CommonJS module not all names are found
            for (const name of missing)
                if (!(name in fallback))
                    throw new users.SyntaxError(
                        `The requested module '${specifier}' does not provide an export named '${name}'`);
            return missing.length > 0 ? { ...fallback, ...found } : found;
        });
    }

    _here() {
        const folder = getcwd();
        if (folder === this._folder)
            return this._found;
        const filename = path.join(folder, 'cell.mjs');
        const require = makeRequire(filename);
        const options = { filename, importModuleDynamically: LOADER };
        const load = LOADER === undefined
            ? (specifier) => importFrom(pathToFileURL(filename).href, specifier)
            : new vm.Script('(name, options) => import(name, options)', options).runInThisContext();
        this._folder = folder;
        this._found = { require, load, filename };
        return this._found;
    }

    _resolve(specifier, require, filename) {
        if (/^[a-z][a-z+.-]+:/i.test(specifier) || isBuiltin(specifier))
            return specifier;
        if (/^\.{0,2}\//.test(specifier))
            return new URL(specifier, pathToFileURL(filename)).href;
        return pathToFileURL(require.resolve(specifier)).href;
    }

    _meta() {
        const { filename } = this._here();
        return {
            url: pathToFileURL(filename).href,
            filename,
            dirname: path.dirname(filename),
            resolve: (name) => this._resolve(`${name}`, this._here().require, filename),
        };
    }
}

module.exports = { Imports };
