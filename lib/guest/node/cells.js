/* The texts of cells, and how places in what ran lead back to them. */
'use strict';

const { originalOffset } = require('./source.js');
const { originalPlace } = require('./sourcemap.js');

const KEPT_CHARACTERS = 16 << 20;

function toOffset(text, line, column) {
    let at = 0;
    while (--line > 0) {
        const next = text.indexOf('\n', at);
        if (next < 0)
            break;
        at = next + 1;
    }
    return at + column - 1;
}

function toPlace(text, offset) {
    const before = text.slice(0, offset);
    const start = before.lastIndexOf('\n') + 1;
    return { line: before.split('\n').length, column: offset - start + 1 };
}

class Cells {
    constructor() {
        this._cells = new Map();
        this._characters = 0;
        this.count = 0;
    }

    /* A new cell, by number. */
    add(text) {
        this._cells.set(++this.count, { text, source: text, steps: [], map: undefined });
        this._characters += text.length;
        for (const [number, cell] of this._cells) {
            if (this._characters <= KEPT_CHARACTERS || number === this.count)
                break;
            this._characters -= cell.text.length;
            this._cells.delete(number);
        }
        return this.count;
    }

    /* It was translated, with a source map that leads back. */
    translated(number, source, map) {
        Object.assign(this._cells.get(number), { source, map });
    }

    /* It was changed: as source.js returns it. */
    changed(number, { text, segments }) {
        const cell = this._cells.get(number);
        cell.steps.push({ text: cell.source, segments });
        cell.source = text;
    }

    text(number) {
        return this._cells.get(number)?.text ?? '';
    }

    /* What runs. */
    source(number) {
        return this._cells.get(number)?.source ?? '';
    }

    /* {line, column} in the text of a place in the source; both from 1. */
    place(number, line, column) {
        const cell = this._cells.get(number);
        if (cell === undefined)
            return { line, column };
        let place = { line, column };
        let { source } = cell;
        for (const step of [...cell.steps].reverse()) {
            const offset = originalOffset(step.segments, toOffset(source, place.line, place.column));
            source = step.text;
            place = toPlace(source, offset);
        }
        return cell.map === undefined ? place : originalPlace(cell.map, place);
    }
}

module.exports = { Cells };
