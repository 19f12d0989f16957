/* From a cell's text to what the inspector can run: import and export are not for scripts, and a name that was a
 * variable cannot become a class. All that is changed is remembered, so that places in errors are those of the text. */
'use strict';

const KEYWORDS_BEFORE_REGEX = new Set([
    'return', 'typeof', 'instanceof', 'in', 'of', 'new', 'delete', 'void', 'throw', 'case', 'do', 'else', 'yield',
    'await',
]);
const PAREN_KEYWORDS = new Set(['if', 'while', 'for', 'with']);
const NAME_START = /[\p{ID_Start}$_#\\]/u;
const NAME = /[\p{ID_Continue}$\u200c\u200d\\]*/uy;
const NUMBER = /\.?\d(?:[eE][+-]?\d|[\w.])*/y;

function skipQuoted(text, at) {
    const quote = text[at++];
    while (at < text.length && text[at] !== quote && text[at] !== '\n')
        at += text[at] === '\\' ? 2 : 1;
    return at + 1;
}

function skipRegex(text, at) {
    let inClass = false;
    for (at++; at < text.length && text[at] !== '\n'; at++) {
        if (text[at] === '\\')
            at++;
        else if (text[at] === '[')
            inClass = true;
        else if (text[at] === ']')
            inClass = false;
        else if (text[at] === '/' && !inClass)
            return at + 1;
    }
    return at;
}

/* From after ` or } to after the next ` or ${. */
function skipTemplate(text, at) {
    for (; at < text.length; at++) {
        if (text[at] === '\\')
            at++;
        else if (text[at] === '`')
            return at + 1;
        else if (text[at] === '$' && text[at + 1] === '{')
            return at + 2;
    }
    return at;
}

function match(pattern, text, at) {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0].length ?? 0;
}

/* The tokens of a text: {kind, text, start, end, depth}, of kinds name, string, other (templates come in pieces). Not a
 * parser: where a slash could be either, what is likelier. */
