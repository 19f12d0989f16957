/* Run once, when the package typescript has been installed beside the kernel: keeps the code that a first check
 * compiles. */
'use strict';

const path = require('path');
const { Worker } = require('worker_threads');

new Worker(path.join(__dirname, 'checker.js'), {
    workerData: { modules: path.join(__dirname, 'node_modules'), warm: true, keep: true },
});
