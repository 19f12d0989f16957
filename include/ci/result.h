/**
 * @file ci/result.h
 * @brief What a run, a file operation or a push came to.
 *
 * A result belongs to the caller, outlives session and call, and is never changed after it was returned: several
 * threads may read it at once. Every pointer that an accessor returns lives until ci_result_free(). Bytes are returned
 * with their size; a NUL follows them that the size does not count. No function here blocks.
 *
 * The JSON form (ci_result_json()) is AgentCore's CodeInterpreterResult, which is also the CallToolResult of the Model
 * Context Protocol (revision 2025-06-18): `{"content": […], "structuredContent": {…}, "isError": false}`; what is in it
 * lib/result/README.md says.
 */
#ifndef CI_RESULT_H
#define CI_RESULT_H

#include <ci/call.h>

CI_BEGIN_DECLS

/** How a run ended. */
enum {
    CI_OUTCOME_OK = 0,           /**< Well; also code that ended itself with status 0. */
    CI_OUTCOME_EXCEPTION = 1,    /**< The code raised an exception nobody caught; also a syntax error. */
    CI_OUTCOME_EXIT = 2,         /**< It ended itself with a status other than 0. */
    CI_OUTCOME_SIGNAL = 3,       /**< A signal ended it (a segmentation fault, say). */
    CI_OUTCOME_TIMEOUT = 4,      /**< The deadline came first. */
    CI_OUTCOME_INTERRUPTED = 5,  /**< The host interrupted it. */
    CI_OUTCOME_MEMORY_LIMIT = 6, /**< It was killed at the session's memory limit. */
    CI_OUTCOME_LOST = 7,         /**< The kernel is gone without a word. */
    CI_OUTCOME_TYPE_ERROR = 8,   /**< TypeScript's check found an error of type or syntax; the code did not run. */
    CI_OUTCOME_FAILED = 9,       /**< A file could not be read, saved or pushed; what worked is still reported. */
    CI_OUTCOME_REFUSED = 10      /**< Bad input or an unknown tool; nothing was done. */
};

/** Streams of a run. */
enum {
    CI_STREAM_STDOUT = 1, /**< Standard output. */
    CI_STREAM_STDERR = 2  /**< Standard error. */
};

/** What a file is (ci_file_info::kind). */
enum {
    CI_KIND_REGULAR = 1,   /**< A regular file. */
    CI_KIND_DIRECTORY = 2, /**< A folder. */
    CI_KIND_SYMLINK = 3,   /**< A symbolic link. */
    CI_KIND_OTHER = 4      /**< A FIFO, socket or device. */
};

/** What happened to a file (ci_file_info::status). */
enum {
    CI_FILE_OK = 0,        /**< Listed, read, written or removed as asked. */
    CI_FILE_SAVED = 1,     /**< Saved to the workspace. */
    CI_FILE_UNCHANGED = 2, /**< The workspace has it already, with this content. */
    CI_FILE_SKIPPED = 3,   /**< Not pushed, for the reason given (a link, `node_modules`, a name that is not UTF-8). */
    CI_FILE_FAILED = 4,    /**< Failed, for the reason given. */
    CI_FILE_PRELOADED = 5, /**< An upload that is now in the sandbox. */
    CI_FILE_UNPACKED = 6,  /**< An archive that is now in the sandbox, unpacked into ci_file_info::target. */
    CI_FILE_CONFLICT = 7,  /**< An upload that was not written, because the sandbox's file was changed. */
    CI_FILE_CREATED = 8,   /**< Created by the run (#CI_RUN_LIST_CHANGES). */
    CI_FILE_CHANGED = 9,   /**< Changed by the run. */
    CI_FILE_DELETED = 10   /**< Deleted by the run. */
};

/** Lists of files in a result. */
enum {
    CI_FILES_MAIN = 0,    /**< What a file operation, saving or a push did; one entry a file. */
    CI_FILES_PRELOAD = 1, /**< Uploads that appeared before this call, archives with what was unpacked or refused. */
    CI_FILES_CHANGES = 2  /**< What the run created, changed and deleted, with #CI_RUN_LIST_CHANGES. */
};

