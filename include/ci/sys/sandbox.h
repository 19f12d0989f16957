/**
 * @file ci/sys/sandbox.h
 * @brief The sandbox contract: what a backend must do to run sessions. For authors of backends;
 * examples/template_sandbox.c is a small complete one.
 *
 * A backend is a const table of functions and an object (`impl`). The library makes a full private copy of the table
 * in which missing slots (NULL, or beyond the backend's struct_size) become defaults, which refuse with #CI_ERR_NOTSUP
 * unless it is said otherwise; slots this version does not know are ignored. `name`, `open`, `close` and `run` are
 * required.
 *
 * **What a backend owes**: calls on one context of a session run in the order of their start; other contexts, commands
 * and files run beside them. Output goes to the sink in the order in which it was produced within a stream. `done` of
 * the sink comes last, exactly once, unless the operation fails. Bytes from the guest are hostile: bounded, checked,
 * never evaluated. Deadlines, truncation, the workspace and JSON are the library's business, not the backend's.
 *
 * **Threads**: functions on different objects, and on one object where it says so in ci/sys/op.h, run at the same time.
 * **Lifetimes**: the library closes every session before it frees the impl, and frees every operation before it closes
 * the session it belongs to, shutdown() excepted.
 */
#ifndef CI_SYS_SANDBOX_H
#define CI_SYS_SANDBOX_H

#include <ci/context.h>
#include <ci/result.h>
#include <ci/sandbox.h>
#include <ci/sys/op.h>

CI_BEGIN_DECLS

/** What a backend can do (bits of ci_sandbox_ops::capabilities). */
#define CI_CAP_INTERRUPT (UINT64_C(1) << 0)         /**< Code can be interrupted with its state kept. */
#define CI_CAP_CONTEXTS (UINT64_C(1) << 1)          /**< Named contexts, listed and removed. */
#define CI_CAP_CLEAR_CONTEXT (UINT64_C(1) << 2)     /**< A context can be cleared. */
#define CI_CAP_PYTHON (UINT64_C(1) << 3)            /**< Runs Python. */
#define CI_CAP_JAVASCRIPT (UINT64_C(1) << 4)        /**< Runs JavaScript. */
#define CI_CAP_TYPESCRIPT (UINT64_C(1) << 5)        /**< Runs TypeScript. */
#define CI_CAP_TYPECHECK (UINT64_C(1) << 6)         /**< Checks TypeScript's types first. */
#define CI_CAP_RICH (UINT64_C(1) << 7)              /**< Rich items. */
#define CI_CAP_CALL_ENV (UINT64_C(1) << 8)          /**< Environment of one call. */
#define CI_CAP_CALL_CWD (UINT64_C(1) << 9)          /**< Working folder of one call. */
#define CI_CAP_STREAMING (UINT64_C(1) << 10)        /**< Output arrives as it is produced. */
#define CI_CAP_SEPARATE_STREAMS (UINT64_C(1) << 11) /**< stdout and stderr are told apart. */
#define CI_CAP_BACKGROUND (UINT64_C(1) << 12)       /**< Background tasks. */
#define CI_CAP_NETWORK_NONE (UINT64_C(1) << 13)     /**< #CI_NETWORK_NONE. */
#define CI_CAP_NETWORK_INTERNET (UINT64_C(1) << 14) /**< #CI_NETWORK_INTERNET. */
#define CI_CAP_NETWORK_HOST (UINT64_C(1) << 15)     /**< #CI_NETWORK_HOST. */
#define CI_CAP_LIMIT_MEMORY (UINT64_C(1) << 16)     /**< Keeps to memory_bytes. */
#define CI_CAP_LIMIT_PROCESSES (UINT64_C(1) << 17)  /**< Keeps to process_count. */
#define CI_CAP_LIMIT_DISK (UINT64_C(1) << 18)       /**< Keeps to workspace_bytes. */
#define CI_CAP_REATTACH (UINT64_C(1) << 19)         /**< Sessions can be attached to again. */
#define CI_CAP_HOST_PATHS (UINT64_C(1) << 20)       /**< The sandbox root is a folder of this machine (host_dirs). */
#define CI_CAP_HASH (UINT64_C(1) << 21)             /**< walk() computes SHA-256. */
#define CI_CAP_WALK (UINT64_C(1) << 22)             /**< walk() is there. */
#define CI_CAP_BLOCKING (UINT64_C(1) << 23)         /**< Operations may block within start or process(). */
#define CI_CAP_BASH (UINT64_C(1) << 24)             /**< Runs Bash. */
#define CI_CAP_NETWORK_POLICY (UINT64_C(1) << 25)   /**< Keeps to network_allow and network_deny. */

