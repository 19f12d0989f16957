/* Building results. The session layer and the tool front make them here; ci/result.h reads them.
 *
 * A result is built by one thread and changed no more once a caller has it. Two ways lead to one:
 *
 *   a run      cii_collector_new() -> cii_collector_sink() is handed to the backend -> cii_collector_take() ->
 *              overrides and files -> the caller
 *   the rest   cii_result_new() -> cii_result_add_file()… -> cii_result_settle() -> the caller
 *
 * Contract: a function that fails with CI_ERR_NOMEM leaves the result as it was; it can still be read and freed. */
#ifndef CII_RESULT_RESULT_H
#define CII_RESULT_RESULT_H

#include <ci/session.h>
#include <ci/sys/sandbox.h>

#include "base/buf.h"

/* What the result is of: decides how its files are put into words in the JSON. */
typedef enum cii_result_kind {
    CII_RESULT_RUN,             /* code, command, task */
    CII_RESULT_READ,            /* files with data, each a resource item */
    CII_RESULT_WRITE,           /* "wrote a.txt (5 bytes)" */
    CII_RESULT_LIST,            /* one line a file, "name/" for folders */
    CII_RESULT_REMOVE,          /* "removed a.txt" */
    CII_RESULT_PUSH,            /* "saved chart.png (12,345 bytes) -> code-interpreter/chart.png" */
    CII_RESULT_WORKSPACE_READ,  /* as READ; the resource's URI is workspace:///NAME */
    CII_RESULT_WORKSPACE_WRITE, /* as WRITE */
    CII_RESULT_WORKSPACE_LIST,  /* as LIST */
    CII_RESULT_REPORT,          /* ci_session_preload_report(): only lists */
} cii_result_kind;

/* What a result keeps. 0: the default. */
typedef struct cii_result_limits {
    uint64_t stream_bytes; /* of stdout, of stderr, of background: half from the head, half from the tail; 1 MiB */
    uint64_t value_bytes; /* of the last value, likewise; 256 KiB. Of one that the backend cut, the head is what came */
    uint64_t item_bytes;  /* of all rich items together; 32 MiB */
    uint32_t item_count;  /* rich items; 64 */
} cii_result_limits;

/* limits NULL: defaults. The outcome is ok until something else is set. */
ci_status cii_result_new(cii_result_kind kind, const cii_result_limits *limits, ci_result **ret_result);

/* A finished result of outcome REFUSED that says message. */
ci_status cii_result_refused(const char *message, ci_result **ret_result);

static inline void cii_result_free_p(ci_result **result) {
    ci_result_free(*result);
}
#define _cleanup_result_ _cleanup_(cii_result_free_p)

/* --- what a run came to ------------------------------------------------------------------------------------------- */

/* Sets the outcome in place of what was there: the output, the items and the traceback stay. message NULL: the
 * outcome's own words ("interrupted"). Outcome OK clears error name, message and traceback. */
ci_status cii_result_override(ci_result *result, int32_t outcome, const char *message);
/* TIMEOUT, "time-out after 2.5 s"; and MEMORY_LIMIT, "memory limit of 512 MiB reached". */
ci_status cii_result_override_timeout(ci_result *result, int64_t timeout_ms);
ci_status cii_result_override_memory(ci_result *result, uint64_t limit_bytes);
void cii_result_set_state_lost(ci_result *result, bool lost);
void cii_result_set_execution_us(ci_result *result, int64_t execution_us);
/* The task id and whether it runs, when the backend's outcome did not say. */
void cii_result_set_task(ci_result *result, uint64_t task_id, bool running);
/* The task was stopped because somebody asked for it: "canceled", and its death by signal is then no error. */
void cii_result_set_task_stopped(ci_result *result);

/* What the network refused, in words: a line each, and one about how many more there are. */
ci_status cii_result_say_refusals(const ci_result *result, cii_buf *text);

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Copies info (all of its struct_size) to the end of a list. `data`, when not NULL, is the content, info->data_size
 * bytes malloc'd and NUL-ended (as cii_buf_take() gives them), which the result takes over, also on failure;
 * otherwise info->data is copied. is_text is found out here; so is mime_type where it is NULL and kind is regular. */
ci_status cii_result_add_file(ci_result *result, int32_t list, const ci_file_info *info, char *data);

/* After the last file: when one of CI_FILES_MAIN has CI_FILE_FAILED and the outcome was ok, it becomes FAILED with a
 * message that names the file and why ("2 of 5 files failed: a.txt: No such file or directory; …"). */
ci_status cii_result_settle(ci_result *result);

/* --- the sink ----------------------------------------------------------------------------------------------------- */

/* Gets the whole of a stream once it is to be truncated: first all that came before, then the rest as it comes, in the
 * thread that processes the run. Non-zero: no more of this stream. */
typedef int (*cii_spill_cb)(void *user, int32_t stream, const void *data, size_t size);

typedef struct cii_collector_options {
    ci_output_cb output; /* the caller's, or NULL */
    void *output_user;
    cii_spill_cb spill; /* or NULL */
    void *spill_user;
} cii_collector_options;

/* Fills a result from a backend's sink calls in bounded memory: at most stream_bytes for each stream, whatever is
 * printed. Calls of the sink after take() are ignored. One thread at a time. */
typedef struct cii_collector cii_collector;

/* Consumes result on success. options NULL: neither callback nor spill. */
ci_status cii_collector_new(ci_result *result, const cii_collector_options *options, cii_collector **ret_collector);
const ci_sink *cii_collector_sink(cii_collector *collector); /* lives as long as the collector */
bool cii_collector_done(const cii_collector *collector);     /* done() has come: the result is complete */
/* Ends collecting and hands the result over; the callback gets what was held back of an unfinished character. Without
 * a done() the outcome is LOST (for the session to override). Fails with CI_ERR_NOMEM when memory ran out meanwhile,
 * and with CI_ERR_INVALID the second time. */
ci_status cii_collector_take(cii_collector *collector, ci_result **ret_result, ci_error **ret_error);
void cii_collector_free(cii_collector *collector); /* with the result, if it was not taken; NULL is fine */

static inline void cii_collector_free_p(cii_collector **collector) {
    cii_collector_free(*collector);
}
#define _cleanup_collector_ _cleanup_(cii_collector_free_p)

#endif
