/**
 * @file ci/session.h
 * @brief Sessions, and running code and commands in them.
 *
 * A session is a sandbox in which variables and files persist from call to call. The five calls are ci_session_open(),
 * ci_execute_code(), ci_execute_command() (here), ci_file_op() (ci/files.h) and ci_push_to_workspace()
 * (ci/workspace.h); each has a `_start` companion (ci/call.h).
 *
 * **Threads**: different sessions are independent. Within a session, calls on one context run in the order of their
 * start; commands, other contexts, file operations, interrupt and close run beside them, from any thread. **Deadlines**
 * cover the whole call, waiting for its turn included: at the deadline the code is interrupted; after the grace time it
 * and what it started is killed; the call returns within a second after that whatever the code does, with outcome
 * #CI_OUTCOME_TIMEOUT, unless the code caught the interrupt and ended well. ci_session_options::timeout_ms holds for file
 * operations, pushes, transfers and the workspace too; those that have no result end with #CI_ERR_TIMEOUT, as what is
 * done to tasks and contexts does after a minute. ci_call_set_timeout() gives one call of any kind another deadline. **Forks**: after a fork(2) of the host the child
 * gets #CI_ERR_FORKED from every handle.
 */
#ifndef CI_SESSION_H
#define CI_SESSION_H

#include <ci/result.h>
#include <ci/sandbox.h>
#include <ci/storage.h>

CI_BEGIN_DECLS

/** What a session may reach. */
enum {
    CI_NETWORK_NONE = 0,     /**< Nothing: an empty network namespace, no resolver. */
    CI_NETWORK_INTERNET = 1, /**< The internet without the host's own, private or metadata addresses, narrowed or
                                  widened by ci_session_options::network_allow and network_deny. */
    CI_NETWORK_HOST = 2      /**< What the host reaches, the host itself included. */
};

/** Session flags. */
enum {
    CI_SESSION_NO_PRELOAD = 1 << 0,   /**< Uploads are not brought into the sandbox. */
    CI_SESSION_PRELOAD_ONCE = 1 << 1, /**< Uploads are brought in at opening only, not looked for before each call. */
    CI_SESSION_NO_UNPACK = 1 << 2,    /**< Archives stay files. */
    CI_SESSION_PUSH_EVERYTHING = 1 << 3, /**< No push skips a folder by name (`node_modules`, `__pycache__`, …);
                                              #CI_PUSH_EVERYTHING says it for one push. */
    CI_SESSION_LEAVE_RUNNING = 1 << 4    /**< Where the backend cannot interrupt: leave late code running (the next call
                                              gets #CI_ERR_BUSY) instead of ending it (state lost). */
};

/**
 * How far a preload or a push has come. What is known of the totals may grow, and shrink where a file need not be
 * transferred after all; what is done only grows. At the end done and total are equal.
 */
typedef struct ci_progress {
    size_t struct_size;   /**< sizeof(ci_progress) of the library. */
    const char *what;     /**< "preload" or "push"; lives as long as the library. */
    uint64_t files_done;  /**< Files that are finished with, well or not, unchanged ones among them. */
    uint64_t files_total; /**< Files known so far. */
    uint64_t bytes_done;  /**< Bytes transferred between workspace and sandbox. */
    uint64_t bytes_total; /**< Those and what is still to be transferred, as far as known. */
} ci_progress;

/** Initializer for ::ci_progress. */
#define CI_PROGRESS_INIT \
    { sizeof(ci_progress), NULL, 0, 0, 0, 0 }

