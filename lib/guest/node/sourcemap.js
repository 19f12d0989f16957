/* Source maps (version 3) of one source: from a place in what was generated to one in the original. */
'use strict';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/* Numbers of a segment: base 64, five bits a digit, the sign in the lowest. */
function decode(segment) {
    const numbers = [];
    let value = 0;
    let shift = 0;
    for (const digit of segment) {
        const bits = DIGITS.indexOf(digit);
        value |= (bits & 31) << shift;
        shift += 5;
        if (!(bits & 32)) {
            numbers.push(value & 1 ? -(value >>> 1) : value >>> 1);
            value = shift = 0;
        }
    }
    return numbers;
}

/* {line, column}, both from 1. The last mapping before a place holds for it. */
function originalPlace(map, place) {
    const now = { line: 0, column: 0 };
    let found;
    const lines = JSON.parse(map).mappings.split(';');
    for (let line = 0; line < Math.min(lines.length, place.line); line++) {
        let generated = 0;
        for (const segment of lines[line] ? lines[line].split(',') : []) {
            const [column, , lineStep, columnStep] = decode(segment);
            generated += column;
            now.line += lineStep ?? 0;
            now.column += columnStep ?? 0;
            if (line === place.line - 1 && generated > place.column - 1)
                break;
            found = { line: now.line + 1, column: now.column + 1 };
        }
    }
    return found ?? place;
}

module.exports = { originalPlace };