/** What a session is to be. All fields are set, defaults filled in; strings live until open is done. */
typedef struct ci_sandbox_request {
    size_t struct_size;               /**< sizeof(ci_sandbox_request) of the library. */
    const char *session_id;           /**< The session's id, for logs and names. */
    const char *python;               /**< Interpreter; NULL: the backend's own. */
    const char *host_dir;             /**< Host folder as sandbox root; NULL: a fresh one. */
    const char *rootfs;               /**< Folder with a system; NULL: the backend's own. */
    const char *const *env;           /**< Environment of every call, NULL-ended; NULL: none. */
    uint64_t memory_bytes;            /**< Limit. */
    uint64_t workspace_bytes;         /**< Limit. */
    uint64_t workspace_inodes;        /**< Limit. */
    uint32_t process_count;           /**< Limit. */
    uint32_t open_file_count;         /**< Limit. */
    int32_t network;                  /**< A `CI_NETWORK_` value. */
    int32_t reserved;                 /**< 0. */
    ci_log_cb log;                    /**< For messages; never NULL. */
    void *log_user;                   /**< Given to log. */
    const char *const *network_allow; /**< Rules, NULL-ended; NULL: all that is public. Empty: nothing. */
    const char *const *network_deny;  /**< Rules, NULL-ended; NULL: none. What they mean, ci/session.h says; one that
                                           cannot be read makes open fail with #CI_ERR_INVALID. */
} ci_sandbox_request;

/** Kinds of a run. */
enum {
    CI_RUN_KIND_CODE = 1,      /**< Code in a context. */
    CI_RUN_KIND_COMMAND = 2,   /**< A shell command. */
    CI_RUN_KIND_TASK = 3,      /**< A shell command in the background: done at once, with a task id. */
    CI_RUN_KIND_TASK_POLL = 4, /**< What a task printed since the last poll. #CI_ERR_NOTFOUND: there is none. */
    CI_RUN_KIND_TASK_STOP = 5, /**< Kill a task, then as poll. */
    CI_RUN_KIND_CLEAR = 6,     /**< End a context's kernel and start a new one. Outcome OK, or REFUSED: too many. */
    CI_RUN_KIND_REMOVE = 7     /**< End a context's kernel; the context is gone. #CI_ERR_NOTFOUND: there is none. */
};

/** What is to be run. Strings live until ci_sandbox_ops::run returns. */
typedef struct ci_run_request {
    size_t struct_size;     /**< sizeof(ci_run_request) of the library. */
    const char *language;   /**< "python", … ; "" for commands and tasks. */
    const char *context;    /**< "" for the language's own. */
    const char *text;       /**< Code or command. */
    size_t text_size;       /**< Bytes. */
    const char *cwd;        /**< NULL: the kernel's own, for a command the root. */
    const char *const *env; /**< Added for this run, NULL-ended; NULL: none. */
    uint64_t task_id;       /**< For POLL and STOP. */
    int64_t deadline_ms;    /**< Milliseconds left, as advice; 0: none. The library enforces it, and another that
                                 the call is given later. */
    int32_t kind;           /**< A `CI_RUN_KIND_` value. */
    uint32_t flags; /**< The `CI_RUN_` flags of ci/session.h that were given. NO_TYPECHECK and CLEAR_CONTEXT are for the
                                 backend; the rest is done by the library. */
} ci_run_request;

