/* Files' bytes: read by the probe, which has ranges where `readFiles` has none, and written by `writeFiles`. One part is in
 * memory at a time. A file of more parts than one is put together in the session when all have come, and takes the place of the
 * old one by a rename; a smaller one goes where it belongs in the one request. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>
#include <zlib.h>

#include "base/str.h"
#include "base/utf8.h"

#define HAND_BYTES (64u << 10) /* handed to a reader at a time */

static ci_status stopped(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_CANCELLED, CII_AGENTCORE_DOMAIN, "the other side asked to stop");
}

/* --- get -------------------------------------------------------------------------------------------------------------- */

typedef struct get_op {
    cii_agentcore_op op;
    cii_agentcore_probe probe;
    char *path;
    ci_op_write_cb write;
    void *user;
    uint64_t first, offset, left;
    cii_buf part; /* that has come, as far as it is not handed on */
    size_t part_at;
    bool has_part, has_more, has_size;
    int64_t seen[3]; /* size, inode and time of the part before */
    bool has_grown;
    bool is_check; /* the last probe, of one that has grown: what was told is there */
    uint32_t sum;  /* of what was told */
    int64_t sum_there;
} get_op;

static ci_status wrong(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the file is not told as it must be");
}

static ci_status changed(ci_error **ret_error) {
    ci_status status = cii_error_set(ret_error, CI_ERR_IO, CII_AGENTCORE_DOMAIN, "it was changed while it was read");
    cii_error_mark(ret_error, true, false);
    return status;
}

/* Nothing holds the file open between two parts: what has taken its place, or was written over, must not be its rest. What was
 * written behind it, as in a log, does it no harm: whether it was only that is seen at the end. */
static ci_status check_unchanged(get_op *g, const int64_t now[3], ci_error **ret_error) {
    bool has_grown = now[0] > g->seen[0];
    g->has_grown |= has_grown;
    return now[1] == g->seen[1] && (now[2] == g->seen[2] || has_grown) ? CI_OK : changed(ret_error);
}

/* No more is read than the file had at first, so that one that grows comes to an end. A size of 0 says nothing, where the kernel
 * makes a file as it is read: such a one ends with its part. */
static ci_status take_size(get_op *g, const cii_agentcore_line *line, ci_error **ret_error) {
    int64_t now[3];
    for (size_t i = 0; i < CII_ELEMENTS(now); i++)
        if (!cii_agentcore_field_int(line, i, &now[i]))
            return wrong(ret_error);
    if (now[0] < 0)
        return wrong(ret_error);
    uint64_t after = (uint64_t)now[0] > g->offset ? (uint64_t)now[0] - g->offset : 0;
    ci_status status = g->has_size ? check_unchanged(g, now, ret_error) : CI_OK;
    if (!g->has_size)
        g->left = CII_MIN(g->left, CII_MAX(after, g->op.core->part_bytes));
    g->has_size = true;
    memcpy(g->seen, now, sizeof now);
    return status;
}

static ci_status on_read(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    get_op *g = user;
    g->has_more = line->tag == 'm';
    if (line->tag == 's')
        return take_size(g, line, ret_error);
    if (line->tag != 'd')
        return CI_OK;
    ci_status status = cii_agentcore_field_bytes(line, 0, &g->part, ret_error);
    if (status == CI_OK && g->part.size > CII_MIN(g->left, g->op.core->part_bytes))
        status = cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "more came than was asked for");
    return status;
}

static ci_status begin_read(get_op *g, ci_error **ret_error) {
    g->op.busy = true;
    g->has_part = g->has_more = false;
    g->part_at = 0;
    cii_buf_clear(&g->part);
    ci_status status = cii_agentcore_probe_begin(&g->probe, "read", on_read, g, ret_error);
    cii_agentcore_probe_text(&g->probe, g->path);
    cii_agentcore_probe_int(&g->probe, (int64_t)CII_MIN(g->offset, (uint64_t)INT64_MAX));
    cii_agentcore_probe_int(&g->probe, (int64_t)CII_MIN(g->left, g->op.core->part_bytes));
    return status;
}

static ci_status on_sum(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    get_op *g = user;
    return line->tag == 'k' && cii_agentcore_field_int(line, 0, &g->sum_there) ? CI_OK : wrong(ret_error);
}