/**
 * Options of ci_session_open(). Zero is the default of every field. Strings are copied.
 *
 * **Names and keys.** Names of the workspace are logical: each begins with a prefix that stands for keys of the storage.
 * "uploads/" and "code-interpreter/" are always there, and `prefixes` adds to them, so that a bucket laid out by others is
 * used as it is: `"documents/=office/{user}/"`. In key prefixes {user} and {session} are replaced by `user` and the
 * session's id, and a "/" is added at the end where there is none. No name leads to a key outside of them. What is below
 * a prefix of the host's own is listed, read, written and removed like the rest, and is not brought into the sandbox.
 * Key prefixes may lie within each other, or be the same: what is saved below that of the uploads then comes back as an
 * upload.
 *
 * **Rules** of network_allow and network_deny, which only #CI_NETWORK_INTERNET may have (else #CI_ERR_INVALID): `*`, all
 * that is public; `NAME`, that name; `*.NAME`, every name below it, not itself; an address or CIDR, IPv4 or IPv6. Each may
 * end in a port or a range of ports: `example.org:443`, `10.0.0.0/8:5432`, `[2001:db8::]/32:80-90`, `*:443`. A deny rule wins
 * over an allow rule. Names are compared label by label, without case; other letters are written as `xn--…`; with a port an
 * IPv6 address stands in brackets. At most 1,024 rules a list; what is none (a URL, a list with commas) fails the opening
 * with #CI_ERR_INVALID, which names list and rule.
 *
 * Private, link-local and other special addresses, those of the host among them, are reached only where a rule has the
 * address or a CIDR around it, never by a name's rule; a CIDR opens every special address in it, metadata services too.
 * 127.0.0.1 and ::1 are always the session's own. An allowed name opens every site on its address. A denied name does not
 * resolve, but code that has its address still connects: to close a service, deny its addresses, or allow only what is
 * needed. Exact names keep data from leaving in the labels of questions, `*.NAME` does not.
 *
 * TCP and UDP alone leave the session, no ping; names have A and AAAA records alone. What was refused, results tell
 * (ci_result_refusal()).
 */
typedef struct ci_session_options {
    size_t struct_size;        /**< sizeof(ci_session_options). */
    ci_sandbox *sandbox;       /**< Where to run; NULL: a local sandbox of the session's own. A host that opens
                                       more than one session makes one to share: what takes time is done once. */
    ci_storage *storage;       /**< The workspace; NULL: workspace_dir. */
    const char *workspace_dir; /**< A folder as workspace when storage is NULL; NULL too: no workspace. */
    const char *session_id;    /**< 1 to 64 of [A-Za-z0-9_-]; names the session's part of the workspace. NULL: a random
                                       id, and the workspace's root, which such sessions share. */
    const char *python;     /**< Interpreter, when not the sandbox's own, as in ::ci_sandbox_local_options; with rootfs
                                       its path there. */
    const char *host_dir;   /**< A host folder to be the sandbox root instead of a tmpfs of its own. */
    const char *rootfs;     /**< A folder with a whole system to run on instead of the host's /usr; its Python 3.9 or
                                     later, at python's path inside, runs the session. What the session writes to it goes
                                     to a layer of its own, as large as workspace_bytes; the folder stays as it was. A
                                     root host needs Linux 5.19 for it. */
    const char *const *env; /**< "NAME=value" strings for every call, NULL-ended. */
    const char *uploads_prefix; /**< Key prefix of uploads, {user} and {session} replaced; NULL: "uploads/", below the
                                       session's id when one is given. */
    const char *output_prefix;  /**< Key prefix of what is saved; NULL: "code-interpreter/", likewise. */
    const char *user;           /**< For {user}; same characters as an id. */
    uint64_t memory_bytes;      /**< Memory of all processes; 0: 2 GiB. */
    uint64_t workspace_bytes;   /**< Size of the sandbox root, the home folder and /tmp together; 0: 4 GiB. Unless the
                                       root is a host_dir it is memory: of the host; where a control group keeps
                                       memory_bytes, of the session, which then gives files no more than leaves an eighth
                                       of it to processes (`filesBytes` in ci_session_info()). */
    uint64_t workspace_inodes;  /**< Files and folders in it; 0: 1,000,000. */
    uint64_t archive_bytes;     /**< Bytes unpacked from one archive; 0: 2 GiB. */
    uint64_t stream_bytes;      /**< Bytes of stdout and of stderr that a result keeps; 0: 1 MiB. */
    int64_t timeout_ms; /**< Deadline of calls that name none, milliseconds; 0: none. No time here may be negative. */
    int64_t grace_ms;   /**< From interrupt to kill, milliseconds; 0: 1000. */
    int64_t open_timeout_ms;      /**< For opening itself; 0: 60,000. */
    uint32_t process_count;       /**< Processes and threads; 0: 256. */
    uint32_t open_file_count;     /**< Descriptors a process may have; 0: 4,096. */
    uint32_t archive_entry_count; /**< Entries of one archive; 0: 100,000. */
    uint32_t archive_ratio;       /**< Bytes out for each byte in, beyond the first 100 MiB; 0: 200. */
    int32_t network;              /**< A `CI_NETWORK_` value. */
    uint32_t flags;               /**< `CI_SESSION_` flags. */
    ci_log_cb log;                /**< Gets log messages of the session. */
    void *log_user;               /**< Given to log. */
    void (*trace)(void *user, const char *event, int64_t duration_us); /**< Gets "open", "execute", "preload", … when
                                                                            each ends, with its duration. */
    void *trace_user;                                                  /**< Given to trace. */
    const char *const *network_allow; /**< Rules of what #CI_NETWORK_INTERNET reaches, NULL-ended; NULL: all that is
                                           public; an empty list: nothing. Names outside it do not resolve. Fixed for
                                           the session's life. */
    const char *const *network_deny;  /**< Rules of what it does not, NULL-ended; they win. NULL: none. */
    const char *const
        *prefixes;        /**< More prefixes of the workspace's names, "NAME/=KEY PREFIX/" each, NULL-ended; NULL:
                                      none. No name may be another's, or begin with it (else #CI_ERR_INVALID). */
    const char *manifest; /**< ci_push_options::manifest of every push that names none; NULL: none. */
    void (*progress)(void *user, const ci_progress *progress); /**< Gets how far a preload or a push has come, within a
                                      call, from the thread inside it: about ten times a second at most, and once at the
                                      end of one that transferred something. With several calls at once, from several
                                      threads. */
    void *progress_user;                                       /**< Given to progress. */
    const char *attach_id; /**< A session that the sandbox's backend still has, by its own id (`sandbox.sessionId` of
                                ci_session_info()), of the same interpreter and region: its files and variables are
                                there again, its tasks go on unknown to this one. Closing ends it like any other. Where
                                it is over: #CI_ERR_LOST or #CI_ERR_NOTFOUND; where the backend keeps none:
                                #CI_ERR_NOTSUP; no id: #CI_ERR_INVALID. NULL: a new one. */
} ci_session_options;

