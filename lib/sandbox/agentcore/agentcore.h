/* The parts of the AgentCore backend share this.
 *
 *     cii_agentcore            the sandbox object: connections, credentials, where the service answers
 *       cii_agentcore_session  a session of the service, its root folder, its tasks, what is left to be tidied up in it
 *         cii_agentcore_op     one operation: a lane of its own, the identity it signs with, a step function
 *           cii_agentcore_call   one signed request, and the events of its answer
 *           cii_agentcore_probe  a call of probe.py, which does in the session what the service has no tool for
 *
 * Threads: an op is driven by one at a time, sessions and the sandbox object by any, each under its own lock, of which none is held
 * while another is taken or anything waits. An op ends before its session is closed, but for those that end sessions, which the
 * sandbox object keeps. What is not said to be under a lock is fixed once the object is made.
 *
 * A step starts a call (call_start, probe_begin) or looks for what became of it (call_result, probe_step), and says by `busy` that
 * it is to be called again at once, or by `wait_fd` what it waits for besides its lane. The probe's protocol: see probe.py.
 *
 * An Invoke is not repeated once it may have arrived; one that runs a user's code is sent once, whatever becomes of it, others are
 * sent again when they were refused. */
#ifndef CII_SANDBOX_AGENTCORE_H
#define CII_SANDBOX_AGENTCORE_H

#include <pthread.h>
#include <stdatomic.h>

#include <ci/sys/sandbox.h>

#include "aws/call.h"
#include "aws/endpoint.h"
#include "aws/http.h"
#include "aws/rest_json.h"
#include "base/json.h"
#include "os/turns.h"

#define CII_AGENTCORE_DOMAIN "agentcore"
#define CII_AGENTCORE_ID_MAX 40
#define CII_AGENTCORE_TASK_ID_MAX 64
#define CII_AGENTCORE_NONCE_MAX 27
/* At once in a session: the service refuses what comes beside ten, code of two languages may run too, and what kills commands that
 * were given up is to find room. */
#define CII_AGENTCORE_COMMANDS_MAX 7
#define CII_AGENTCORE_LITTER_MAX 4096 /* bytes of nonces that are known */

/* --- the sandbox object -------------------------------------------------------------------------------------------- */

typedef struct cii_agentcore_op cii_agentcore_op;

typedef struct cii_agentcore {
    cii_http_pool *pool;
    cii_aws_settings *settings;
    cii_aws_http *http; /* how credentials are asked for */
    cii_aws_credentials *credentials;
    cii_aws_endpoint endpoint;
    cii_sigv4 *signer;
    char *region;
    char *interpreter; /* id or ARN */
    char *path;        /* what every operation's path begins with, as it is sent */
    char *name;        /* of sessions; NULL: their own id */
    char *runtime;
    char *trace_id; /* NULL: none */
    char *trace_parent;
    uint64_t part_bytes;
    size_t event_bytes;
    uint32_t session_timeout_s; /* 0: the service's own */
    uint32_t attempts;
    uint32_t answer_ms; /* how long what runs no code may be without a byte */
    int32_t network;
    bool keeps_sessions;
    _Atomic int64_t clock_ahead_s; /* the service's before ours */

    pthread_mutex_t lock;    /* of what follows; held for some instructions at a time */
    cii_agentcore_op *stops; /* requests that end sessions, under way */
} cii_agentcore;

/* --- requests' bodies (request.c): JSON, malloc'd; NULL without memory ------------------------------------------------- */

typedef struct cii_agentcore_code {
    const char *text;
    size_t text_size;
    const char *language;
    const char *runtime; /* NULL: none is named */
    bool clear_context;
} cii_agentcore_code;

char *cii_agentcore_body_start(const char *name, uint32_t timeout_s, const char *client_token, size_t *ret_size);
char *cii_agentcore_body_stop(const char *client_token, size_t *ret_size);
char *cii_agentcore_body_code(const cii_agentcore_code *code, size_t *ret_size);
/* tool: "executeCommand" or "startCommandExecution". */
char *cii_agentcore_body_command(const char *tool, const char *command, size_t *ret_size);
/* tool: "getTask" or "stopTask". */
char *cii_agentcore_body_task(const char *tool, const char *task_id, size_t *ret_size);
/* One file, its bytes in base64. */
char *cii_agentcore_body_write(const char *path, const void *data, size_t data_size, size_t *ret_size);
/* A version 4 UUID. */
ci_status cii_agentcore_uuid(char ret_uuid[37], ci_error **ret_error);

/* --- answers (answer.c) ------------------------------------------------------------------------------------------------- */