/** A file of a list. `ci_file_info file = CI_FILE_INFO_INIT;` before the call; pointers live as long as the result. */
typedef struct ci_file_info {
    size_t struct_size;     /**< sizeof(ci_file_info) of the caller. */
    const char *path;       /**< Path relative to the sandbox root (or to the workspace, for workspace lists). */
    const char *key;        /**< Name in the workspace; NULL where there is none. */
    const char *target;     /**< Folder an archive was unpacked into; NULL otherwise. */
    const char *sha256;     /**< SHA-256 of the content in lower-case hex; NULL where it was not computed. */
    const char *mime_type;  /**< MIME type by content and name; NULL for what is not a regular file. */
    const char *error;      /**< Why it failed, was skipped or refused, one sentence; NULL when all is well. */
    const void *data;       /**< Content, for a read; NULL otherwise. */
    uint64_t data_size;     /**< Bytes in data. */
    uint64_t size_bytes;    /**< Size of the file. */
    int64_t modified_ms;    /**< Last modification, milliseconds since 1970-01-01 UTC; 0 where not known. */
    int32_t kind;           /**< A `CI_KIND_` value. */
    int32_t status;         /**< A `CI_FILE_` status. */
    int32_t is_text;        /**< 1 when data is valid UTF-8 without NUL. */
    uint32_t entry_count;   /**< For an archive: entries unpacked. */
    uint32_t refused_count; /**< For an archive: entries refused; each refusal follows as an entry of its own. */
    int32_t reserved;       /**< 0. */
} ci_file_info;