/** How a run ended. Zero is the default of every field; strings live until `done` returns. */
typedef struct ci_run_outcome {
    size_t struct_size;          /**< sizeof(ci_run_outcome) of the backend. */
    const char *value;           /**< Last expression's value; NULL: none. */
    size_t value_size;           /**< Bytes. */
    size_t value_total;          /**< Bytes before any cut by the backend; 0: value_size. */
    const char *error_name;      /**< NULL: none. */
    const char *error_message;   /**< NULL: none. */
    const char *traceback;       /**< NULL: none. */
    const char *diagnostics;     /**< Of TYPE_ERROR: a JSON array of {code, line, column, message}; NULL: none. */
    uint64_t task_id;            /**< Task started or left behind; 0: none. */
    int64_t execution_us;        /**< Microseconds. */
    int32_t outcome;             /**< A `CI_OUTCOME_` value. */
    int32_t exit_code;           /**< For EXIT. */
    int32_t signal_number;       /**< For SIGNAL. */
    int32_t state_lost;          /**< 1 or 0. */
    int32_t task_running;        /**< 1 or 0. */
    uint32_t item_dropped_count; /**< Rich items the backend dropped at its limits. */
    const char *const *replaced; /**< Modules that kernels have loaded and that another was installed for during the
                                      run, NULL-ended; NULL: none. */
} ci_run_outcome;

/** Where the backend puts what a run produces. The library's; lives until the operation is freed. */
typedef struct ci_sink {
    size_t struct_size; /**< sizeof(ci_sink) of the library. */
    void *user;         /**< Given to each function. */
    /** Bytes of a stream (`CI_STREAM_`), any size above 0. */
    void (*output)(void *user, int32_t stream, const void *data, size_t size);
    /** One whole rich item and how many bytes of stdout came before it. */
    void (*item)(void *user, const char *mime_type, const void *data, size_t size, uint64_t stdout_offset);
    /** Bytes that earlier calls printed after their end. */
    void (*background)(void *user, const void *data, size_t size);
    /** The end. */
    void (*done)(void *user, const ci_run_outcome *outcome);
    /** What the session's network refused since it was told last; before done. `text` is the library's to make. A backend
     * that also serves a library without it looks at struct_size first. */
    void (*refusal)(void *user, const ci_refusal *refusal);
} ci_sink;

/** A file or folder of a sandbox. Strings live until the callback returns. */
typedef struct ci_entry {
    size_t struct_size;    /**< sizeof(ci_entry) of the backend. */
    const char *path;      /**< list: the name; walk: relative to the folder walked; stat: as asked. */
    const uint8_t *sha256; /**< 32 bytes, or NULL. */
    uint64_t size_bytes;   /**< Size. */
    int64_t modified_ns;   /**< Nanoseconds since 1970-01-01 UTC. */
    uint64_t version;      /**< Differs whenever content may have changed; 0: not known. */
    int32_t kind;          /**< A `CI_KIND_` value. */
    uint32_t mode;         /**< Permission bits. */
} ci_entry;

/** Gets an entry. @return 0; 1 (walk only): do not go into this folder; negative: stop. */
typedef int32_t (*ci_entry_cb)(void *user, const ci_entry *entry);

/** Flags of walk(). */
enum {
    CI_WALK_HASH = 1 << 0 /**< Fill ci_entry::sha256 of regular files. */
};

