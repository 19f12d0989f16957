/* One call of probe.py in the session: `executeCommand` with the whole of it in one line, since the service runs a command's
 * text on a terminal, which takes no longer one than 128 KiB. Arguments that do not fit come in a file, by `writeFiles`. */
#include <stdio.h>

#include "sandbox/agentcore/agentcore.h"

#include "base/base64.h"
#include "base/str.h"

#define LINE_BYTES_MAX (96u << 10)
#define WORDS_MAX 4096u /* more than an error tells, so that a secret in them is whole */

extern const unsigned char cii_agentcore_probe_py[]; /* made of probe.py */
extern const size_t cii_agentcore_probe_py_size;

ci_status cii_agentcore_probe_begin(cii_agentcore_probe *p, const char *operation, cii_agentcore_line_cb line,
                                    void *user, ci_error **ret_error) {
    cii_agentcore_probe_free(p);
    *p = (cii_agentcore_probe){.operation = operation, .line = line, .user = user, .tool = "executeCommand"};
    cii_buf_init(&p->words, WORDS_MAX);
    return cii_id_random(p->nonce) < 0 ? cii_error_errno(ret_error, errno, CII_AGENTCORE_DOMAIN, "random bytes")
                                       : CI_OK;
}

void cii_agentcore_probe_free(cii_agentcore_probe *p) {
    if (p->has_file && !p->lines.begun && !*p->task_id) /* a task, of which no line comes, reads it when it begins */
        cii_agentcore_litter(p->session, p->nonce);
    if (p->litter.size > 0)
        cii_agentcore_litter_put_back(p->session, &p->litter);
    cii_buf_free(&p->litter);
    cii_buf_free(&p->args);
    cii_buf_free(&p->words);
    cii_agentcore_lines_free(&p->lines);
    ci_error_free(p->error);
    *p = (cii_agentcore_probe){0};
}

static ci_status add_base64(cii_buf *to, const void *data, size_t size) {
    return size ? cii_base64_encode(to, data, size) : cii_buf_append_str(to, "=");
}

void cii_agentcore_probe_bytes(cii_agentcore_probe *p, const void *data, size_t size) {
    p->lacks_memory |= cii_buf_append_str(&p->args, " ") < 0 || add_base64(&p->args, data, size) < 0;
}

void cii_agentcore_probe_text(cii_agentcore_probe *p, const char *text) {
    cii_agentcore_probe_bytes(p, text, strlen(text));
}

void cii_agentcore_probe_int(cii_agentcore_probe *p, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    cii_agentcore_probe_text(p, text);
}

/* --- what comes ----------------------------------------------------------------------------------------------------- */

static ci_status on_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    cii_agentcore_probe *p = user;
    int64_t number;
    if (line->tag != '!')
        return p->line ? p->line(p->user, line, ret_error) : CI_OK;
    if (!cii_agentcore_field_int(line, 0, &number) || number < 1 || number > 4095)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "an error that is none");
    ci_error_free(TAKE_PTR(p->error));
    if (number == ENOMEM) /* the host has memory */
        p->status = cii_error_set(&p->error, CI_ERR_LIMIT, CII_AGENTCORE_DOMAIN, "the session lacks memory");
    else
        p->status = cii_error_errno(&p->error, (int)number, CII_AGENTCORE_DOMAIN, "in the session");
    return CI_OK;
}

static ci_status keep_words(cii_agentcore_probe *p, const char *text, size_t size) {
    size_t room = WORDS_MAX - CII_MIN(p->words.size, (size_t)WORDS_MAX);
    return cii_buf_append(&p->words, text, CII_MIN(size, room));
}

static ci_status on_result(void *user, const cii_agentcore_result *r, ci_error **ret_error) {
    cii_agentcore_probe *p = user;
    if (r->task_id)
        snprintf(p->task_id, sizeof p->task_id, "%s", r->task_id);
    p->has_failed |= r->is_error;
    if (r->seconds >= 0)
        p->seconds = r->seconds;
    /* A terminal has both streams in one, and the service tells it as either. */
    const char *text = r->out_size || !r->message ? r->out : r->has_streams ? r->err : r->message;
    size_t size = r->out_size || !r->message ? r->out_size : r->has_streams ? r->err_size : r->message_size;
    if (!p->lines.begun && (keep_words(p, r->err, r->err_size) < 0 || keep_words(p, text, size) < 0))
        return cii_error_nomem(ret_error);
    return cii_agentcore_lines_feed(&p->lines, text, size, on_line, p, ret_error);
}

/* --- asking ----------------------------------------------------------------------------------------------------------- */

