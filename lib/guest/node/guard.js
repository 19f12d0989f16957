/* When the main thread may be hit by an interrupt: while a user's code runs, never in the kernel's own. The reader,
 * which asks for termination, first moves the shared state from ARMED to HIT; hold() moves it from ARMED to HELD. So
 * one of the two sees the other, and a termination that was asked for just as the code ended is absorbed here. */
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
        const before = Atomics.compareExchange(this._shared, wire.STATE, wire.ARMED, wire.HELD);
        if (before !== wire.HIT)
            return before === wire.ARMED;
        // Asked for, it comes with the next loop, if it has not come already.
        Atomics.wait(this._shared, wire.ASKED, 0, ASK_MS);
        this._session.post('Runtime.evaluate', { expression: 'for(;;);', timeout: ABSORB_MS }, () => {});
        Atomics.store(this._shared, wire.STATE, wire.HELD);
        return true;
    }

    /* The same where the termination is known to have arrived, if there was one. */
    holdAfterTermination() {
        Atomics.store(this._shared, wire.STATE, wire.HELD);
    }

    /* A user's code begins, or nothing. */
    release() {
        Atomics.store(this._shared, wire.STATE, wire.ARMED);
    }

    /* Called by a user's code, which does not come back from this: terminates it from within. */
    terminate() {
        if (Atomics.compareExchange(this._shared, wire.STATE, wire.ARMED, wire.HIT) === wire.ARMED)
            this._session.post('Runtime.terminateExecution');
        Atomics.store(this._shared, wire.ASKED, 1);
        for (;;);
    }
}

module.exports = { Guard };
