/* When the main thread may be hit by an interrupt: while a user's code runs, never in the kernel's own. The reader, which
 * asks for termination, first moves the shared state from ARMED, or from HIT when once was not enough, to ASKING, and then
 * to HIT; hold() moves it from ARMED or HIT to HELD. So one of the two sees the other, and a termination that was asked
 * for just as the code ended is absorbed here. */
'use strict';

const wire = require('./wire.js');

const ASK_MS = 1000; // the reader asks at once, unless the machine is very busy
const ABSORB_MS = 5;

class Guard {
    constructor(shared, session) {
        this._shared = shared;
        this._session = session;
    }

    /* The kernel's code begins. It may have been called by a user's code, as display() is. */
    hold() {
        for (;;) {
            const before = Atomics.load(this._shared, wire.STATE);
            if (before === wire.HELD)
                return;
            if (before === wire.ASKING) {
                Atomics.wait(this._shared, wire.STATE, wire.ASKING, ASK_MS);
                continue;
            }
            if (Atomics.compareExchange(this._shared, wire.STATE, before, wire.HELD) !== before)
                continue;
            if (before === wire.HIT) // it comes with the next loop, if it has not come already
                this._session.post('Runtime.evaluate', { expression: 'for(;;);', timeout: ABSORB_MS }, () => {});
            return;
        }
    }

    /* A user's code begins, or nothing. */
    release() {
        Atomics.store(this._shared, wire.STATE, wire.ARMED);
    }

    /* Called by a user's code, which does not come back from this: terminates it from within. */
    terminate() {
        if (Atomics.compareExchange(this._shared, wire.STATE, wire.ARMED, wire.HIT) === wire.ARMED)
            this._session.post('Runtime.terminateExecution');
        for (;;);
    }
}

module.exports = { Guard };
