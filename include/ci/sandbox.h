/**
 * @file ci/sandbox.h
 * @brief The place where a session runs: the local Linux sandbox, AWS Bedrock AgentCore Code Interpreter, or a
 * backend of your own (ci/sys/sandbox.h).
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
 * Options of ci_sandbox_agentcore_new(). Zero is the default of every field. What is not given here is read as AWS's
 * own clients do it: environment variables (`AWS_ENDPOINT_URL_BEDROCK_AGENTCORE`, `AWS_REGION`, `AWS_PROFILE`,
 * `AWS_ACCESS_KEY_ID`, `AWS_CA_BUNDLE`, `https_proxy`, …), then the profile in `~/.aws/config` and
 * `~/.aws/credentials`: "as set" below. Keys are looked for there when a session is first opened, and then with the
 * container or EC2 instance that the host runs in.
 */
typedef struct ci_sandbox_agentcore_options {
    size_t struct_size;        /**< sizeof(ci_sandbox_agentcore_options). */
    const char *interpreter;   /**< Id or ARN of the interpreter; NULL: AWS's own, "aws.codeinterpreter.v1". */
    const char *endpoint;      /**< "http(s)://HOST[:PORT][/PATH]"; NULL: as set, else AWS's own in the region. */
    const char *region;        /**< Overrides the ARN's. NULL: the ARN's, else as set; there is no default
                                        (#CI_ERR_INVALID). */
    const char *profile;       /**< Profile in the shared files, which then goes before keys in the environment; NULL:
                                        as set, else "default". */
    const char *access_key_id; /**< With secret_access_key: the keys to sign with. NULL: they are looked for. */
    const char *secret_access_key; /**< Its secret; wiped when the sandbox is freed. */
    const char *session_token;     /**< The token of temporary keys, beside both of them; NULL: none. */
    const char *ca_file;           /**< PEM file of those who may sign certificates; NULL: as set, else the system's. */
    const char *proxy;             /**< URL of an http, https or socks5h proxy; NULL: as set, else none. */
    const char *name;              /**< What the service calls sessions, which need not be unique: 1 to 100 of
                                        [A-Za-z0-9_-]; NULL: the session's id. */
    const char *runtime;           /**< What runs JavaScript and TypeScript, "nodejs" or "deno"; NULL: "nodejs". */
    const char *trace_id;          /**< Header X-Amzn-Trace-Id of every request but GetCodeInterpreterSession, 1,024
                                        bytes at most; NULL: none. */
    const char *trace_parent;      /**< Header traceparent, likewise. */
    uint64_t part_bytes;           /**< Of a file in one request, and of what a command or task prints in one answer:
                                        4 KiB at least, 64 MiB at most; 0: 4 MiB. A file's part takes about six times its
                                        size in memory while it is under way. */
    uint64_t event_bytes;          /**< The largest event taken, which is kept in memory until it is whole: a larger one
                                        is #CI_ERR_PROTOCOL. 0: 128 MiB, more than the service sends. */
    uint32_t session_timeout_s;    /**< Seconds after which the service ends a session, whatever it does, 28,800 at
                                        most; 0: the service's own, 900. */
    uint32_t attempts;           /**< How often a request is sent at most that may be repeated, 1: once; 0: 3. What ends
                                        a session is sent ten times at most, whatever is said here; what runs nothing
                                        and finds too many calls on its session, until its time is over, unless 1. */
    uint32_t connect_timeout_ms; /**< Until a connection stands; 0: 10 s. */
    uint32_t idle_timeout_ms;    /**< Without a byte either way, a request has failed; a run is as long without one as
                                        it prints nothing. 0: 16 minutes, since the service allows a run 15: what takes
                                        longer is a task. */
    int32_t network;             /**< What the interpreter's sessions reach, as it was made: #CI_NETWORK_NONE (SANDBOX,
                                        AWS's own too: no internet, though AWS may let it reach S3), #CI_NETWORK_INTERNET
                                        (PUBLIC), #CI_NETWORK_HOST (VPC). The service keeps it, not libci; the keys of an
                                        interpreter's execution role are within the code's reach in all three. Sessions
                                        that ask for another are refused. */
    int32_t keep_sessions;       /**< 1: closing leaves them, to be attached to (ci_session_options::attach_id), until
                                        their time is up, which is paid for. 0: closing ends them. */
    int32_t no_environment; /**< 1: read neither environment nor shared files. Where no keys are given, the instance is
                                        still asked. */
    uint32_t answer_timeout_ms; /**< idle_timeout_ms where nothing runs (files, tasks), never above it; all of an answer
                                        may take ten times as long. 0: 60 s, which is also what starting, looking for and
                                        ending a session may take in all. */
} ci_sandbox_agentcore_options;

