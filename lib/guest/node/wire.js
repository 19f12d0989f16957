/* The numbers of the guest protocol (lib/wire/wire.h), and what the kernel's threads share. */
'use strict';

module.exports = {
    FD: 3,
    FRAME_MAX: 1 << 20,
    MESSAGE_MAX: 160 << 20,
    VALUE_MAX: 256 << 10,
    ITEM_MAX: 32 << 20,
    HEAD_SIZE: 8,
    MORE: 1,

    EXEC: 1,
    ITEM_ACK: 2,
    READY: 16,
    ITEM: 17,
    DONE: 18,
    WARM: 19,
    INTERRUPT: 33,

    TEXT: 1,
    LANGUAGE: 2,
    CWD: 4,
    ENV: 5,
    FLAGS: 6,
    CALL: 7,
    INFO: 10,
    MIME: 20,
    DATA: 21,
    OUTCOME: 30,
    EXIT_CODE: 31,
    VALUE: 32,
    VALUE_TOTAL: 33,
    ERROR_NAME: 34,
    ERROR_MESSAGE: 35,
    TRACEBACK: 36,
    EXECUTION_US: 37,
    ITEM_DROPPED: 41,
    DIAGNOSTICS: 42,
    LISTENS: 43,
    WARMING: 44,

    NO_TYPECHECK: 1 << 3, // CI_RUN_NO_TYPECHECK

    OK: 0,
    EXCEPTION: 1,
    EXIT: 2,
    TYPE_ERROR: 8,

    // Exit statuses: the channel made no sense, or is gone.
    PROTOCOL_LOST: 70,

    // Cells of the Int32Array that main thread and reader share.
    STATE: 0, // of the main thread, see below
    ACKS: 1, // ITEM_ACKs that have come
    ENDED: 2, // number of the last request that has been answered
    SEEN: 3, // number of the reader's last word about an interrupt that the main thread has seen
    ENDING: 4, // the main thread has been told to end, and does
    ITEMS: 5, // items that were, or are being sent
    SHARED_SIZE: 6,

    // What an interrupt may do to the main thread now.
    ARMED: 0, // a user's code runs, or nothing
    HELD: 1, // the kernel's code runs: not to be hit
    HIT: 2, // termination was asked for and has not been absorbed
    ASKING: 3, // it is just being asked for
};
