/* Entries of folders: listed, walked, told of one by one, removed and made, each by the probe. Long listings come in pages. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>

#include "base/str.h"

#define PAGE_ENTRIES 20000
#define ENTRIES_MAX 5000000u /* far more than a session's disk is worth walking */

typedef struct entries_op {
    cii_agentcore_op op;
    cii_agentcore_probe probe;
    ci_entry_cb entry;
    void *user;
    char *path;
    bool is_tree, is_deep;
    uint64_t count; /* that were told */
    uint64_t first; /* of them, in this page */
    cii_buf last;   /* of them: the next page begins after it, whatever has gone meanwhile */
    bool has_more;
    int64_t failed; /* an errno of an earlier page, which fails the last; 0: none */
    bool was_stopped;
    cii_buf skipped; /* the folder that is not to be gone into, with a "/"; "": none */
} entries_op;

static ci_status wrong(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "an entry is not told as it must be");
}

/* Names are hostile: one that could lead elsewhere is none. */
static bool is_name(const entries_op *e, const cii_buf *name) {
    const char *text = name->data;
    if (name->size == 0 || memchr(text, 0, name->size))
        return false;
    if (!e->is_tree)
        return true;
    if (!e->is_deep && strchr(text, '/'))
        return false;
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || strncmp(at, "..", size > 2 ? size : 2) == 0 || (size == 1 && *at == '.'))
            return false;
        at += size;
        if (!*at)
            return true;
    }
}

static bool is_skipped(const entries_op *e, const char *name) {
    return e->skipped.size > 0 && strncmp(name, e->skipped.data, e->skipped.size) == 0;
}

static ci_status tell(entries_op *e, const ci_entry *entry, ci_error **ret_error) {
    if (is_skipped(e, entry->path))
        return CI_OK;
    int32_t answer = e->entry(e->user, entry);
    e->was_stopped = answer < 0;
    if (answer <= 0 || entry->kind != CI_KIND_DIRECTORY)
        return CI_OK;
    cii_buf_clear(&e->skipped);
    return cii_buf_printf(&e->skipped, "%s/", entry->path) < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

static ci_status on_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    entries_op *e = user;
    int64_t n[4];
    e->has_more = line->tag == 'm';
    if (e->has_more && !cii_agentcore_field_int(line, 0, &e->failed))
        return wrong(ret_error);
    if (line->tag != 'n' || e->was_stopped)
        return CI_OK;
    for (size_t i = 0; i < CII_ELEMENTS(n); i++)
        if (!cii_agentcore_field_int(line, 1 + i, &n[i]))
            return wrong(ret_error);
    _cleanup_buf_ cii_buf name = {0};
    ci_status status = cii_agentcore_field_bytes(line, 5, &name, ret_error);
    if (status < 0)
        return status;
    if (n[0] < 0 || !is_name(e, &name) || e->count - e->first == PAGE_ENTRIES)
        return wrong(ret_error);
    if (e->count == ENTRIES_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, CII_AGENTCORE_DOMAIN, "more than %u entries", ENTRIES_MAX);
    e->count++;
    const ci_entry entry = {
        .struct_size = sizeof entry,
        .path = name.data,
        .size_bytes = (uint64_t)n[0],
        .modified_ns = n[1],
        .version = (uint64_t)n[2],
        .kind = *line->fields[0] == 'f'   ? CI_KIND_REGULAR
                : *line->fields[0] == 'd' ? CI_KIND_DIRECTORY
                : *line->fields[0] == 'l' ? CI_KIND_SYMLINK
                                          : CI_KIND_OTHER,
        .mode = (uint32_t)n[3] & 07777,
    };
    cii_buf_clear(&e->last);
    if (cii_buf_append(&e->last, name.data, name.size) < 0)
        return cii_error_nomem(ret_error);
    return tell(e, &entry, ret_error);
}

