/**
 * @file ci/call.h
 * @brief Calls in progress: the form of every long operation that never blocks.
 *
 * Opening, runs, tasks, contexts, file operations, pushes, the workspace, objects and tools: each such `ci_x()` has a companion
 * `ci_x_start()` that returns a ::ci_call at once. (What only blocks: ci_session_info() and ci_context_list(), for a round
 * trip at most; ci_sandbox_local_new() and ci_sandbox_local_check().) A host with an event loop polls ci_call_fd() for reading, runs
 * ci_call_process() whenever it is ready, and takes the outcome with one of the `ci_call_take_` functions once
 * ci_call_process() said #CI_CALL_DONE:
 *
 *     ci_call *call = NULL;
 *     if (ci_execute_code_start(session, code, SIZE_MAX, NULL, &call, &error) != CI_OK)
 *         return;
 *     while (ci_call_process(call) == CI_CALL_RUNNING)
 *         poll(&(struct pollfd){.fd = ci_call_fd(call), .events = POLLIN}, 1, -1);
 *     ci_call_take_result(call, &result, &error);
 *     ci_call_free(call);
 *
 * **Threads**: one thread at a time inside a call; ci_call_interrupt() and ci_call_cancel() may come from any thread
 * while another is inside. Callbacks of a call run only in a thread that is inside ci_call_process() or ci_call_wait()
 * for it, with no lock held; they may use libci, but must neither free the call nor wait for what waits for it, such as
 * code in the same context. **Lifetime**: a call holds its session; the session's close ends it with #CI_ERR_CLOSED.
 */
#ifndef CI_CALL_H
#define CI_CALL_H

#include <ci/error.h>

CI_BEGIN_DECLS

/** A call in progress; opaque. */
typedef struct ci_call ci_call;
/** See ci/session.h. */
typedef struct ci_session ci_session;
/** See ci/result.h. */
typedef struct ci_result ci_result;

/** From a reader or writer that can pause: nothing now, ask again later. To a backend: return 0 from process() and ask in
 * the next one, which the library sees to, whatever the descriptor says. */
#define CI_IO_PAUSE (-2)

/** What ci_call_process() and ci_call_wait() return. */
enum {
    CI_CALL_RUNNING = 0, /**< Not finished: poll the descriptor and process again. */
    CI_CALL_DONE = 1     /**< Finished, well or not: take the outcome. */
};

/**
 * @brief The descriptor to poll for reading (an epoll(7) descriptor that holds all that the call waits for, its timers
 * included). It stays the same for the life of the call and belongs to it: do not close or read it.
 * @param call the call.
 * @return the descriptor, close-on-exec; or #CI_ERR_NOMEM or #CI_ERR_IO (no descriptor left) as a negative number,
 * which poll(2) would pass over for ever: use ci_call_wait() with a short time then; #CI_ERR_FORKED in another process.
 * @since 0.1
 */
CI_API int32_t ci_call_fd(ci_call *call);

/**
 * @brief Does what can be done now, callbacks included. Waits for nothing but what a sandbox or storage blocks for that
 * says it does (ci_session_info(): "blocking"; a folder as workspace does, for its disk).
 * @param call the call.
 * @return #CI_CALL_RUNNING or #CI_CALL_DONE; #CI_ERR_FORKED in another process.
 * @since 0.1
 */
CI_API int32_t ci_call_process(ci_call *call);

/**
 * @brief Processes the call until it is done or the time is over. Blocks.
 * @param call the call.
 * @param timeout_ms how long to wait at most, in milliseconds; negative: until it is done.
 * @return #CI_CALL_DONE, or #CI_CALL_RUNNING when the time was over first; #CI_ERR_FORKED in another process.
 * @since 0.1
 */
CI_API int32_t ci_call_wait(ci_call *call, int64_t timeout_ms);

/**
 * @brief Gives the call another deadline, counted from its start: for calls whose start takes none of their own, or for
 * one that turns out to need more time, or less. What was interrupted for being late already stays so. Does not block.
 * @param call the call, not done; in the thread that is inside it, as from a callback, or in any while none is.
 * @param timeout_ms milliseconds since the call was started; 0 or less: no deadline. One that is over already ends the
 * call when it is processed next.
 * @return #CI_OK; #CI_ERR_INVALID when the call is done; #CI_ERR_FORKED in another process.
 * @since 0.1
 */
CI_API ci_status ci_call_set_timeout(ci_call *call, int64_t timeout_ms);

/**
 * @brief Interrupts the code or command that the call runs, as Ctrl-C does; what was defined before is kept whenever
 * the code can be interrupted at all, and after the grace time of the session it is killed. The call then ends with
 * outcome #CI_OUTCOME_INTERRUPTED, or as well as the code did that caught the interrupt. What runs neither code nor command ends at once: with a result of what was done and
 * that outcome where it has one to give (file operations, pushes), else with #CI_ERR_CANCELLED. An interrupt that comes
 * as the call ends hits no later call. From any thread; does not block.
 * @param call the call.
 * @return #CI_OK, also when the call has ended; #CI_ERR_NOTSUP when the backend cannot.
 * @since 0.1
 */
CI_API ci_status ci_call_interrupt(ci_call *call);

/**
 * @brief Gives the call up: it ends with #CI_ERR_CANCELLED and what it runs is killed. From any thread; does not block.
 * A thread inside ci_call_wait() for it returns.
 * @param call the call.
 * @return #CI_OK, also when the call has ended.
 * @since 0.1
 */
CI_API ci_status ci_call_cancel(ci_call *call);

/**
 * @brief Takes the result of a finished call that has one (code, commands, tasks, file operations, push, the
 * workspace's list and stat, tools).
 * @param call the call, done.
 * @param[out] ret_result the result, the caller's, to be freed with ci_result_free(); untouched on failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK; the call's own failure; #CI_ERR_INVALID when it is not done, has another kind of outcome, or was
 * taken before.
 * @since 0.1
 */
CI_API ci_status ci_call_take_result(ci_call *call, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief Takes the session from a finished ci_session_open_start().
 * @param call the call, done.
 * @param[out] ret_session the session, the caller's, to be closed with ci_session_close(); untouched on failure.
 * @param[out] ret_error why opening failed; may be NULL.
 * @return as ci_call_take_result().
 * @since 0.1
 */
CI_API ci_status ci_call_take_session(ci_call *call, ci_session **ret_session, ci_error **ret_error);

/**
 * @brief Says how a finished call ended that has no outcome but success (contexts, transfers, objects, the workspace's
 * remove, ci_sandbox_prepare_start()).
 * @param call the call, done.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_call_take_result().
 * @since 0.1
 */
CI_API ci_status ci_call_take_status(ci_call *call, ci_error **ret_error);

/**
 * @brief Releases the call; an unfinished one is cancelled first. Its descriptor is closed. Does not block.
 * @param call the call; NULL does nothing. In another process than the one that made it, only memory and descriptors
 * of that process are released.
 * @since 0.1
 */
CI_API void ci_call_free(ci_call *call);

CI_END_DECLS

#endif
