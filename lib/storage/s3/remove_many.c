/* Removing many objects by one request (DeleteObjects): POST ?delete with the keys as XML, which Swift takes with a
 * Content-MD5 only.
 *
 * The answer is asked to name each key (Quiet false): what it does not name counts as not removed, so that no broken answer
 * passes for success. S3 names a key that was not there as deleted. Everything is told once the answer is whole. */
#include <openssl/evp.h>

#include "aws/xml.h"
#include "base/str.h"
#include "storage/s3/s3.h"

#define ANSWER_MAX ((size_t)8 << 20) /* 1,000 keys of 1,024 bytes, each byte as a reference, and as many messages */

typedef struct outcome {
    const char *key; /* the caller's */
    ci_error *error; /* why it may still be there */
    bool removed;
} outcome;

typedef struct many_op {
    cii_s3_task task;
    cii_s3_call call;
    outcome *outcomes; /* in the order of the keys */
    outcome **sorted;  /* those that were asked for, by key */
    size_t count, asked;
    ci_removed_cb removed;
    void *user;
    cii_buf body;
    char sha256[65], md5[25];
} many_op;

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* U+FFFE and U+FFFF: a name may have them, XML may not. */
static bool fits_xml(const char *key) {
    return !strstr(key, "\xef\xbf\xbe") && !strstr(key, "\xef\xbf\xbf");
}

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(outcome *const *)a)->key, (*(outcome *const *)b)->key);
}

static ci_status append_key(many_op *m, const char *key) {
    ci_status status = cii_buf_append_str(&m->body, "<Object><Key>");
    if (status == CI_OK)
        status = cii_s3_append_escaped(&m->body, m->task.s3->prefix);
    if (status == CI_OK)
        status = cii_s3_append_escaped(&m->body, key);
    return status == CI_OK ? cii_buf_append_str(&m->body, "</Key></Object>") : status;
}

/* CI_ERR_NOTSUP: MD5 may not be used here, and no server need take the request without. */
static ci_status hash_body(many_op *m, ci_error **ret_error) {
    uint8_t md5[EVP_MAX_MD_SIZE];
    if (EVP_Digest(m->body.data, m->body.size, md5, NULL, EVP_md5(), NULL) != 1)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_S3_DOMAIN, "there is no MD5");
    EVP_EncodeBlock((unsigned char *)m->md5, md5, 16);
    return cii_sigv4_hash(m->body.data, m->body.size, m->sha256) < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