/** Initializer for ::ci_file_info. */
#define CI_FILE_INFO_INIT \
    { sizeof(ci_file_info), NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** A rich item of a result (an image, an HTML table). `ci_item item = CI_ITEM_INIT;` before the call; pointers live as
 * long as the result.
 *
 * An object in several forms is several items, one after the other with one stdout_offset, pictures first: an item that
 * is a picture begins another object. A chart of matplotlib
 * is "image/png" and "application/vnd.ci.chart+json": its type, titles, axes and series, to be read rather than seen. A
 * table of pandas is "text/html" and "application/vnd.dataresource+json" (a Frictionless Tabular Data Resource): its
 * fields and first rows. lib/guest/python/README.md has both schemas. */
typedef struct ci_item {
    size_t struct_size;     /**< sizeof(ci_item) of the caller. */
    const char *mime_type;  /**< As in "image/png". */
    const void *data;       /**< Content: bytes, not base64. */
    uint64_t data_size;     /**< Bytes in data. */
    uint64_t stdout_offset; /**< How many bytes of stdout came before it. */
} ci_item;

/** Initializer for ::ci_item. */
#define CI_ITEM_INIT \
    { sizeof(ci_item), NULL, NULL, 0, 0 }

/** What the check of a text said of one place in it. `ci_diagnostic diagnostic = CI_DIAGNOSTIC_INIT;` before the call;
 * pointers live as long as the result. */
typedef struct ci_diagnostic {
    size_t struct_size;  /**< sizeof(ci_diagnostic) of the caller. */
    const char *message; /**< What is wrong; several lines where the checker says more. */
    int32_t code;        /**< The checker's number of it: 2322 of TypeScript's TS2322. */
    int32_t line;        /**< Line of the code, from 1; 0: of none. */
    int32_t column;      /**< Column in UTF-16 units, from 1, as TypeScript counts. */
    int32_t reserved;    /**< 0. */
} ci_diagnostic;

/** Initializer for ::ci_diagnostic. */
#define CI_DIAGNOSTIC_INIT \
    { sizeof(ci_diagnostic), NULL, 0, 0, 0, 0 }

/** A connection, datagram or question for a name that the session's network refused. `ci_refusal refusal =
 * CI_REFUSAL_INIT;` before the call; pointers live as long as the result. What the code chose, names above all, stands
 * here as it was: show it as such. */
typedef struct ci_refusal {
    size_t struct_size;   /**< sizeof(ci_refusal) of the caller. */
    const char *name;     /**< The name that was asked for; NULL: none that is known. */
    const char *address;  /**< The address, IPv4 or IPv6; NULL: it did not come to one. */
    const char *protocol; /**< "tcp", "udp"; "dns" for a name that was not looked up. */
    const char *rule;     /**< Why, by the rule that decided: "10.0.0.0/8 is private". */
    const char *text;     /**< All of it but the count as one line: "tcp 10.0.0.1:80 (10.0.0.0/8 is private)". */
    uint64_t count;       /**< How often. */
    int32_t port;         /**< The port; 0: none. */
    int32_t reserved;     /**< 0. */
} ci_refusal;

/** Initializer for ::ci_refusal. */
#define CI_REFUSAL_INIT \
    { sizeof(ci_refusal), NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }

/**
 * @brief How the run ended.
 * @param result a result.
 * @return a `CI_OUTCOME_` value.
 * @since 0.1
 */
CI_API int32_t ci_result_outcome(const ci_result *result);

/**
 * @brief The name of an outcome as it stands in JSON: "ok", "exception", "memory-limit", …
 * @param outcome a `CI_OUTCOME_` value.
 * @return a string that lives as long as the library; "unknown" for a value this version does not know.
 * @since 0.1
 */
CI_API const char *ci_outcome_name(int32_t outcome);

/**
 * @brief Exit status in the shell's terms: 0; the code's own; 128 + n for signal n; 124 time-out; 130 interrupted; 137
 * memory limit; 1 for all else.
 * @param result a result.
 * @return the status, 0 to 255.
 * @since 0.1
 */
CI_API int32_t ci_result_exit_code(const ci_result *result);

/**
 * @brief What was printed to a stream, and only that, byte for byte. Beyond the limit head and tail are kept, with a
 * line between them that tells how many bytes are missing; ci_result_stream_total() has the true count.
 * @param result a result.
 * @param stream #CI_STREAM_STDOUT or #CI_STREAM_STDERR.
 * @param[out] ret_size bytes; may be NULL.
 * @return the bytes, never NULL.
 * @since 0.1
 */
CI_API const char *ci_result_stream(const ci_result *result, int32_t stream, size_t *ret_size);

/**
 * @brief How many bytes the run printed to a stream, kept or not.
 * @param result a result.
 * @param stream as above.
 * @return bytes.
 * @since 0.1
 */
CI_API uint64_t ci_result_stream_total(const ci_result *result, int32_t stream);

/**
 * @brief How many bytes of a stream the result kept; less than the total exactly when it was truncated.
 * @param result a result.
 * @param stream as above.
 * @return bytes, the line that tells of the cut not counted.
 * @since 0.1
 */
CI_API uint64_t ci_result_stream_kept(const ci_result *result, int32_t stream);

/**
 * @brief Standard output; the same as ci_result_stream() of #CI_STREAM_STDOUT.
 * @param result a result.
 * @param[out] ret_size bytes; may be NULL.
 * @return the bytes, never NULL.
 * @since 0.1
 */
CI_API const char *ci_result_stdout(const ci_result *result, size_t *ret_size);

/**
 * @brief Standard error; the same as ci_result_stream() of #CI_STREAM_STDERR.
 * @param result a result.
 * @param[out] ret_size bytes; may be NULL.
 * @return the bytes, never NULL.
 * @since 0.1
 */
CI_API const char *ci_result_stderr(const ci_result *result, size_t *ret_size);

/**
 * @brief The last expression's value as text.
 * @param result a result.
 * @param[out] ret_size bytes; may be NULL.
 * @return UTF-8 text; NULL when there is none.
 * @since 0.1
 */
CI_API const char *ci_result_value(const ci_result *result, size_t *ret_size);

/**
 * @brief The name of the exception, as in "ZeroDivisionError", or of the failure.
 * @param result a result.
 * @return UTF-8 text; NULL when the outcome is ok.
 * @since 0.1
 */
CI_API const char *ci_result_error_name(const ci_result *result);

/**
 * @brief One line on what went wrong, as in "division by zero" or "memory limit of 512 MiB reached".
 * @param result a result.
 * @return UTF-8 text; NULL when the outcome is ok.
 * @since 0.1
 */
CI_API const char *ci_result_error_message(const ci_result *result);

/**
 * @brief The traceback with source lines, without terminal colours.
 * @param result a result.
 * @return UTF-8 text; NULL when there is none.
 * @since 0.1
 */
CI_API const char *ci_result_traceback(const ci_result *result);

/**
 * @brief How many diagnostics there are: what TypeScript's check found, of outcome #CI_OUTCOME_TYPE_ERROR.
 * @param result a result.
 * @return the count, at most 100; the error message tells how many more there are.
 * @since 0.1
 */
CI_API size_t ci_result_diagnostic_count(const ci_result *result);

/**
 * @brief One diagnostic, in the order of the code.
 * @param result a result.
 * @param index from 0.
 * @param[out] ret_diagnostic filled up to its struct_size.
 * @return #CI_OK; #CI_ERR_INVALID for an index beyond the last or a struct_size of 0.
 * @since 0.1
 */
CI_API ci_status ci_result_diagnostic(const ci_result *result, size_t index, ci_diagnostic *ret_diagnostic);

/**
 * @brief How many different refusals there are: what the session's network did not let through from the last result's
 * end to this one's, by whichever of the session's calls or tasks.
 * @param result a result.
 * @return the count, at most 64.
 * @since 0.1
 */
CI_API size_t ci_result_refusal_count(const ci_result *result);

/**
 * @brief How often something was refused; more than the counts of all refusals together when there were more than are
 * kept apart.
 * @param result a result.
 * @return the count.
 * @since 0.1
 */
CI_API uint64_t ci_result_refusal_total(const ci_result *result);

/**
 * @brief One refusal, in the order in which they first came.
 * @param result a result.
 * @param index from 0.
 * @param[out] ret_refusal filled up to its struct_size.
 * @return #CI_OK; #CI_ERR_INVALID for an index beyond the last or a struct_size of 0.
 * @since 0.1
 */
CI_API ci_status ci_result_refusal(const ci_result *result, size_t index, ci_refusal *ret_refusal);

/**
 * @brief How long the code ran, in microseconds, its turn's waiting not counted.
 * @param result a result.
 * @return microseconds.
 * @since 0.1
 */
CI_API int64_t ci_result_execution_us(const ci_result *result);

/**
 * @brief Whether the variables of the context were lost (the kernel had to be ended or ended itself).
 * @param result a result.
 * @return 1 or 0.
 * @since 0.1
 */
CI_API int32_t ci_result_state_lost(const ci_result *result);

/**
 * @brief What the context's earlier calls printed after they had ended, since the last call.
 * @param result a result.
 * @param[out] ret_size bytes; may be NULL.
 * @return the bytes, NULL when there were none.
 * @since 0.1
 */
CI_API const char *ci_result_background(const ci_result *result, size_t *ret_size);

/**
 * @brief How many modules the call has replaced: a kernel had loaded them, and then a package was installed, upgraded or
 * removed that they belong to. The kernel keeps the old ones until it is started anew (ci_context_clear()).
 * @param result a result.
 * @return the count, at most 64.
 * @since 0.1
 */
CI_API size_t ci_result_replaced_count(const ci_result *result);

/**
 * @brief The name of one of them.
 * @param result a result.
 * @param index from 0.
 * @return UTF-8 text; NULL for an index beyond the last.
 * @since 0.1
 */
CI_API const char *ci_result_replaced(const ci_result *result, size_t index);

/**
 * @brief The id of the background task that this call started or left behind, for ci_task_poll().
 * @param result a result.
 * @return the id; 0 when there is none.
 * @since 0.1
 */
CI_API uint64_t ci_result_task_id(const ci_result *result);

/**
 * @brief Whether the task of ci_result_task_id() has processes that run.
 * @param result a result.
 * @return 1 or 0.
 * @since 0.1
 */
CI_API int32_t ci_result_task_running(const ci_result *result);

/**
 * @brief How many rich items the result has.
 * @param result a result.
 * @return the count.
 * @since 0.1
 */
CI_API size_t ci_result_item_count(const ci_result *result);

/**
 * @brief How many rich items the run produced; more than ci_result_item_count() when some were dropped at a limit.
 * @param result a result.
 * @return the count.
 * @since 0.1
 */
CI_API size_t ci_result_item_total(const ci_result *result);

/**
 * @brief One rich item.
 * @param result a result.
 * @param index from 0.
 * @param[out] ret_item filled up to its struct_size.
 * @return #CI_OK; #CI_ERR_INVALID for an index beyond the last or a struct_size of 0.
 * @since 0.1
 */
CI_API ci_status ci_result_item(const ci_result *result, size_t index, ci_item *ret_item);

/**
 * @brief How many files a list has.
 * @param result a result.
 * @param list a `CI_FILES_` value.
 * @return the count; 0 for an unknown list.
 * @since 0.1
 */
CI_API size_t ci_result_file_count(const ci_result *result, int32_t list);

/**
 * @brief One file of a list.
 * @param result a result.
 * @param list a `CI_FILES_` value.
 * @param index from 0.
 * @param[out] ret_file filled up to its struct_size.
 * @return #CI_OK; #CI_ERR_INVALID for an index beyond the last or a struct_size of 0.
 * @since 0.1
 */
CI_API ci_status ci_result_file(const ci_result *result, int32_t list, size_t index, ci_file_info *ret_file);

/**
 * @brief The name of a file status as it stands in JSON: "saved", "unchanged", …
 * @param status a `CI_FILE_` status.
 * @return a string that lives as long as the library; "unknown" for a value this version does not know.
 * @since 0.1
 */
CI_API const char *ci_file_status_name(int32_t status);

/**
 * @brief The result as JSON (RFC 8259), UTF-8, without a newline; bytes that are not UTF-8 become U+FFFD.
 * @param result a result.
 * @param[out] ret_json the text, to be released with ci_free(); untouched on failure.
 * @param[out] ret_size bytes without the NUL that follows; may be NULL.
 * @return #CI_OK or #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_result_json(const ci_result *result, char **ret_json, size_t *ret_size);

/**
 * @brief Releases a result.
 * @param result the result; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_result_free(ci_result *result);

CI_END_DECLS

#endif