static ci_status write_args(cii_agentcore_op *op, cii_agentcore_probe *p, ci_error **ret_error) {
    size_t size = 0;
    p->session = op->session;
    p->has_file = true;
    _cleanup_free_ char *path = cii_str_printf(".ci-%s.args", p->nonce);
    char *body = path ? cii_agentcore_body_write(path, p->args.data, p->args.size, &size) : NULL;
    ci_status status = cii_agentcore_call_start(op, CII_AGENTCORE_INVOKE, op->session->id, body, size, ret_error);
    op->call.result = cii_agentcore_on_tool;
    op->call.user = op;
    cii_buf_clear(&p->args);
    if (status == CI_OK &&
        (cii_buf_append_str(&p->args, " @") < 0 || cii_base64_encode(&p->args, path, strlen(path)) < 0))
        status = cii_error_nomem(ret_error);
    return status;
}

static ci_status make_line(cii_agentcore_op *op, cii_agentcore_probe *p, cii_buf *line) {
    p->session = op->session;
    cii_agentcore_litter_take(p->session, &p->litter);
    const char *root = p->session->root ? p->session->root : "";
    ci_status status = cii_buf_append_str(line, "echo ");
    if (status == CI_OK)
        status = cii_base64_encode(line, cii_agentcore_probe_py, cii_agentcore_probe_py_size);
    if (status == CI_OK)
        status = cii_buf_printf(line, " | base64 -d | python3 -I -S - %s %s ", p->nonce,
                                p->litter.size ? p->litter.data : "-");
    if (status == CI_OK)
        status = add_base64(line, root, strlen(root));
    if (status == CI_OK)
        status = cii_buf_printf(line, " %s%s", p->operation, p->args.data ? p->args.data : "");
    return status;
}

static ci_status run(cii_agentcore_op *op, cii_agentcore_probe *p, ci_error **ret_error) {
    _cleanup_buf_ cii_buf line = {0};
    size_t size = 0;
    char *body = make_line(op, p, &line) < 0 ? NULL : cii_agentcore_body_command(p->tool, line.data, &size);
    cii_agentcore_lines_init(&p->lines, p->nonce);
    ci_status status = cii_agentcore_call_start(op, CII_AGENTCORE_INVOKE, op->session->id, body, size, ret_error);
    op->call.once = p->once;
    op->call.is_run = p->is_run;
    op->call.result = on_result;
    op->call.user = p;
    return status;
}

/* The answer is whole: what it came to. */
static int32_t end(const cii_agentcore_op *op, cii_agentcore_probe *p, ci_error **ret_error) {
    if (p->lines.ended)
        cii_buf_free(&p->litter);
    if (p->status < 0) {
        if (ret_error) {
            ci_error_free(*ret_error);
            *ret_error = TAKE_PTR(p->error);
        }
        return p->status;
    }
    if (p->lines.ended || (*p->task_id && !p->has_failed))
        return 1;
    char words[CII_AGENTCORE_WORDS_MAX];
    const cii_aws_keys *keys = cii_aws_identity_keys(op->login.identity);
    cii_agentcore_words(keys, p->words.data ? p->words.data : "", p->words.size, words);
    ci_status status =
        cii_error_set(ret_error, p->lines.begun ? CI_ERR_PROTOCOL : CI_ERR_MISSING, CII_AGENTCORE_DOMAIN,
                      "the session's shell did not do what it was asked to: %s", *words ? words : "no words");
    cii_error_hint(ret_error, "the interpreter's image needs python3 and base64 in its PATH");
    return status;
}

int32_t cii_agentcore_probe_step(cii_agentcore_op *op, cii_agentcore_probe *p, ci_error **ret_error) {
    if (p->lacks_memory)
        return cii_error_nomem(ret_error);
    if (p->stage == CII_AGENTCORE_PROBE_NEW) {
        bool fits = p->args.size + cii_agentcore_probe_py_size * 4 / 3 < LINE_BYTES_MAX;
        p->stage = fits ? CII_AGENTCORE_PROBE_RUN : CII_AGENTCORE_PROBE_ARGS;
        return fits ? run(op, p, ret_error) : write_args(op, p, ret_error);
    }
    int32_t result = cii_agentcore_call_result(op, ret_error);
    if (result <= 0)
        return result;
    if (p->stage == CII_AGENTCORE_PROBE_RUN)
        return end(op, p, ret_error);
    p->stage = CII_AGENTCORE_PROBE_RUN;
    return run(op, p, ret_error);
}

bool cii_agentcore_probe_may_run(const cii_agentcore_op *op, const cii_agentcore_probe *p) {
    return p->stage == CII_AGENTCORE_PROBE_RUN && !op->call.was_refused;
}
