/* The declarations that every cell is checked against: TypeScript's own library, Node's types, and what cells find
 * besides. They are some two hundred files, of which all but a few are put together in memory as one: a program of
 * few files is built anew for every cell in a fraction of the time. */
'use strict';

const { readFileSync } = require('fs');
const path = require('path');

const REFERENCE = /^\/\/\/\s*<reference\s+(lib|path)\s*=\s*"([^"]+)".*$/gm;
const COMMENT = /^[ \t]*\/\*\*[^]*?\*\//gm;
const IS_MODULE = /^(import|export)\b/m;
const LIBRARIES = ['es2023', 'decorators', 'decorators.legacy'];

/* {texts: [[name, text]], roots: names}, of TypeScript's folder and that of Node's types. */
function collect(typescript, node) {
    const seen = new Set();
    const parts = [];
    const roots = [];
    const visit = (file) => {
        if (seen.has(file))
            return;
        seen.add(file);
        const text = readFileSync(file, 'utf8');
        const references = text.matchAll(REFERENCE);
        for (const [, kind, name] of references)
            visit(kind === 'lib' ? path.join(typescript, `lib.${name}.d.ts`) : path.join(path.dirname(file), name));
        if (IS_MODULE.test(text))
            roots.push(file);
        else
            parts.push(text.replace(/^\/\/\/\s*<reference.*$/gm, '').replace(COMMENT, ''));
    };
    LIBRARIES.forEach((name) => visit(path.join(typescript, `lib.${name}.d.ts`)));
    visit(path.join(node, 'index.d.ts'));
    visit(path.join(__dirname, 'globals.d.ts'));
    const whole = path.join(node, '__all.d.ts'); // there, so that it finds what Node's types depend on
    return { texts: [[whole, parts.join('\n')]], roots: [whole, ...roots] };
}

module.exports = { collect };
