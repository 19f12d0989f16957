/**
 * @file ci/sys/op.h
 * @brief Operations: what both contracts are made of. For authors of backends and storages.
 *
 * An operation is started by a function of the backend, which returns at once with a ::ci_op; the library polls its
 * descriptor, has it processed until it is done, and frees it, also when process() failed. A backend that can only
 * block does its work within start, or within process() where it needs a callback, and says so: a sandbox by
 * #CI_CAP_BLOCKING, a storage by #CI_STORAGE_CAP_BLOCKING.
 *
 * **Threads**: one thread at a time calls the functions of one operation, except interrupt() and kill(), which may come
 * from another while process() runs. Different operations of one object are used from different threads at the same
 * time. **Callbacks** handed to a start function (sinks, readers, writers) are called only within process().
 */
#ifndef CI_SYS_OP_H
#define CI_SYS_OP_H

#include <ci/call.h>

CI_BEGIN_DECLS

/** What a sandbox or storage requires of the library (bits of ci_sandbox_ops::required, ci_storage_ops::required). An
 * older library refuses bits that it does not know. */
#define CI_REQUIRE_NOTHING UINT64_C(0)

/** An operation in progress. A backend makes it the first member of a struct of its own. */
typedef struct ci_op ci_op;

/** What an operation can do. No slot may be NULL but where it is said. */
typedef struct ci_op_ops {
    size_t struct_size; /**< sizeof(ci_op_ops) of the backend. */
    /** The descriptor to poll for reading, timers included (timerfd); may change from one process() to the next. -1: do
     * not poll, process again at once. */
    int32_t (*fd)(ci_op *op);
    /** Does what can be done now, without blocking unless the backend says that it may. @return 1 done, 0 not yet, or
     * a negative status: failed, and done. */
    int32_t (*process)(ci_op *op, ci_error **ret_error);
    /** Interrupts what runs (Ctrl-C); it then ends by itself. NULL: cannot. @return #CI_OK or why not. */
    ci_status (*interrupt)(ci_op *op);
    /** Kills what runs and all it started; the operation then ends by itself. NULL: cannot. @return as above;
     * #CI_ERR_BUSY: it can be but given up, and code's state is not lost with that. */
    ci_status (*kill)(ci_op *op);
    /** Releases the operation; an unfinished one is given up, and what it runs is killed. Never blocks. */
    void (*free)(ci_op *op);
} ci_op_ops;

/** The part of an operation that the library knows. */
struct ci_op {
    const ci_op_ops *ops; /**< The operation's functions; a const table. */
};

/** Reader: puts at most `size` bytes into `buffer`. @return how many; 0: the end; #CI_IO_PAUSE; else negative: stop. */
typedef int64_t (*ci_op_read_cb)(void *user, void *buffer, size_t size);

/** Writer: takes all of `data`, or nothing. @return 0; #CI_IO_PAUSE (give it again later); anything else: stop. */
typedef int32_t (*ci_op_write_cb)(void *user, const void *data, size_t size);

/** What an error consists of. Zero is the default of every field. */
typedef struct ci_error_fields {
    size_t struct_size;      /**< sizeof(ci_error_fields). */
    const char *domain;      /**< The backend's name. */
    const char *message;     /**< One line, no secret in it. */
    const char *hint;        /**< What to do; NULL: nothing to advise. */
    ci_status status;        /**< A negative status. */
    int32_t error_number;    /**< errno(3), or 0. */
    int32_t http_status;     /**< HTTP status, or 0. */
    int32_t retryable;       /**< 1: the same call may succeed later. */
    int32_t handle_unusable; /**< 1: the handle can only be closed. */
    int32_t reserved;        /**< 0. */
} ci_error_fields;

/**
 * @brief Makes an error object. Any thread; does not block.
 * @param fields copied.
 * @param[out] ret_error the error; left alone when NULL. When memory is short it gets a static error that says so.
 * @return fields->status, so that a function can end with `return ci_error_make(…)`.
 * @since 0.1
 */
CI_API ci_status ci_error_make(const ci_error_fields *fields, ci_error **ret_error);

CI_END_DECLS

#endif