/** Folders of this machine behind a sandbox root (#CI_CAP_HOST_PATHS). */
typedef struct ci_host_dirs {
    size_t struct_size; /**< sizeof(ci_host_dirs) of the library. */
    int32_t files_fd;   /**< The sandbox root; the backend's, do not close. */
    int32_t stage_fd;   /**< A folder on the same mount that the guest cannot see; likewise. */
    uint32_t uid;       /**< Owner that new files must have. */
    uint32_t gid;       /**< Group likewise. */
} ci_host_dirs;

/** The functions of a backend. */
typedef struct ci_sandbox_ops {
    size_t struct_size; /**< sizeof(ci_sandbox_ops) of the backend. */
    uint64_t required;  /**< `CI_REQUIRE_` bits. */
    const char *name;   /**< One word: "local". */
    /** Releases the impl. Default: nothing. */
    void (*free)(void *impl);
    /** `CI_CAP_` bits of the backend, or of one session when it is not NULL. Default: 0. */
    uint64_t (*capabilities)(void *impl, void *session);
    /** Makes ready what makes opening fast. Default: done at once. */
    ci_status (*prepare)(void *impl, ci_op **ret_op, ci_error **ret_error);
    /** Opens a session; *ret_session is set when the operation is done. Required. */
    ci_status (*open)(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                      ci_error **ret_error);
    /** Attaches to a session that lives on, by its backend's own id. */
    ci_status (*attach)(void *impl, const char *backend_id, const ci_sandbox_request *request, void **ret_session,
                        ci_op **ret_op, ci_error **ret_error);
    /** Kills all that runs, from any thread, while operations are still there: they fail with #CI_ERR_CLOSED or
     * #CI_ERR_LOST. Default: nothing. */
    void (*shutdown)(void *session);
    /** Ends the session and releases it. Does not wait. Required. */
    void (*close)(void *session);
    /** Starts a run. Required. */
    ci_status (*run)(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                     ci_error **ret_error);
    /** All the backend knows of the session, as a JSON object; malloc'd. Default: "{}". */
    ci_status (*info)(void *session, char **ret_json, ci_error **ret_error);
    /** Tells of every context that has a kernel (#CI_CAP_CONTEXTS). */
    ci_status (*contexts)(void *session, ci_context_cb context, void *user, ci_error **ret_error);
    /** Fills *ret_dirs. */
    ci_status (*host_dirs)(void *session, ci_host_dirs *ret_dirs, ci_error **ret_error);
    /** Reads a regular file from offset, length bytes at most. */
    ci_status (*file_get)(void *session, const char *path, uint64_t offset, uint64_t length, ci_op_write_cb write,
                          void *user, ci_op **ret_op, ci_error **ret_error);
    /** Writes a regular file, whole or not at all; missing folders are made. */
    ci_status (*file_put)(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                          ci_error **ret_error);
    /** One level of a folder, in byte order of names. */
    ci_status (*file_list)(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                           ci_error **ret_error);
    /** One entry; the last link is followed. */
    ci_status (*file_stat)(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                           ci_error **ret_error);
    /** A file, or a folder with all it holds; the last link is not followed. */
    ci_status (*file_remove)(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
    /** A folder and the missing ones above it; success when it is there. */
    ci_status (*file_mkdir)(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
    /** Everything below a folder, folders before what they hold, no link followed. */
    ci_status (*walk)(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user, ci_op **ret_op,
                      ci_error **ret_error);
    /** A number that is the same as last time only if nothing can have written a file since; 0: not known (default). */
    uint64_t (*activity)(void *session);
} ci_sandbox_ops;

/**
 * @brief Makes a sandbox object of a backend. Any thread; does not block.
 * @param ops the backend's table; copied.
 * @param impl its object; consumed on success.
 * @param[out] ret_sandbox the sandbox, the caller's; untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID (a required slot is missing), #CI_ERR_NOTSUP (a required bit this library does not
 * know), #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_new(const ci_sandbox_ops *ops, void *impl, ci_sandbox **ret_sandbox, ci_error **ret_error);

CI_END_DECLS

#endif