/* A `result` event. Texts lie in its payload. */
typedef struct cii_agentcore_result {
    cii_json *root;
    const char *out, *err; /* never NULL */
    size_t out_size, err_size;
    const char *message; /* the first text of the content; NULL: none */
    size_t message_size;
    const char *task_id;     /* NULL: it does not say */
    const char *task_status; /* likewise */
    double seconds;          /* of execution; negative: it does not say */
    int32_t exit_code;
    bool has_streams; /* out or err was there, empty perhaps */
    bool has_exit_code;
    bool is_error;
} cii_agentcore_result;

/* Reads it where it lies. CI_ERR_PROTOCOL: not what a result looks like. */
ci_status cii_agentcore_result_read(char *payload, size_t size, cii_agentcore_result *ret_result, ci_error **ret_error);
void cii_agentcore_result_free(cii_agentcore_result *result);
#define CII_AGENTCORE_WORDS_MAX 400
/* Words of the service or a session as an error may tell them: one line of whole characters, "" when a secret is in it. text is
 * NUL-ended behind size bytes. */
void cii_agentcore_words(const cii_aws_keys *keys, const char *text, size_t size,
                         char ret_words[CII_AGENTCORE_WORDS_MAX]);
/* CI_ERR_INVALID with the service's words: a tool has not done what was asked. */
ci_status cii_agentcore_tool_check(const cii_agentcore_result *result, const cii_aws_keys *keys, ci_error **ret_error);
/* The same, as the callback of a call whose user is its cii_agentcore_op. */
ci_status cii_agentcore_on_tool(void *op, const cii_agentcore_result *result, ci_error **ret_error);
/* Hands on, once, the content's images and other things that have bytes; what is damaged is left out and counted. */
void cii_agentcore_result_items(const cii_agentcore_result *result,
                                void (*item)(void *user, const char *mime_type, const void *data, size_t size),
                                void *user, uint32_t *dropped_count);
/* What an exception's traceback comes to: "NameError" and "name 'x' is not defined"; both malloc'd, NULL when it does not
 * look like one. Colours are left out. */
ci_status cii_agentcore_exception(const char *traceback, size_t size, char **ret_name, char **ret_message);

/* --- lines of the probe (lines.c) --------------------------------------------------------------------------------------- */

#define CII_AGENTCORE_FIELDS_MAX 8

/* One line: a letter, and fields, which are base64 or numbers; NULL beyond those that came. */
typedef struct cii_agentcore_line {
    char tag;
    const char *fields[CII_AGENTCORE_FIELDS_MAX];
} cii_agentcore_line;

typedef ci_status (*cii_agentcore_line_cb)(void *user, const cii_agentcore_line *line, ci_error **ret_error);

typedef struct cii_agentcore_lines {
    char nonce[CII_AGENTCORE_NONCE_MAX];
    cii_buf rest;   /* of a line that has begun */
    uint64_t bytes; /* that have come */
    bool begun, ended;
} cii_agentcore_lines;

void cii_agentcore_lines_init(cii_agentcore_lines *lines, const char *nonce);
void cii_agentcore_lines_free(cii_agentcore_lines *lines);
/* Bytes as they come, cut anywhere, with the line ends of a terminal or without. What comes before "ci:NONCE" and after the
 * line "." is skipped. CI_ERR_PROTOCOL: a line that is none, or more than any answer has. */
ci_status cii_agentcore_lines_feed(cii_agentcore_lines *lines, const char *data, size_t size,
                                   cii_agentcore_line_cb line, void *user, ci_error **ret_error);
/* Reading fields: false when it is not one. */
bool cii_agentcore_field_int(const cii_agentcore_line *line, size_t at, int64_t *ret_number);
/* Bytes of base64, appended. */
ci_status cii_agentcore_field_bytes(const cii_agentcore_line *line, size_t at, cii_buf *to, ci_error **ret_error);

/* --- sessions ----------------------------------------------------------------------------------------------------------- */

typedef struct cii_agentcore_task {
    struct cii_agentcore_task *next;
    uint64_t number; /* as libci calls it */
    char id[CII_AGENTCORE_TASK_ID_MAX + 1];
    char nonce[CII_AGENTCORE_NONCE_MAX];
    uint64_t taken[2]; /* of stdout and stderr; who has the turn of its polls */
    bool ended;
} cii_agentcore_task;

typedef struct cii_agentcore_session {
    cii_agentcore *core;
    char id[CII_AGENTCORE_ID_MAX + 1];
    char *root; /* the working folder of commands, where files' paths begin */
    char **own; /* folders in it that are the service's, for files put into them, NULL-ended */
    size_t own_count;
    char **env; /* of every command */
    bool is_attached;
    atomic_bool closed;
    cii_turns turns; /* of code, by language; of polls, by task */
    cii_turns commands;

    pthread_mutex_t lock; /* of what follows */
    cii_agentcore_task *tasks;
    uint64_t task_count; /* that there ever were */
    cii_buf litter; /* nonces, each with a "," before: what given-up operations have left; with ",-": runs that ended */
    bool python_is_lost; /* code was given up: the context is cleared before the next */
} cii_agentcore_session;