/** Initializer for ::ci_session_options. */
#define CI_SESSION_OPTIONS_INIT                                                                                      \
    {                                                                                                                \
        sizeof(ci_session_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, \
            0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL              \
    }

/** What a run's callback gets. */
enum {
    CI_EVENT_STDOUT = 1, /**< Bytes of standard output, never cut inside a UTF-8 character. */
    CI_EVENT_STDERR = 2, /**< Bytes of standard error, likewise. */
    CI_EVENT_ITEM = 3    /**< A whole rich item; mime_type says what. */
};

/**
 * Gets output as it is produced. `data` lives until the callback returns; mime_type is NULL but for #CI_EVENT_ITEM.
 * It may call ci_call_interrupt(), ci_call_cancel() and ci_session_interrupt(); for the rest see ci/call.h. A return
 * other than 0 stops further callbacks, not the run.
 */
typedef int32_t (*ci_output_cb)(void *user, int32_t event, const char *mime_type, const void *data, size_t size);

/** Flags of a run. */
enum {
    CI_RUN_LIST_CHANGES = 1 << 0, /**< List what the run created, changed and deleted (#CI_FILES_CHANGES). */
    CI_RUN_SPILL_OUTPUT = 1 << 1, /**< Write the whole of a truncated stream to a file in the sandbox root, listed under
                                        #CI_FILES_MAIN. */
    CI_RUN_BACKGROUND = 1 << 2,   /**< Commands only: return at once with a task (ci_result_task_id()). */
    CI_RUN_NO_TYPECHECK = 1 << 3, /**< TypeScript only: types are not checked; syntax is. */
    CI_RUN_CLEAR_CONTEXT = 1 << 4 /**< Code only: first clear the context, as ci_context_clear() does. */
};

/** Options of a run. Zero is the default of every field. Strings are copied. */
typedef struct ci_run_options {
    size_t struct_size;   /**< sizeof(ci_run_options). */
    const char *language; /**< Code only: "python", "javascript", "typescript", "bash"; NULL: "python". The second and
                                      third need Node 18 or later where the session runs, and the third a libci that
                                      was built with TypeScript (README.md); the last bash 4.4 or later and python3.
                                      #CI_ERR_NOTSUP says what is missing. */
    const char *context;  /**< Code only: the kernel to run in, same characters as an id; NULL: the language's
                                      own. */
    const char *output_filename; /**< A file the run makes, saved to the workspace afterwards; NULL or "": none. */
    const char *cwd;        /**< Working folder for this call, relative to the sandbox root; NULL: the kernel's own,
                                      for a command the root. */
    const char *const *env; /**< "NAME=value" strings added for this call, NULL-ended. */
    int64_t timeout_ms;     /**< Deadline in milliseconds; 0: the session's; negative: none. */
    uint64_t stream_bytes;  /**< Bytes of stdout and of stderr that the result keeps; 0: the session's. */
    ci_output_cb output;    /**< Gets output as it comes; NULL: none. */
    void *output_user;      /**< Given to output. */
    uint32_t flags;         /**< `CI_RUN_` flags. */
    int32_t reserved;       /**< 0. */
} ci_run_options;

/** Initializer for ::ci_run_options. */
#define CI_RUN_OPTIONS_INIT \
    { sizeof(ci_run_options), NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, 0, 0 }

/**
 * @brief Opens a session: a sandbox with its kernels, its root folder, and the workspace's uploads in it. Blocks until
 * it is ready, milliseconds as a rule, for as long as uploads take to arrive.
 * @param options copied; NULL: a local sandbox with all defaults and no workspace.
 * @param[out] ret_session the session, the caller's, to be closed with ci_session_close(); untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID (an option), #CI_ERR_BUSY (a live session has that id on that storage),
 * #CI_ERR_PERMISSION and #CI_ERR_MISSING (what the machine lacks; the hint names the remedy), #CI_ERR_NOTSUP,
 * #CI_ERR_TIMEOUT, #CI_ERR_LOST, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_session_open(const ci_session_options *options, ci_session **ret_session, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose session is taken with ci_call_take_session().
 * @param options copied; NULL: defaults.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_session_open_start(const ci_session_options *options, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Ends the session: its processes, its files, its sandbox root. Calls that run in other threads end with
 * #CI_ERR_CLOSED. From any thread; does not wait for the processes' end, but for what ci_sandbox_free() may wait for
 * where the sandbox is the session's own. The handle lives on until every call on it was freed, so that closing is safe
 * while another thread is inside one.
 * @param session the session, which the caller gives up; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_session_close(ci_session *session);

/**
 * @brief Ends the session as ci_session_close() does, but keeps the caller's handle, every use of which then gets
 * #CI_ERR_CLOSED: for a thread that closes what others still use. Shutting down twice is fine.
 * @param session the session.
 * @return #CI_OK.
 * @since 0.1
 */
CI_API ci_status ci_session_shutdown(ci_session *session);

/**
 * @brief Runs code in a kernel that keeps its state. Blocks until the result is complete.
 * @param session the session.
 * @param code UTF-8 text; copied.
 * @param code_size bytes; SIZE_MAX: code is NUL-ended.
 * @param options NULL: Python, all defaults.
 * @param[out] ret_result the result, the caller's; untouched on failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK whenever there is a result, also for code that failed; #CI_ERR_INVALID, #CI_ERR_NOTSUP (a language or
 * flag), #CI_ERR_BUSY, #CI_ERR_CLOSED, #CI_ERR_LOST, #CI_ERR_FORKED, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_execute_code(ci_session *session, const char *code, size_t code_size, const ci_run_options *options,
                                 ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session the session.
 * @param code,code_size,options as for ci_execute_code(), copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_execute_code_start(ci_session *session, const char *code, size_t code_size,
                                       const ci_run_options *options, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Runs a shell command (`bash -c`, where there is no bash `sh -c`) in the sandbox root, its standard input at
 * end-of-file. Returns when the shell has ended; what it left running becomes a task (ci_result_task_id()). Blocks.
 * @param session the session.
 * @param command NUL-ended; copied.
 * @param options NULL: all defaults.
 * @param[out] ret_result the result, the caller's; untouched on failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return as ci_execute_code().
 * @since 0.1
 */
CI_API ci_status ci_execute_command(ci_session *session, const char *command, const ci_run_options *options,
                                    ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session the session.
 * @param command,options as for ci_execute_command(), copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_execute_command_start(ci_session *session, const char *command, const ci_run_options *options,
                                          ci_call **ret_call, ci_error **ret_error);

/**
 * @brief What a task printed since the last poll, whether it runs, and its exit code once its leader has ended. Blocks
 * for a round trip. A UTF-8 character that has begun comes whole with a later poll.
 * @param session the session.
 * @param task_id from ci_result_task_id().
 * @param[out] ret_result the result, the caller's; ci_result_task_running() tells whether to poll again.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTFOUND when there is no such task, or its end has been polled before; #CI_ERR_NOTSUP (no
 * background tasks), #CI_ERR_TIMEOUT, #CI_ERR_CLOSED, #CI_ERR_LOST, #CI_ERR_FORKED, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_task_poll(ci_session *session, uint64_t task_id, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session,task_id as for ci_task_poll().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_task_poll_start(ci_session *session, uint64_t task_id, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Kills every process of a task and tells what it had printed since the last poll. Blocks for a round trip.
 * @param session the session.
 * @param task_id from ci_result_task_id().
 * @param[out] ret_result the result, the caller's.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return as ci_task_poll().
 * @since 0.1
 */
CI_API ci_status ci_task_stop(ci_session *session, uint64_t task_id, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session,task_id as for ci_task_stop().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_task_stop_start(ci_session *session, uint64_t task_id, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Interrupts every code and command that the session is running now (ci_call_interrupt() for each), tasks not
 * included. From any thread; does not block.
 * @param session the session.
 * @return #CI_OK, also when nothing runs; #CI_ERR_NOTSUP; #CI_ERR_CLOSED.
 * @since 0.1
 */
CI_API ci_status ci_session_interrupt(ci_session *session);

/**
 * @brief The session's id: the one given, or the random one.
 * @param session the session.
 * @return a string that lives as long as the session.
 * @since 0.1
 */
CI_API const char *ci_session_id(const ci_session *session);

/**
 * @brief What the session's backend can do, as `CI_CAP_` bits (ci/sys/sandbox.h).
 * @param session the session.
 * @return the bits.
 * @since 0.1
 */
CI_API uint64_t ci_session_capabilities(const ci_session *session);

/**
 * @brief All about the session as JSON: `{"id", "backend", "root", "network": {"mode", "meaning", "allow", "deny"},
 * "limits": {"memoryBytes", "processes", "workspaceBytes", "workspaceInodes": {"value", "kept"}}, "workspace": {"storage",
 * "where", "blocking", "uploadsPrefix", "outputPrefix", "prefixes": {name: key prefix}} or null, "capabilities": [names], "sandbox": {…}}`. `allow` and
 * `deny`, the rules or null, are there for the mode "internet". `sandbox` is what the backend says of itself: the local
 * one by what limits are kept, how large its files may become (`filesBytes`), its interpreter, its kernels and what they
 * had imported; AgentCore's by `sessionId`, `interpreter`, `region`, `endpoint`, `runtime`, `network`, `root` and `attached`. Blocks for a round trip at most.
 * @param session the session.
 * @param[out] ret_json the text, to be released with ci_free(); untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID, #CI_ERR_CLOSED, #CI_ERR_FORKED, #CI_ERR_NOMEM, and what the backend fails with.
 * @since 0.1
 */
CI_API ci_status ci_session_info(ci_session *session, char **ret_json, ci_error **ret_error);

/**
 * @brief What became of the uploads at opening: a result whose #CI_FILES_PRELOAD list tells each. Does not block.
 * @param session the session.
 * @param[out] ret_result the result, the caller's.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK or #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_session_preload_report(ci_session *session, ci_result **ret_result, ci_error **ret_error);

CI_END_DECLS

#endif
