/* What a value looks like: text for people, and rich forms by MIME type. Everything that touches a value may run a
 * user's code. */
'use strict';

const { inspect, types } = require('util');

const INSPECT = { depth: 4, maxArrayLength: 100, maxStringLength: 100000, breakLength: 100 };
const JSON_NODES_MAX = 100000;
const JSON_DEPTH_MAX = 100;
const MIME = /^[a-z]+\/[\w.+-]{1,100}$/;
const BINARY = /^(image\/(?!svg)|audio\/|video\/|application\/pdf$)/;
const IMAGES = [
    ['image/png', [0x89, 0x50, 0x4e, 0x47]],
    ['image/jpeg', [0xff, 0xd8, 0xff]],
    ['image/gif', [0x47, 0x49, 0x46, 0x38]],
];
const SCHEMAS = [
    [/vega\.github\.io\/schema\/vega-lite\/v(\d)/, (version) => `application/vnd.vegalite.v${version}+json`],
    [/vega\.github\.io\/schema\/vega\/v(\d)/, (version) => `application/vnd.vega.v${version}+json`],
];
const ASK = Symbol.for('Jupyter.display'); // a method that returns {mime: data}, as Deno has it

function show(value) {
    try {
        return inspect(value, INSPECT);
    } catch (error) {
        let why = 'an exception';
        try {
            why = String(error);
        } catch {
            // that one as well
        }
        try {
            return `${inspect(value, { ...INSPECT, customInspect: false })} [inspecting it: ${why}]`;
        } catch {
            return `[cannot be shown: ${why}]`;
        }
    }
}

/* Whether JSON says all there is of a value: arrays and objects without class, cycle, accessor or number beyond it. */
function isPlain(value, seen, budget, depth = 0) {
    if (value === null || typeof value === 'string' || typeof value === 'boolean')
        return true;
    if (typeof value === 'number')
        return Number.isFinite(value);
    if (typeof value !== 'object' || types.isProxy(value) || depth > JSON_DEPTH_MAX || seen.has(value))
        return false;
    const prototype = Object.getPrototypeOf(value);
    const isArray = Array.isArray(value);
    if (isArray ? prototype !== users.Array.prototype && prototype !== Array.prototype
        : prototype !== null && prototype !== users.Object.prototype && prototype !== Object.prototype)
        return false;
    if (isArray && (budget.nodes -= value.length) < 0)
        return false;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
        const property = Object.getOwnPropertyDescriptor(value, key);
        if (typeof key !== 'string' || !('value' in property) || --budget.nodes < 0)
            return false;
        if (property.enumerable && property.value !== undefined && !isPlain(property.value, seen, budget, depth + 1))
            return false;
    }
    seen.delete(value);
    return true;
}

function plainJson(value) {
    if (typeof value !== 'object' || value === null)
        return undefined;
    try {
        return isPlain(value, new Set(), { nodes: JSON_NODES_MAX }) ? JSON.stringify(value) : undefined;
    } catch {
        return undefined;
    }
}

function bytesOf(data) {
    if (types.isAnyArrayBuffer(data))
        return new Uint8Array(data.slice(0));
    return ArrayBuffer.isView(data) ? Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) :
        undefined;
}

function isJson(text) {
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}

/* An item's bytes or text; undefined when the data is of no use. Raw bytes come as base64 where they come as text, and
 * JSON may come as text. */
function encode(mime, data) {
    const bytes = bytesOf(data);
    if (bytes !== undefined)
        return bytes;
    if (/^application\/(.+\+)?json$/.test(mime))
        return typeof data === 'string' && isJson(data) ? data : JSON.stringify(data);
    if (typeof data !== 'string')
        return undefined;
    return BINARY.test(mime) ? Uint8Array.from(Buffer.from(data, 'base64')) : data;
}

function isBundle(value) {
    if (typeof value !== 'object' || value === null || types.isProxy(value))
        return false;
    const keys = Object.keys(value);
    return keys.length > 0 && keys.every((key) => MIME.test(key));
}

function imageType(value) {
    const bytes = types.isUint8Array(value) ? value : undefined;
    return bytes && IMAGES.find(([, start]) => start.every((byte, at) => bytes[at] === byte))?.[0];
}

function ask(value) {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null)
        return undefined;
    const method = value[ASK];
    const bundle = typeof method === 'function' ? method.call(value) : undefined;
    return isBundle(bundle) ? bundle : undefined;
}

function encodeAll(bundle) {
    return Object.entries(bundle).filter(([mime]) => mime !== 'text/plain')
        .map(([mime, data]) => [mime, encode(mime, data)])
        .filter(([, data]) => data !== undefined);
}

/* The forms of a cell's last value: [text, items]. */
function forms(value) {
    let bundle;
    let items = [];
    try {
        bundle = ask(value);
        items = encodeAll(bundle ?? {});
    } catch {
        // shown as text
    }
    const image = imageType(value);
    if (image !== undefined)
        items.push([image, bytesOf(value)]);
    const json = bundle === undefined ? plainJson(value) : undefined;
    if (json !== undefined)
        items.push(['application/json', json]);
    const text = bundle !== undefined && typeof bundle['text/plain'] === 'string' ? bundle['text/plain'] : show(value);
    return [text, items];
}

/* What display(value) sends and prints: [text or undefined, items]. */
function displayForms(value) {
    const bundle = ask(value) ?? (isBundle(value) ? value : undefined);
    if (bundle !== undefined) {
        const items = encodeAll(bundle);
        return [items.length > 0 ? undefined : bundle['text/plain'], items];
    }
    const image = imageType(value);
    if (image !== undefined)
        return [undefined, [[image, bytesOf(value)]]];
    const json = plainJson(value);
    const schema = json !== undefined && typeof value.$schema === 'string' ? value.$schema : '';
    for (const [pattern, name] of SCHEMAS) {
        const found = pattern.exec(schema);
        if (found !== null)
            return [undefined, [[name(found[1]), json]]];
    }
    return [typeof value === 'string' ? value : show(value), json !== undefined ? [['application/json', json]] : []];
}

module.exports = { MIME, displayForms, forms };