static ci_status begin_check(get_op *g, ci_error **ret_error) {
    g->op.busy = true;
    g->is_check = true;
    g->has_part = false;
    g->sum_there = -1;
    ci_status status = cii_agentcore_probe_begin(&g->probe, "sum", on_sum, g, ret_error);
    cii_agentcore_probe_text(&g->probe, g->path);
    cii_agentcore_probe_int(&g->probe, (int64_t)g->first);
    cii_agentcore_probe_int(&g->probe, (int64_t)(g->offset - g->first));
    return status;
}

/* 1: all of the part was taken; 0: a pause. */
static int32_t hand_on(get_op *g, ci_error **ret_error) {
    while (g->part_at < g->part.size) {
        size_t size = CII_MIN(g->part.size - g->part_at, (size_t)HAND_BYTES);
        int32_t taken = g->write(g->user, g->part.data + g->part_at, size);
        if (taken == CI_IO_PAUSE)
            return 0;
        if (taken != 0)
            return stopped(ret_error);
        g->part_at += size;
    }
    return 1;
}

static int32_t get_step(cii_agentcore_op *op, ci_error **ret_error) {
    get_op *g = (get_op *)op;
    int32_t result = g->has_part ? 1 : cii_agentcore_probe_step(op, &g->probe, ret_error);
    if (result <= 0)
        return result;
    if (g->is_check)
        return g->sum_there == g->sum ? 1 : changed(ret_error);
    g->has_part = true;
    result = hand_on(g, ret_error);
    if (result <= 0)
        return result;
    g->sum = (uint32_t)crc32(g->sum, (const Bytef *)g->part.data, (uInt)g->part.size);
    g->offset += g->part.size;
    g->left -= g->part.size;
    if (!g->has_more || g->left == 0)
        return g->has_grown ? begin_check(g, ret_error) : 1;
    if (!g->has_size || g->part.size == 0)
        return wrong(ret_error);
    return begin_read(g, ret_error);
}

static void get_release(cii_agentcore_op *op) {
    get_op *g = (get_op *)op;
    cii_agentcore_probe_free(&g->probe);
    cii_buf_free(&g->part);
    free(g->path);
}

ci_status cii_agentcore_file_get(void *session, const char *path, uint64_t offset, uint64_t length,
                                 ci_op_write_cb write, void *user, ci_op **ret_op, ci_error **ret_error) {
    cii_agentcore_session *s = session;
    ci_status status;
    get_op *g = cii_agentcore_op_new(sizeof *g, s->core, s, "read", &status, ret_error);
    if (!g)
        return status;
    g->op.step = get_step;
    g->op.release = get_release;
    g->write = write;
    g->user = user;
    g->first = g->offset = offset;
    g->left = length;
    status = cii_agentcore_path(s, path, &g->path, ret_error);
    if (status == CI_OK)
        status = begin_read(g, ret_error);
    if (status < 0)
        cii_agentcore_op_free(&g->op.op);
    else
        *ret_op = &g->op.op;
    return status;
}

/* --- put -------------------------------------------------------------------------------------------------------------- */

typedef struct put_op {
    cii_agentcore_op op;
    enum { FILL, WRITTEN, FOLDER, JOIN } stage;
    cii_agentcore_probe probe;
    char *path;
    ci_op_read_cb read;
    void *user;
    char nonce[CII_AGENTCORE_NONCE_MAX]; /* of the parts' names */
    char *part;
    size_t part_bytes;
    unsigned part_count; /* written before this one */
    bool is_last, has_folder;
} put_op;

/* A folder of the service's, where the probe writes down what is put there. */
static bool is_in_own(const put_op *p) {
    size_t size = strcspn(p->path, "/");
    for (char *const *own = p->op.session->own; *own; own++)
        if (strlen(*own) == size && memcmp(*own, p->path, size) == 0)
            return true;
    return false;
}

/* Whether `writeFiles` can put it where it belongs: the names that it takes are JSON's texts. */
static bool is_whole(const put_op *p) {
    return p->is_last && p->part_count == 0 && p->path[0] != '/' && cii_utf8_valid(p->path, strlen(p->path)) &&
           !is_in_own(p);
}

static ci_status part_name(const put_op *p, unsigned number, char ret_name[64]) {
    snprintf(ret_name, 64, ".ci-%s.%u", p->nonce, number);
    return CI_OK;
}