function tokenize(text) {
    const tokens = [];
    const stack = []; // of open brackets: {open, keyword}
    let last; // significant token
    let at = 0;
    const push = (kind, start, end, depth = stack.length) => {
        last = { kind, text: text.slice(start, end), start, end, depth };
        tokens.push(last);
        at = end;
    };
    const regexMayCome = () => last === undefined || (last.kind === 'name' ? KEYWORDS_BEFORE_REGEX.has(last.text) :
        last.kind === 'other' && last.text !== ']' && last.text !== '++' && last.text !== '--' &&
        (last.text !== ')' || last.afterKeyword === true));
    while (at < text.length) {
        const c = text[at];
        if (c <= ' ' || c === '\u00a0' || c === '\ufeff' || c === '\u2028' || c === '\u2029') {
            at++;
        } else if (c === '/' && text[at + 1] === '/') {
            at = (text.indexOf('\n', at) + 1 || text.length + 1) - 1;
        } else if (c === '/' && text[at + 1] === '*') {
            at = (text.indexOf('*/', at + 2) + 1 || text.length) + 1;
        } else if (c === '#' && text[at + 1] === '!' && at === 0) {
            at = (text.indexOf('\n') + 1 || text.length + 1) - 1;
        } else if (c === '"' || c === "'") {
            push('string', at, skipQuoted(text, at));
        } else if (c === '`') {
            const end = skipTemplate(text, at + 1);
            push('string', at, end);
            if (text[end - 1] === '{') {
                last.kind = 'other';
                stack.push({ open: '`' });
            }
        } else if (c === '}' && stack.at(-1)?.open === '`') {
            const end = skipTemplate(text, at + 1);
            stack.pop();
            push('string', at, end);
            if (text[end - 1] === '{') {
                last.kind = 'other';
                stack.push({ open: '`' });
            }
        } else if (c === '(' || c === '[' || c === '{') {
            const keyword = last?.kind === 'name' && PAREN_KEYWORDS.has(last.text);
            push('other', at, at + 1);
            stack.push({ open: c, keyword });
        } else if (c === ')' || c === ']' || c === '}') {
            const opened = stack.pop();
            push('other', at, at + 1);
            last.afterKeyword = c === ')' && opened?.keyword;
        } else if (c === '/' && regexMayCome()) {
            push('string', at, skipRegex(text, at));
        } else if (NAME_START.test(String.fromCodePoint(text.codePointAt(at)))) {
            const first = text.codePointAt(at) > 0xffff ? 2 : 1;
            push('name', at, at + first + match(NAME, text, at + first));
        } else if (match(NUMBER, text, at) > 0) {
            push('string', at, at + match(NUMBER, text, at));
        } else {
            const two = text.slice(at, at + 2);
            push('other', at, at + (two === '++' || two === '--' || two === '=>' || two === '?.' ? 2 : 1));
        }
    }
    return tokens;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

/* Applies [start, end, replacement], in order, apart from each other. `segments` is [place in the new text, in the old,
 * whether all of it stands for that one place]. */
function apply(text, edits) {
    const segments = [[0, 0, false]];
    let out = '';
    let from = 0;
    for (const [start, end, replacement] of edits) {
        out += text.slice(from, start);
        segments.push([out.length, start, true]);
        const missing = text.slice(start, end).split('\n').length - replacement.split('\n').length;
        out += replacement + '\n'.repeat(Math.max(0, missing));
        segments.push([out.length, end, false]);
        from = end;
    }
    return { text: out + text.slice(from), segments };
}


/* `import …` from tokens[at] on: the replacement and the token after it, or null when it is none. */
function importStatement(tokens, at) {
    let i = at + 1;
    const is = (text) => tokens[i]?.text === text;
    const take = () => tokens[i++];
    let whole; // name of the namespace
    const names = []; // [exported, local]
    if (tokens[i]?.kind !== 'string') {
        if (tokens[i]?.kind === 'name') {
            names.push(['default', take().text]);
            if (is(','))
                i++;
        }
        if (is('*')) {
            i += 2;
            whole = take()?.text;
        } else if (is('{')) {
            for (i++; tokens[i] !== undefined && !is('}');) {
                const exported = take();
                let local = exported;
                if (is('as')) {
                    i++;
                    local = take();
                }
                if (local === undefined)
                    return null;
                names.push([exported.text, local.text]);
                if (is(','))
                    i++;
            }
            i++;
        }
        if (!is('from'))
            return null;
        i++;
    }
    if (tokens[i]?.kind !== 'string')
        return null;
    const specifier = take().text;
    let options = 'undefined';
    if ((is('with') || is('assert')) && tokens[i + 1]?.text === '{') {
        const start = ++i;
        while (tokens[i] !== undefined && !is('}'))
            i++;
        options = `{ with: ${tokens.slice(start, ++i).map(({ text }) => text).join('')} }`;
    }
    const last = tokens[i - 1];
    const end = is(';') ? take().end : last.end;
    const wanted = names.map(([exported]) => /^['"]/.test(exported) ? exported : `"${exported}"`);
    const call = `await __import(${specifier}, ${options}, [${wanted.join(', ')}])`;
    const pattern = `{ ${names.map(([exported, local]) => `${exported}: ${local}`).join(', ')} }`;
    const text = whole !== undefined ? `let ${whole} = ${call}${names.length > 0 ? `, ${pattern} = ${whole}` : ''};` :
        names.length > 0 ? `let ${pattern} = ${call};` : `void await __import(${specifier}, ${options}, []);`;
    return { edit: [tokens[at].start, end, text], next: i };
}

/* `export` of a statement is taken away, of names with the statement. */
function exportStatement(tokens, at) {
    const next = tokens[at + 1];
    if (next?.text === 'default') {
        const what = tokens[at + 2]?.text;
        const named = (what === 'class' || what === 'function') && tokens[at + 3]?.kind === 'name';
        if (named || what === 'async')
            return { edit: [tokens[at].start, next.end, ''], next: at + 2 };
        return { edit: [tokens[at].start, next.end, '0,'], next: at + 2 };
    }
    if (next?.text !== '{')
        return next?.kind === 'name' ? { edit: [tokens[at].start, tokens[at].end, ''], next: at + 1 } : null;
    let i = at + 2;
    while (tokens[i] !== undefined && tokens[i].text !== '}')
        i++;
    if (tokens[i + 1]?.text === 'from')
        return null;
    const semicolon = tokens[i + 1]?.text === ';';
    const end = semicolon ? tokens[i + 1] : tokens[i];
    return end === undefined ? null : { edit: [tokens[at].start, end.end, ''], next: i + (semicolon ? 2 : 1) };
}

/* Whether the parenthesis at tokens[at] holds a method's parameters. */
function isMethod(tokens, at) {
    const close = tokens.findIndex(({ text, depth }, i) => i > at && depth === tokens[at].depth && text === ')');
    return close >= 0 && tokens[close + 1]?.text === '{';
}

const MODULE_WORDS = new Set(['import', 'export', 'const']);

function withoutModules(text) {
    const tokens = tokenize(text);
    const edits = [];
    for (let i = 0; i < tokens.length; i++) {
        const { kind, text: word, depth, start, end } = tokens[i];
        const before = tokens[i - 1]?.text;
        if (kind !== 'name' || !MODULE_WORDS.has(word) || before === '.' || before === '?.')
            continue;
        const after = tokens[i + 1]?.text;
        let found = null;
        if (word === 'const') {
            // So that a later cell may declare the name in any way: the inspector lets a constant be declared again
            // only as a constant.
            if (depth === 0)
                found = { edit: [start, end, 'let'], next: i + 1 };
        } else if (word === 'import' && after === '(') {
            found = isMethod(tokens, i + 1) ? null : { edit: [start, end, '__import'], next: i + 1 };
        } else if (word === 'import' && after === '.' && tokens[i + 2]?.text === 'meta') {
            found = { edit: [start, tokens[i + 2].end, '__importMeta'], next: i + 3 };
        } else if (depth === 0 && after !== ':' && after !== '=') {
            found = word === 'import' ? importStatement(tokens, i) : exportStatement(tokens, i);
        }
        if (found !== null) {
            edits.push(found.edit);
            i = found.next - 1;
        }
    }
    return apply(text, edits);
}

const plain = (text) => ({ text, segments: [[0, 0, false]] });

/* What runs for a text. */
function toScript(text) {
    return /\b(import|export|const)\b/.test(text) ? withoutModules(text) : plain(text);
}

/* The same with the declarations of a name, which was of another kind, as `let` or, where `asVar`, as `var`. */
function redeclare(text, name, asVar) {
    const tokens = tokenize(text);
    const keyword = asVar ? 'var' : 'let';
    const edits = [];
    for (let i = 0; i < tokens.length; i++) {
        const { kind, text: word, depth, start, end } = tokens[i];
        if (kind !== 'name' || tokens[i - 1]?.text === '.')
            continue;
        if (word === 'let' || word === 'const' || word === 'var') {
            const until = asVar && depth > 0 ? i : declarationEnd(tokens, i);
            if (word === keyword || !tokens.slice(i, until).some((token) => token.kind === 'name' &&
                token.text === name))
                continue;
            const isPattern = tokens[i + 1].text === '{' || tokens[i + 1].text === '[';
            edits.push([start, end, depth === 0 || isPattern ? keyword : '']); // within a loop, say: the name there is
        } else if (depth === 0 && (word === 'class' || word === 'function')) {
            const at = tokens[i + 1]?.text === '*' ? i + 2 : i + 1;
            const isAsync = tokens[i - 1]?.text === 'async';
            const body = tokens.findIndex((token, j) => j > at && token.depth === 0 && token.text === '}');
            if (tokens[at]?.text !== name || body < 0)
                continue;
            const first = isAsync ? tokens[i - 1].start : start;
            edits.push([first, first, `${keyword} ${name} = `], [tokens[body].end, tokens[body].end, ';']);
        }
    }
    return apply(text, edits);
}

/* The token after the names that are declared: roughly, that of the semicolon or of the next declaration. */
function declarationEnd(tokens, at) {
    const { depth } = tokens[at];
    let i = at + 1;
    while (tokens[i] !== undefined && tokens[i].depth >= depth && tokens[i].text !== ';' &&
        !(tokens[i].depth === depth && /^(let|const|var|class|function)$/.test(tokens[i].text)))
        i++;
    return i;
}

/* The place in the old text of one in the new. */
function originalOffset(segments, offset) {
    let at = segments.length - 1;
    while (at > 0 && segments[at][0] > offset)
        at--;
    const [start, original, isOne] = segments[at];
    return isOne ? original : original + offset - start;
}

module.exports = { originalOffset, redeclare, toScript, tokenize };
