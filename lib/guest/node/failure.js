/* What a result says of an exception: name, message, and a traceback that begins with the line of the cell. */
'use strict';

const { inspect, types } = require('util');

const CELL_LINE = /<cell_(\d+)>:(\d+):(\d+)/g;
const OWN_FRAME = new RegExp('^\\s+at .*(node:inspector|node:internal/process/task_queues|' +
    folder.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '/)');
const INSPECT = { depth: 4, maxArrayLength: 100, maxStringLength: 10000, breakLength: 120 };

function attempt(read) {
    try {
        const found = read();
        return typeof found === 'string' ? found : undefined;
    } catch {
        return undefined;
    }
}

/* A source line and a caret below the column, as Node prints it. */
function excerpt(number, text, line, column) {
    const source = text.split('\n')[line - 1];
    if (source === undefined)
        return `<cell ${number}>:${line}:${column}\n`;
    const start = Math.max(0, column - 200);
    const shown = source.slice(start, start + 400);
    const indent = shown.slice(0, column - 1 - start).replace(/[^\t]/g, ' ');
    return `<cell ${number}>:${line}:${column}\n${shown}\n${indent}^\n\n`;
}

class Failures {
    /* cells.place(number, line, column) is the place in the text a user wrote, cells.text(number) that text. */
    constructor(cells) {
        this._cells = cells;
    }

    /* Runs a user's code where an error has getters: to be called through Evaluator.visit(). */
    describe(value) {
        if (!types.isNativeError(value) && !attempt(() => value.stack)) {
            const text = this._inspect(value);
            return { name: 'Uncaught', message: text, traceback: `Uncaught ${text}\n` };
        }
        const name = attempt(() => value.name) || 'Error';
        const message = attempt(() => value.message) || '';
        return { name, message, traceback: this._traceback(this._inspect(value) || `${name}: ${message}`) };
    }

    /* A cell that does not compile has run nothing; where, the inspector says. */
    describeSyntax(details, number) {
        const description = details.exception.description.split('\n')[0];
        const [name, message] = description.split(/: ([^]*)/);
        const lines = this._cells.source(number).split('\n');
        let line = details.lineNumber + 1;
        let column = details.columnNumber + 1;
        if (line > lines.length) {
            line = lines.length;
            column = lines[line - 1].length + 1;
        }
        const place = this._cells.place(number, line, column);
        const text = excerpt(number, this._cells.text(number), place.line, place.column);
        return { name, message: message || '', traceback: `${text}${description}\n` };
    }

    _inspect(value) {
        return attempt(() => inspect(value, INSPECT)) ??
            attempt(() => inspect(value, { ...INSPECT, customInspect: false })) ??
            attempt(() => value.stack) ?? '[cannot be shown]';
    }

    _traceback(text) {
        const lines = text.split('\n').filter((line) => !OWN_FRAME.test(line));
        let first;
        const shown = lines.join('\n').replace(CELL_LINE, (_all, number, line, column) => {
            const place = this._cells.place(Number(number), Number(line), Number(column));
            first = first || { number: Number(number), ...place };
            return `<cell ${number}>:${place.line}:${place.column}`;
        });
        const where = first ? excerpt(first.number, this._cells.text(first.number), first.line, first.column) : '';
        return `${where}${shown.replace(/<cell_(\d+)>/g, '<cell $1>')}\n`;
    }
}

module.exports = { Failures };