static ci_status write_part(put_op *p, ci_error **ret_error) {
    char name[64];
    size_t size = 0;
    part_name(p, p->part_count, name);
    p->stage = WRITTEN;
    char *body = cii_agentcore_body_write(is_whole(p) ? p->path : name, p->part, p->part_bytes, &size);
    ci_status status = cii_agentcore_call_start(&p->op, CII_AGENTCORE_INVOKE, p->op.session->id, body, size, ret_error);
    p->op.call.result = cii_agentcore_on_tool;
    p->op.call.user = &p->op;
    return status;
}

/* Reads until the part is full or the end has come. */
static int32_t fill(put_op *p, ci_error **ret_error) {
    size_t most = (size_t)p->op.core->part_bytes;
    if (!p->part && !(p->part = malloc(most)))
        return cii_error_nomem(ret_error);
    while (!p->is_last && p->part_bytes < most) {
        int64_t got = p->read(p->user, p->part + p->part_bytes, most - p->part_bytes);
        if (got == CI_IO_PAUSE)
            return 0;
        if (got < 0 || (uint64_t)got > most - p->part_bytes)
            return stopped(ret_error);
        p->is_last = got == 0;
        p->part_bytes += (size_t)got;
    }
    if (p->part_bytes == 0 && p->part_count > 0) /* the last part was a full one */
        return 1;
    return write_part(p, ret_error);
}

static ci_status begin_join(put_op *p, ci_error **ret_error) {
    char name[64];
    p->stage = JOIN;
    p->op.busy = true;
    ci_status status = cii_agentcore_probe_begin(&p->probe, "join", NULL, p, ret_error);
    cii_agentcore_probe_text(&p->probe, p->path);
    for (unsigned i = 0; i < p->part_count && part_name(p, i, name) == CI_OK; i++)
        cii_agentcore_probe_text(&p->probe, name);
    return status;
}

/* The service may want a file's folder to be there. */
static ci_status begin_folder(put_op *p, ci_error **ret_error) {
    char *slash = strrchr(p->path, '/');
    p->stage = FOLDER;
    p->has_folder = true;
    p->op.busy = true;
    ci_status status = cii_agentcore_probe_begin(&p->probe, "mkdir", NULL, p, ret_error);
    cii_agentcore_probe_bytes(&p->probe, p->path, (size_t)(slash - p->path));
    return status;
}

static int32_t written(put_op *p, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_agentcore_call_result(&p->op, &error);
    if (result == CI_ERR_INVALID && is_whole(p) && !p->has_folder && strchr(p->path, '/'))
        return begin_folder(p, ret_error);
    if (result < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    if (result <= 0 || is_whole(p))
        return result;
    p->part_count++;
    p->part_bytes = 0;
    p->stage = FILL;
    return p->is_last ? 1 : fill(p, ret_error);
}

static int32_t put_step(cii_agentcore_op *op, ci_error **ret_error) {
    put_op *p = (put_op *)op;
    bool is_probe = p->stage == FOLDER || p->stage == JOIN;
    int32_t result = is_probe           ? cii_agentcore_probe_step(op, &p->probe, ret_error)
                     : p->stage == FILL ? fill(p, ret_error)
                                        : written(p, ret_error);
    if (result <= 0)
        return result;
    if (p->stage == FOLDER)
        return write_part(p, ret_error);
    if (p->stage == JOIN) {
        p->part_count = 0; /* none is left */
        return 1;
    }
    return is_whole(p) ? 1 : begin_join(p, ret_error);
}

static void put_release(cii_agentcore_op *op) {
    put_op *p = (put_op *)op;
    if (p->part_count > 0 || (p->stage == WRITTEN && !is_whole(p)))
        cii_agentcore_litter(op->session, p->nonce);
    cii_agentcore_probe_free(&p->probe);
    free(p->part);
    free(p->path);
}

ci_status cii_agentcore_file_put(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                                 ci_error **ret_error) {
    cii_agentcore_session *s = session;
    ci_status status;
    put_op *p = cii_agentcore_op_new(sizeof *p, s->core, s, "write", &status, ret_error);
    if (!p)
        return status;
    p->op.step = put_step;
    p->op.release = put_release;
    p->op.busy = true;
    p->read = read;
    p->user = user;
    status = cii_agentcore_path(s, path, &p->path, ret_error);
    if (status == CI_OK && cii_id_random(p->nonce) < 0)
        status = cii_error_errno(ret_error, errno, CII_AGENTCORE_DOMAIN, "random bytes");
    if (status < 0)
        cii_agentcore_op_free(&p->op.op);
    else
        *ret_op = &p->op.op;
    return status;
}
