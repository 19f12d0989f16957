/**
 * @file ci/sandbox.h
 * @brief The place where a session runs: the local Linux sandbox, or a backend of your own (ci/sys/sandbox.h).
 *
 * A sandbox object stands for a place that many sessions share: for the local one it is the helper program with its
 * ready-made interpreters. It is counted: every session that uses it holds it, and ci_sandbox_free() gives up only the
 * caller's share. Different threads may use one sandbox object at the same time.
 */
#ifndef CI_SANDBOX_H
#define CI_SANDBOX_H

#include <ci/call.h>

CI_BEGIN_DECLS

/** A place for sessions; opaque, counted. */
typedef struct ci_sandbox ci_sandbox;

/** Severity of a log message. */
enum {
    CI_LOG_ERROR = 1,   /**< Something failed that the host should know of. */
    CI_LOG_WARNING = 2, /**< Something works less well than it could. */
    CI_LOG_INFO = 3,    /**< Milestones: opened, closed, restarted. */
    CI_LOG_DEBUG = 4    /**< For those who look for a defect. */
};

/**
 * Gets log messages; libci never writes to a stream of its own accord. Runs in a thread that is inside a libci call,
 * with no lock held. `message` is one line without a newline and lives until the callback returns.
 */
typedef void (*ci_log_cb)(void *user, int32_t level, const char *domain, const char *message);

/** Options of ci_sandbox_local_new(). Zero is the default of every field. */
typedef struct ci_sandbox_local_options {
    size_t struct_size;     /**< sizeof(ci_sandbox_local_options). */
    const char *python;     /**< Interpreter: its absolute path (a virtual environment's is fine), that of a virtual
                                      environment's folder, or, without a slash, the name of an environment that
                                      `ci-env` has made, in .local/share/libci/environments of the home that the
                                      passwd file names; NULL: /usr/bin/python3. */
    const char *preload;    /**< Modules that kernels have imported when they start, by comma: "numpy,pandas";
                                      "data": numpy, pandas, matplotlib, scipy, scikit-learn as far as installed;
                                      "group:data": what that group of an environment of `ci-env` names; NULL: none
                                      but IPython; "none": not even that. One that cannot be imported is left
                                      out; ci_session_info() names those that a kernel has. */
    const char *helper_dir; /**< Folder of the helper program and kernels; NULL: beside the library, then the
                                      installed place. */
    const char *const *env; /**< "NAME=value" strings for the guest's environment, NULL-ended; NULL: none. */
    ci_log_cb log;          /**< Gets the sandbox's log messages; NULL: none. */
    void *log_user;         /**< Given to log. */
    const char *kernels;    /**< Languages by comma whose kernels are started when a session is made, not when code
                                      first asks for them: "javascript", "typescript" (the same kernel, its type
                                      checker too), "bash"; NULL: Python's, which always is. One that has not what
                                      it needs is left out with a warning. What a kernel costs, every session pays
                                      from its own limits, the one kept ready in advance as well: Node 55 MiB and
                                      8 threads, with the checker 175 MiB and 9. */
    /* Packages. **Code in a session can read whatever these hand in**, names, passwords and tokens in it included. */
    const char *pip_config; /**< A pip.conf for sessions, absolute path, read once, now, as all of these; NULL: none.
                                      Folders that its find-links and file: indexes name are shown read-only, as far as
                                      others may read them, eight at most, none of the system's or as wide as /home;
                                      files that it names (certificates, constraints) are copied. */
    const char *npm_config; /**< An .npmrc likewise; NULL: none. */
    const char *ca_file;    /**< Certificates (PEM) that programs in sessions trust besides the system's, by the usual
                                      variables and in /etc/ssl; NULL: none. */
    const char *package_cache; /**< A folder, absolute path, in which wheels are kept that sessions have installed:
                                      sessions read it, and only /usr/bin/python3's pip, outside, writes it, with what
                                      it downloads itself, by the host's configuration if host_packages is set; at most 1,000 wheels or 2 GiB.
                                      Sessions without a network or with network rules only read: what they install is
                                      not asked for outside. pip's packages alone, not npm's. Made when it is missing,
                                      not the folder above it; keep others from writing to it. Not beside pip_config
                                      (#CI_ERR_INVALID). NULL: none. */
    int32_t host_packages;     /**< 1: hand in the host's own configuration in effect, as `pip config list` of
                                      /usr/bin/python3, npm's files and the variables for proxies and certificates tell
                                      it, below the files above; takes about a second. 0: do not. */
    int32_t reserved;          /**< 0. */
} ci_sandbox_local_options;

/** Initializer for ::ci_sandbox_local_options. */
#define CI_SANDBOX_LOCAL_OPTIONS_INIT \
    { sizeof(ci_sandbox_local_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0 }

/**
 * @brief Makes a local sandbox: starts its helper program, which builds an interpreter to fork from. Does not wait for
 * the preload list; until that is ready, sessions start from a barer interpreter. Blocks for some milliseconds, longer
 * with options of packages.
 * @param options copied; NULL: defaults.
 * @param[out] ret_sandbox the sandbox, the caller's; untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_MISSING (helper program, interpreter or environment not found), #CI_ERR_MISMATCH,
 * #CI_ERR_PERMISSION (the system forbids namespaces; the hint names the remedy), #CI_ERR_INVALID (also a language that
 * `kernels` cannot name, an environment that `ci-env` has not finished, configuration of packages that cannot be read),
 * #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_local_new(const ci_sandbox_local_options *options, ci_sandbox **ret_sandbox,
                                      ci_error **ret_error);

/**
 * @brief Waits until the preload list is ready, so that the next session starts with it, and until a session is kept
 * ready whose kernels are, where they are asked for. Blocks for as long as imports and starts take.
 * @param sandbox the sandbox.
 * @param timeout_ms milliseconds; 0 or less: no limit.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_TIMEOUT; #CI_ERR_LOST. A backend with nothing to prepare is ready at once.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_prepare(ci_sandbox *sandbox, int64_t timeout_ms, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param sandbox the sandbox.
 * @param timeout_ms milliseconds; 0 or less: no limit.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_prepare_start(ci_sandbox *sandbox, int64_t timeout_ms, ci_call **ret_call,
                                          ci_error **ret_error);

/**
 * @brief Tells what this machine gives a local sandbox, what is missing and the remedy, as `ci-run --check` shows it.
 * Starts a sandbox of its own to try it. Blocks for up to a few seconds.
 * @param options as for ci_sandbox_local_new(); NULL: defaults.
 * @param[out] ret_report JSON, to be released with ci_free(): `{"ok": true, "checks": [{"name", "status": "ok" |
 * "warning" | "error", "detail", "remedy"?}]}`.
 * @param[out] ret_error why no report could be made; may be NULL.
 * @return #CI_OK when a report was made, whatever it says.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_local_check(const ci_sandbox_local_options *options, char **ret_report,
                                        ci_error **ret_error);

/**
 * @brief Another share of the sandbox, to be given up with its own ci_sandbox_free().
 * @param sandbox the sandbox.
 * @return the same pointer.
 * @since 0.1
 */
CI_API ci_sandbox *ci_sandbox_ref(ci_sandbox *sandbox);

/**
 * @brief Gives up the caller's share. With the last one the helper program ends. It is no child of the host, unless the
 * host is PID 1 or a sub-reaper (PR_SET_CHILD_SUBREAPER): then this waits until it has ended, some milliseconds as a
 * rule, and reaps it.
 * @param sandbox the sandbox; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_sandbox_free(ci_sandbox *sandbox);

CI_END_DECLS

#endif