void cii_agentcore_session_free(cii_agentcore_session *session);
/* An operation with that nonce was given up: what it runs or has written is ended with the next probe. */
void cii_agentcore_litter(cii_agentcore_session *session, const char *nonce);
/* A run with that nonce has ended: the files that it was read from are removed with the next probe. */
void cii_agentcore_forget(cii_agentcore_session *session, const char *nonce);
/* What there is, for a probe to take along; and what it did not come to. */
void cii_agentcore_litter_take(cii_agentcore_session *session, cii_buf *ret_litter);
void cii_agentcore_litter_put_back(cii_agentcore_session *session, cii_buf *litter); /* before what came since */
/* The request's own path as the file tools and the probe take it: relative to the root, or absolute. malloc'd. */
ci_status cii_agentcore_path(const cii_agentcore_session *session, const char *path, char **ret_path,
                             ci_error **ret_error);

ci_status cii_agentcore_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                             ci_error **ret_error);
ci_status cii_agentcore_attach(void *impl, const char *backend_id, const ci_sandbox_request *request,
                               void **ret_session, ci_op **ret_op, ci_error **ret_error);
void cii_agentcore_shutdown(void *session);
void cii_agentcore_close(void *session);
ci_status cii_agentcore_info(void *session, char **ret_json, ci_error **ret_error);
/* Takes part in ending sessions: what can be done at once. */
void cii_agentcore_stops_step(cii_agentcore *core);
/* Waits until all are ended, for so long at most. */
void cii_agentcore_stops_wait(cii_agentcore *core, int64_t timeout_ms);

/* --- calls (call.c) ------------------------------------------------------------------------------------------------------- */

typedef enum cii_agentcore_operation {
    CII_AGENTCORE_START,
    CII_AGENTCORE_INVOKE,
    CII_AGENTCORE_GET,
    CII_AGENTCORE_STOP,
} cii_agentcore_operation;

typedef ci_status (*cii_agentcore_result_cb)(void *user, const cii_agentcore_result *result, ci_error **ret_error);

typedef struct cii_agentcore_call {
    /* What is asked. */
    cii_agentcore_operation operation;
    char session_id[CII_AGENTCORE_ID_MAX + 1];
    char *body; /* the call's */
    size_t body_bytes;
    bool once;                      /* an Invoke: never sent again, not even when it was refused */
    bool is_run;                    /* of a user's code or command, which may print nothing for long */
    cii_agentcore_result_cb result; /* of an Invoke: gets each */
    void *user;

    /* Inside call.c. */
    cii_agentcore_op *op;
    cii_http_exchange *exchange;
    cii_event_stream *stream;
    uint64_t result_count;
    ci_error *refused;      /* within the answer */
    bool was_refused;       /* the last Invoke: it has done nothing */
    uint32_t failure_count; /* of an Invoke, but those without room */
    char body_hash[65];
    cii_aws_call aws;
    cii_buf path;
} cii_agentcore_call;

/* Consumes body, NULL when memory was short. The request goes out with the op's next round. */
ci_status cii_agentcore_call_start(cii_agentcore_op *op, cii_agentcore_operation operation, const char *session_id,
                                   char *body, size_t body_bytes, ci_error **ret_error);
/* 1 answered well, 0 not yet, negative. After 1 the body of the answer, but an Invoke's, is there until the next start. */
int32_t cii_agentcore_call_result(cii_agentcore_op *op, ci_error **ret_error);
const cii_http_response *cii_agentcore_call_response(const cii_agentcore_op *op);
void cii_agentcore_call_free(cii_agentcore_call *call);

/* --- operations (op.c) ---------------------------------------------------------------------------------------------------- */

struct cii_agentcore_op {
    ci_op op; /* first, so that the library's pointer is ours */
    cii_agentcore *core;
    cii_agentcore_session *session; /* NULL: it has none yet, or none any more */
    const char *what;               /* for errors: "open" */
    /* Goes on: 1 done, 0 not yet, negative. Called with an identity, after the lane was processed. */
    int32_t (*step)(cii_agentcore_op *op, ci_error **ret_error);
    void (*release)(cii_agentcore_op *op); /* NULL: nothing of its own */
    cii_aws_login login;
    cii_http_lane *lane;
    cii_agentcore_call call;
    bool busy;     /* there is more to do at once */
    int wait_fd;   /* of a turn that is waited for; -1: none */
    bool confirms; /* whether the session lives is being asked, because of: */
    ci_error *doubt;
    cii_agentcore_op *next; /* of those that end sessions */
};

/* size: of the struct that begins with an op. NULL ops: those that cannot be interrupted. NULL with the error. */
void *cii_agentcore_op_new(size_t size, cii_agentcore *core, cii_agentcore_session *session, const char *what,
                           ci_status *ret_status, ci_error **ret_error);