static ci_status begin_page(entries_op *e, ci_error **ret_error) {
    ci_status status = cii_agentcore_probe_begin(&e->probe, "tree", on_line, e, ret_error);
    e->first = e->count;
    cii_agentcore_probe_text(&e->probe, e->path);
    cii_agentcore_probe_int(&e->probe, e->is_deep);
    cii_agentcore_probe_bytes(&e->probe, e->last.data, e->last.size);
    cii_agentcore_probe_int(&e->probe, PAGE_ENTRIES);
    cii_agentcore_probe_int(&e->probe, e->failed);
    return status;
}

static int32_t entries_step(cii_agentcore_op *op, ci_error **ret_error) {
    entries_op *e = (entries_op *)op;
    int32_t result = cii_agentcore_probe_step(op, &e->probe, ret_error);
    if (result > 0 && e->was_stopped)
        return cii_error_set(ret_error, CI_ERR_CANCELLED, CII_AGENTCORE_DOMAIN, "the other side asked to stop");
    if (result <= 0 || !e->has_more)
        return result;
    if (e->count - e->first < PAGE_ENTRIES) /* there is more, but it was not told */
        return wrong(ret_error);
    op->busy = true;
    return begin_page(e, ret_error);
}

static void entries_release(cii_agentcore_op *op) {
    entries_op *e = (entries_op *)op;
    cii_agentcore_probe_free(&e->probe);
    cii_buf_free(&e->last);
    cii_buf_free(&e->skipped);
    free(e->path);
}

static entries_op *entries_new(cii_agentcore_session *session, const char *what, const char *path, ci_entry_cb entry,
                               void *user, ci_status *ret_status, ci_error **ret_error) {
    entries_op *e = cii_agentcore_op_new(sizeof *e, session->core, session, what, ret_status, ret_error);
    if (!e)
        return NULL;
    e->op.step = entries_step;
    e->op.release = entries_release;
    e->entry = entry;
    e->user = user;
    *ret_status = cii_agentcore_path(session, path, &e->path, ret_error);
    if (*ret_status == CI_OK)
        return e;
    cii_agentcore_op_free(&e->op.op);
    return NULL;
}

static ci_status finish(entries_op *e, ci_status status, ci_op **ret_op) {
    if (status < 0)
        cii_agentcore_op_free(&e->op.op);
    else
        *ret_op = &e->op.op;
    return status;
}

static ci_status tree(void *session, const char *what, bool is_deep, const char *path, ci_entry_cb entry, void *user,
                      ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    entries_op *e = entries_new(session, what, path, entry, user, &status, ret_error);
    if (!e)
        return status;
    e->is_tree = true;
    e->is_deep = is_deep;
    return finish(e, begin_page(e, ret_error), ret_op);
}

ci_status cii_agentcore_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                  ci_error **ret_error) {
    return tree(session, "list", false, path, entry, user, ret_op, ret_error);
}

ci_status cii_agentcore_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user,
                             ci_op **ret_op, ci_error **ret_error) {
    (void)flags; /* CI_CAP_HASH is not among the capabilities: nobody asks for hashes */
    return tree(session, "walk", true, path, entry, user, ret_op, ret_error);
}

/* What takes a path and nothing else. */
static ci_status simple(void *session, const char *operation, const char *path, ci_entry_cb entry, void *user,
                        ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    entries_op *e = entries_new(session, operation, path, entry, user, &status, ret_error);
    if (!e)
        return status;
    status = cii_agentcore_probe_begin(&e->probe, operation, entry ? on_line : NULL, e, ret_error);
    e->probe.once = strcmp(operation, "remove") == 0; /* a second one would find nothing there */
    cii_agentcore_probe_text(&e->probe, e->path);
    return finish(e, status, ret_op);
}

ci_status cii_agentcore_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                  ci_error **ret_error) {
    return simple(session, "stat", path, entry, user, ret_op, ret_error);
}

ci_status cii_agentcore_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return simple(session, "remove", path, NULL, NULL, ret_op, ret_error);
}

ci_status cii_agentcore_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return simple(session, "mkdir", path, NULL, NULL, ret_op, ret_error);
}