static ci_status write_body(many_op *m, ci_error **ret_error) {
    ci_status status =
        cii_buf_append_str(&m->body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>false</Quiet>");
    for (size_t i = 0; i < m->asked && status == CI_OK; i++)
        status = append_key(m, m->sorted[i]->key);
    if (status == CI_OK)
        status = cii_buf_append_str(&m->body, "</Delete>");
    return status < 0 ? cii_error_nomem(ret_error) : hash_body(m, ret_error);
}

static ci_status ask(many_op *m, ci_error **ret_error) {
    ci_status status = write_body(m, ret_error);
    if (status < 0)
        return status;
    cii_s3_call_reset(&m->call, "POST", NULL);
    cii_s3_call_query(&m->call, "delete", NULL);
    cii_s3_call_header(&m->call, "Content-Type", "application/xml");
    cii_s3_call_header(&m->call, "Content-MD5", m->md5);
    m->call.body = m->body.data;
    m->call.body_bytes = m->body.size;
    m->call.body_hash = m->sha256;
    m->call.answer_max = ANSWER_MAX;
    cii_s3_call_start(&m->task, &m->call);
    return CI_OK;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* An attempt whose answer was lost may have removed what is not there now. */
static ci_status note(many_op *m, outcome *o, const cii_xml_row *row, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    if (strcmp(row->name, "Deleted") == 0) {
        o->removed = true;
        return CI_OK;
    }
    const char *code = cii_xml_row_text(row, "Code"), *words = cii_xml_row_text(row, "Message");
    ci_status status = cii_s3_call_part_error(&m->call, code, words, &error);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    o->removed = status == CI_ERR_NOTFOUND && m->call.unsure;
    if (!o->removed && !o->error)
        o->error = TAKE_PTR(error);
    return CI_OK;
}

static ci_status on_row(void *user, const cii_xml_row *row, ci_error **ret_error) {
    many_op *m = user;
    const char *key = cii_xml_row_text(row, "Key"), *prefix = m->task.s3->prefix;
    bool tells = strcmp(row->name, "Deleted") == 0 || strcmp(row->name, "Error") == 0;
    if (!key || !tells || !cii_str_starts(key, prefix))
        return CI_OK;
    const outcome wanted = {.key = key + strlen(prefix)}, *pointer = &wanted;
    outcome **at = bsearch(&pointer, m->sorted, m->asked, sizeof(outcome *), compare_keys);
    while (at && at > m->sorted && compare_keys(at - 1, &pointer) == 0)
        at--;
    ci_status status = CI_OK; /* a key that was given twice is removed once */
    for (; at && at < m->sorted + m->asked && compare_keys(at, &pointer) == 0 && status == CI_OK; at++)
        status = note(m, *at, row, ret_error);
    return status;
}

static ci_status read_answer(many_op *m, ci_error **ret_error) {
    const cii_http_response *response = cii_s3_call_response(&m->call);
    _cleanup_xml_ cii_xml *xml = NULL;
    ci_status status = cii_xml_new(on_row, m, &xml, ret_error);
    if (status == CI_OK)
        status = cii_xml_feed(xml, response->body, response->body_bytes, ret_error);
    return status == CI_OK ? cii_xml_end(xml, ret_error) : status;
}

static int32_t tell_all(many_op *m, ci_error **ret_error) {
    for (size_t i = 0; i < m->count; i++) {
        outcome *o = &m->outcomes[i];
        ci_status status = o->removed && !o->error ? CI_OK : CI_ERR_PROTOCOL;
        if (o->error)
            status = cii_error_wrap(&o->error, ci_error_status(o->error), "S3: remove \"%s\"", o->key);
        else if (status < 0)
            cii_error_set(&o->error, status, CII_S3_DOMAIN, "S3: remove \"%s\": the answer does not name it", o->key);
        if (m->removed && m->removed(m->user, o->key, status, o->error) < 0)
            return cii_s3_stopped(ret_error);
    }
    return 1;
}

static int32_t many_step(cii_s3_task *task, ci_error **ret_error) {
    many_op *m = (many_op *)task;
    int32_t result = m->asked > 0 ? cii_s3_call_result(&m->call, ret_error) : 1;
    if (result == 0)
        return 0;
    if (result < 0 && (result == CI_ERR_NOTSUP || m->call.http_status == 501 || m->call.http_status == 405)) {
        atomic_store(&task->s3->lacks_remove_many, true);
        return CI_ERR_NOTSUP;
    }
    ci_status status = result > 0 && m->asked > 0 ? read_answer(m, ret_error) : CI_OK;
    return result < 0 ? result : status < 0 ? status : tell_all(m, ret_error);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void many_release(cii_s3_task *task) {
    many_op *m = (many_op *)task;
    cii_s3_call_free(&m->call);
    for (size_t i = 0; i < m->count; i++)
        ci_error_free(m->outcomes[i].error);
    free(m->outcomes);
    free(m->sorted);
    cii_buf_free(&m->body);
}

static ci_status take_keys(many_op *m, const char *const *keys, size_t key_count, ci_error **ret_error) {
    size_t prefix_size = strlen(m->task.s3->prefix);
    m->outcomes = calloc(key_count, sizeof *m->outcomes);
    m->sorted = calloc(key_count, sizeof(outcome *));
    m->count = m->outcomes && m->sorted ? key_count : 0;
    if (m->count == 0)
        return cii_error_nomem(ret_error);
    for (size_t i = 0; i < key_count; i++) {
        outcome *o = &m->outcomes[i];
        o->key = keys[i];
        if (!fits_xml(keys[i]))
            return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_S3_DOMAIN, "XML cannot hold \"%s\"", keys[i]);
        if (prefix_size + strlen(keys[i]) <= CII_S3_KEY_MAX)
            m->sorted[m->asked++] = o;
        else if (cii_s3_key_too_long(keys[i], &o->error) == CI_ERR_NOMEM)
            return cii_error_nomem(ret_error);
    }
    qsort(m->sorted, m->asked, sizeof(outcome *), compare_keys);
    return m->asked > 0 ? ask(m, ret_error) : CI_OK;
}

ci_status cii_s3_remove_many(void *impl, const char *const *keys, size_t key_count, ci_removed_cb removed, void *user,
                             ci_op **ret_op, ci_error **ret_error) {
    cii_s3 *s3 = impl;
    if (key_count == 0 || key_count > CI_REMOVE_MANY_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "keys: 1 at least, %d at most",
                             CI_REMOVE_MANY_MAX);
    if (atomic_load(&s3->lacks_remove_many))
        return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_S3_DOMAIN, "the server removes objects one by one");
    many_op *m = calloc(1, sizeof *m);
    if (!m)
        return cii_error_nomem(ret_error);
    m->task.step = many_step;
    m->task.release = many_release;
    m->removed = removed;
    m->user = user;
    ci_status status = cii_s3_task_start(&m->task, s3, "remove objects of", s3->bucket, ret_error);
    if (status < 0) {
        free(m);
        return status;
    }
    status = take_keys(m, keys, key_count, ret_error);
    if (status < 0)
        m->task.op.ops->free(&m->task.op);
    else
        *ret_op = &m->task.op;
    return status;
}