extern const ci_op_ops cii_agentcore_op_ops;
int32_t cii_agentcore_op_fd(ci_op *op);
int32_t cii_agentcore_op_process(ci_op *op, ci_error **ret_error);
void cii_agentcore_op_free(ci_op *op);
/* Whether the answer to a GET says that the session can be used: 1, 0, or CI_ERR_NOMEM. */
int32_t cii_agentcore_op_is_ready(const cii_agentcore_op *op, ci_error **ret_error);

/* --- probes (probe.c) ----------------------------------------------------------------------------------------------------- */

typedef struct cii_agentcore_probe {
    const char *tool; /* "executeCommand", or that which starts a task */
    const char *operation;
    bool once, is_run;          /* as of the call */
    cii_agentcore_line_cb line; /* NULL: none is expected */
    void *user;
    char nonce[CII_AGENTCORE_NONCE_MAX];

    /* What came of it. */
    char task_id[CII_AGENTCORE_TASK_ID_MAX + 1]; /* "": it started none */
    double seconds;

    /* Inside probe.c. */
    enum { CII_AGENTCORE_PROBE_NEW, CII_AGENTCORE_PROBE_ARGS, CII_AGENTCORE_PROBE_RUN } stage;
    cii_agentcore_session *session; /* whose litter it takes along */
    bool has_file;                  /* of arguments, which the script removes when it begins */
    cii_buf litter;                 /* until it is known to be gone */
    cii_buf args;                   /* " ARG ARG", each in base64 */
    cii_agentcore_lines lines;
    cii_buf words; /* what came instead of lines, its beginning */
    ci_status status;
    ci_error *error;
    bool has_failed; /* the tool says so */
    bool lacks_memory;
} cii_agentcore_probe;

/* Clears what was, and takes a new nonce. */
ci_status cii_agentcore_probe_begin(cii_agentcore_probe *probe, const char *operation, cii_agentcore_line_cb line,
                                    void *user, ci_error **ret_error);
/* Adding fails with the step. */
void cii_agentcore_probe_bytes(cii_agentcore_probe *probe, const void *data, size_t size);
void cii_agentcore_probe_text(cii_agentcore_probe *probe, const char *text);
void cii_agentcore_probe_int(cii_agentcore_probe *probe, int64_t number);
/* 1 when its lines have come, 0, negative; an errno that the probe met is a failure with its status. */
int32_t cii_agentcore_probe_step(cii_agentcore_op *op, cii_agentcore_probe *probe, ci_error **ret_error);
/* Whether what it runs may have begun. */
bool cii_agentcore_probe_may_run(const cii_agentcore_op *op, const cii_agentcore_probe *probe);
void cii_agentcore_probe_free(cii_agentcore_probe *probe);

/* --- runs and files ----------------------------------------------------------------------------------------------------- */

ci_status cii_agentcore_run(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                            ci_error **ret_error);
/* What a command's text runs in: the probe's last arguments. */
void cii_agentcore_probe_command(cii_agentcore_probe *probe, const cii_agentcore_session *session, const char *cwd,
                                 const ci_run_request *request);
/* code.c, command.c, task.c: the kinds of run. */
ci_status cii_agentcore_run_code(cii_agentcore_session *session, const ci_run_request *request, const ci_sink *sink,
                                 ci_op **ret_op, ci_error **ret_error);
ci_status cii_agentcore_run_command(cii_agentcore_session *session, const ci_run_request *request, const ci_sink *sink,
                                    ci_op **ret_op, ci_error **ret_error);
/* The answer of a run that has begun broke off: 1 when it was told as lost, with what it had printed; else the status. */
int32_t cii_agentcore_run_lost(const ci_sink *sink, ci_run_outcome *outcome, int32_t status, const ci_error *error);
/* Says in a run's output that so many bytes of it, unless there are none, are not there. */
void cii_agentcore_run_gap(const ci_sink *sink, int32_t stream, uint64_t bytes);
ci_status cii_agentcore_run_task(cii_agentcore_session *session, const ci_run_request *request, const ci_sink *sink,
                                 ci_op **ret_op, ci_error **ret_error);

ci_status cii_agentcore_file_get(void *session, const char *path, uint64_t offset, uint64_t length,
                                 ci_op_write_cb write, void *user, ci_op **ret_op, ci_error **ret_error);
ci_status cii_agentcore_file_put(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                                 ci_error **ret_error);
ci_status cii_agentcore_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                  ci_error **ret_error);
ci_status cii_agentcore_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                  ci_error **ret_error);
ci_status cii_agentcore_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
ci_status cii_agentcore_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
ci_status cii_agentcore_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user,
                             ci_op **ret_op, ci_error **ret_error);

#endif