/** Initializer for ::ci_sandbox_agentcore_options. */
#define CI_SANDBOX_AGENTCORE_OPTIONS_INIT                                                                             \
    {                                                                                                                 \
        sizeof(ci_sandbox_agentcore_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                                                        \
    }

/**
 * @brief Sessions in AWS Bedrock AgentCore Code Interpreter, or a service that speaks its protocol. No request is
 * sent before a session is opened; reads the shared files, else does not block.
 *
 * What the service lacks is refused by name (#CI_ERR_NOTSUP), or done by libci:
 *
 * - **Code** gives what it prints, in one piece at its end as the service has been seen to answer; there is no value
 * of the last expression (print it), and hardly an image. It cannot be interrupted: at a deadline, or cancelled, it
 * is given up, and goes on in the service until it ends. Later code of its language waits for it there: where it
 * never ends, open another session. Python's variables count as lost from then on, and are cleared before the next
 * code; both results say so (ci_result_state_lost()), unless the code's turn had not come. JavaScript's are what the
 * code leaves, and are not called lost. With #CI_SESSION_LEAVE_RUNNING it is left in peace, and the next call is
 * #CI_ERR_BUSY while it runs.
 * - There are Python, JavaScript and TypeScript, which is not checked, with one **context** each, of which Python's
 * alone can be cleared; no Bash cells. `env` and `cwd` are for commands alone: code with its own is refused, and the
 * session's `env` does not reach it.
 * - **Commands** keep stdout and stderr apart and end at their deadline; what they leave running ends with them:
 * start it as a task. One that was cancelled is killed by the session's next call that is not code, and else goes on
 * as long as the session. Seven run at once in a session, the others wait, each with its deadline.
 * - **Tasks** are known to the session that started them: who attaches to it cannot ask for them.
 * - **Files** above `part_bytes` go in parts. `/workspace` stands for the service's own root folder. A push of
 * everything leaves out the folders that the service has made there (`log`, `.ipython`), but for files that were
 * written into them by file operations: what code writes there is saved when the push names it.
 * - Limits, network rules, interpreters and packages of the host's are refused.
 *
 * Nothing that a session is asked for is repeated once it may have arrived there. Where it is not known whether code,
 * a command, a task's start or a removal has had its effect, the error is not retryable, and what had been printed is
 * kept (#CI_OUTCOME_LOST). Other operations on files and tasks come to the same when they are done twice: their
 * errors are retryable, and what the service refuses to do now (429, 503) is sent again, as what starts, looks for
 * and ends sessions is after every failure that may pass, with growing waits. A session whose time is up is
 * #CI_ERR_LOST. Throttling is #CI_ERR_BUSY and a quota #CI_ERR_LIMIT, both retryable: nothing was done. Keys that are
 * missing (#CI_ERR_NOTFOUND) or refused (#CI_ERR_PERMISSION) fail the opening of a session.
 *
 * Closing a session does not wait: the request that ends it goes out at once where a connection is free, and else
 * with later calls on any session of the sandbox; until then its time is paid for. Giving up the last share, which
 * may be a session's, waits up to 5 s for those still to be ended. One that a host left behind when it died ends when
 * its time is up. Connections are kept for the next request for a minute, as many as there were at once, 128 at most,
 * of about five descriptors each.
 * @param options copied; NULL: defaults.
 * @param[out] ret_sandbox the sandbox, the caller's; untouched on failure.
 * @param[out] ret_error why it failed, never with a secret in it; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID (an option, or what the environment or the shared files say), #CI_ERR_LIMIT (a shared
 * file is too large), #CI_ERR_PERMISSION, #CI_ERR_IO (one cannot be read), #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_sandbox_agentcore_new(const ci_sandbox_agentcore_options *options, ci_sandbox **ret_sandbox,
                                          ci_error **ret_error);

/**
 * @brief Another share of the sandbox, to be given up with its own ci_sandbox_free().
 * @param sandbox the sandbox.
 * @return the same pointer.
 * @since 0.1
 */
CI_API ci_sandbox *ci_sandbox_ref(ci_sandbox *sandbox);

/**
 * @brief Gives up the caller's share. With the last one the local sandbox's helper program ends. It is no child of the
 * host, unless the host is PID 1 or a sub-reaper (PR_SET_CHILD_SUBREAPER): then this waits until it has ended, some
 * milliseconds as a rule, and reaps it. For AgentCore's last one see ci_sandbox_agentcore_new().
 * @param sandbox the sandbox; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_sandbox_free(ci_sandbox *sandbox);

CI_END_DECLS

#endif
