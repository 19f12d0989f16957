/* Heads of objects, and the operations on one object that are no put: get, stat, remove. */
#include <openssl/evp.h>
#include <stdio.h>

#include "base/str.h"
#include "storage/s3/s3.h"

/* --- heads -------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cii_s3_hex_byte(const char *hex, uint8_t *ret_byte) {
    int high = hex_digit(hex[0]), low = high < 0 ? -1 : hex_digit(hex[1]);
    if (low >= 0)
        *ret_byte = (uint8_t)(high << 4 | low);
    return low >= 0;
}

bool cii_s3_hex_read(const char *hex, uint8_t *ret_data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!cii_s3_hex_byte(hex + 2 * i, &ret_data[i]))
            return false;
    return hex[2 * size] == '\0';
}

void cii_s3_etag_bare(const char *etag, char ret_bare[CII_S3_ETAG_MAX + 1]) {
    size_t size = strlen(etag);
    if (size >= 2 && etag[0] == '"' && etag[size - 1] == '"') {
        etag++;
        size -= 2;
    }
    snprintf(ret_bare, CII_S3_ETAG_MAX + 1, "%.*s", size <= CII_S3_ETAG_MAX ? (int)size : 0, etag);
}

void cii_s3_etag_quote(const char *etag, char ret_quoted[CII_S3_ETAG_MAX + 3]) {
    const char *quote = strchr(etag, '"') ? "" : "\""; /* W/"…" has its own */
    snprintf(ret_quoted, CII_S3_ETAG_MAX + 3, "%s%s%s", quote, etag, quote);
}

int64_t cii_s3_date_ms(const char *date) {
    int64_t s = cii_http_date_s(date);
    return s > 0 ? s * 1000 : 0;
}

static bool has_own_key(const cii_http_response *response) {
    const char *encryption = cii_http_header_value(response, "x-amz-server-side-encryption");
    return (encryption && strcmp(encryption, "AES256") != 0) ||
           cii_http_header_value(response, "x-amz-server-side-encryption-customer-algorithm");
}

void cii_s3_meta_read(const cii_http_response *response, cii_s3_meta *m) {
    const char *etag = cii_http_header_value(response, "etag");
    const char *size = cii_http_header_value(response, "content-length");
    const char *modified = cii_http_header_value(response, "last-modified");
    const char *sha256 = cii_http_header_value(response, CII_S3_META_SHA256);
    const char *nonce = cii_http_header_value(response, CII_S3_META_NONCE);
    uint8_t digest[16];
    *m = (cii_s3_meta){.size_bytes = UINT64_MAX, .nonce = nonce ? nonce : ""};
    cii_s3_etag_bare(etag ? etag : "", m->etag);
    if (size && size[strspn(size, "0123456789")] == '\0' && strlen(size) < 19)
        m->size_bytes = strtoull(size, NULL, 10);
    m->modified_ms = modified ? cii_s3_date_ms(modified) : 0;
    m->has_sha256 = sha256 && cii_s3_hex_read(sha256, m->sha256, sizeof m->sha256);
    m->has_own_key = has_own_key(response);
    m->etag_is_md5 = !m->has_own_key && cii_s3_hex_read(m->etag, digest, sizeof digest); /* else perhaps of its parts */
}

ci_status cii_s3_tell(ci_object_cb object, void *user, const char *key, const cii_s3_meta *m, ci_error **ret_error) {
    const ci_object told = {.struct_size = sizeof told,
                            .key = key,
                            .etag = m->etag[0] ? m->etag : NULL,
                            .sha256 = m->has_sha256 ? m->sha256 : NULL,
                            .size_bytes = m->size_bytes,
                            .modified_ms = m->modified_ms};
    return !object || object(user, &told) >= 0 ? CI_OK : cii_s3_stopped(ret_error);
}

/* --- stat and remove ---------------------------------------------------------------------------------------------- */

typedef struct key_op {
    cii_s3_task task;
    cii_s3_call call;
    bool removing;
    ci_object_cb object;
    void *user;
} key_op;

static void key_release(cii_s3_task *task) {
    cii_s3_call_free(&((key_op *)task)->call);
}

static int32_t stat_step(cii_s3_task *task, ci_error **ret_error) {
    key_op *k = (key_op *)task;
    cii_s3_meta meta;
    int32_t result = cii_s3_call_result(&k->call, ret_error);
    if (result <= 0)
        return result;
    cii_s3_meta_read(cii_s3_call_response(&k->call), &meta);
    if (meta.size_bytes == UINT64_MAX)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the answer has no size");
    ci_status status = cii_s3_tell(k->object, k->user, task->key, &meta, ret_error);
    return status < 0 ? status : 1;
}

/* S3 says the same whether there was an object or not, so that has to be looked for first. */
static int32_t remove_step(cii_s3_task *task, ci_error **ret_error) {
    key_op *k = (key_op *)task;
    int32_t result = cii_s3_call_result(&k->call, ret_error);
    if (k->removing && result == CI_ERR_NOTFOUND) /* an attempt whose answer was lost, or somebody else */
        return 1;
    if (result <= 0 || k->removing)
        return result;
    k->removing = true;
    cii_s3_call_reset(&k->call, "DELETE", task->key);
    cii_s3_call_start(task, &k->call);
    return 0;
}

static ci_status key_op_start(cii_s3 *s3, const char *what, const char *key, key_op *k, ci_op **ret_op,
                              ci_error **ret_error) {
    k->task.release = key_release;
    ci_status status = cii_s3_task_start(&k->task, s3, what, key, ret_error);
    if (status < 0) {
        free(k);
        return status;
    }
    cii_s3_call_reset(&k->call, "HEAD", k->task.key);
    cii_s3_call_start(&k->task, &k->call);
    *ret_op = &k->task.op;
    return CI_OK;
}

ci_status cii_s3_stat(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                      ci_error **ret_error) {
    ci_status status;
    key_op *k = cii_s3_task_alloc(impl, sizeof *k, key, &status, ret_error);
    if (!k)
        return status;
    k->task.step = stat_step;
    k->object = object;
    k->user = user;
    return key_op_start(impl, "look at", key, k, ret_op, ret_error);
}

ci_status cii_s3_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    key_op *k = cii_s3_task_alloc(impl, sizeof *k, key, &status, ret_error);
    if (!k)
        return status;
    k->task.step = remove_step;
    return key_op_start(impl, "remove", key, k, ret_op, ret_error);
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

typedef struct get_op {
    cii_s3_task task;
    cii_s3_call call;
    uint64_t offset, length;
    ci_op_write_cb write;
    ci_object_cb object;
    void *user;
    char range[64];
    char condition[CII_S3_ETAG_MAX + 3]; /* of the caller, then of what was begun with; "": none */
    cii_s3_meta meta;
    uint64_t expected; /* bytes of this answer and those before; UINT64_MAX: not known */
    uint64_t resumed;  /* where the answer begins */
    uint64_t taken;
    bool told;
    bool looking;       /* nothing can be read there; only the object is told */
    EVP_MD_CTX *digest; /* of a whole read that can be checked; NULL */
    bool digest_is_sha256;
} get_op;

/* From `from`, counted from the offset. */
static void set_range(get_op *g, uint64_t from) {
    uint64_t first = g->offset + from;
    bool open = g->length > INT64_MAX - g->offset;
    g->call.header_count = 0;
    if (first > 0 || !open) {
        snprintf(g->range, sizeof g->range, "bytes=%llu-", (unsigned long long)first);
        if (!open)
            snprintf(g->range + strlen(g->range), 24, "%llu", (unsigned long long)(g->offset + g->length - 1));
        cii_s3_call_header(&g->call, "Range", g->range);
    }
    if (g->condition[0])
        cii_s3_call_header(&g->call, "If-Match", g->condition);
    g->resumed = from;
}

static void on_resume(void *user, uint64_t taken_bytes) {
    set_range(user, taken_bytes);
}

static void begin_digest(get_op *g) {
    bool whole = g->offset == 0 && g->length >= g->meta.size_bytes;
    g->digest_is_sha256 = g->meta.has_sha256;
    if (!whole || (!g->meta.has_sha256 && !g->meta.etag_is_md5))
        return;
    g->digest = EVP_MD_CTX_new();
    /* Where MD5 is forbidden the read goes unchecked, as one whose ETag is none. */
    if (g->digest && EVP_DigestInit_ex(g->digest, g->digest_is_sha256 ? EVP_sha256() : EVP_md5(), NULL) == 1)
        return;
    EVP_MD_CTX_free(TAKE_PTR(g->digest));
}

/* A part of an object says where it lies, and how large the whole is. */
static ci_status read_content_range(const cii_http_response *response, uint64_t first, uint64_t *ret_size,
                                    ci_error **ret_error) {
    const char *range = cii_http_header_value(response, "content-range");
    unsigned long long from = 0, to = 0, size = 0;
    if (range && sscanf(range, "bytes %llu-%llu/%llu", &from, &to, &size) == 3 && from == first && to < size) {
        *ret_size = size;
        return CI_OK;
    }
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the answer is not the part that was asked for");
}

static ci_status first_head(get_op *g, const cii_s3_meta *meta, uint64_t here, uint64_t size, ci_error **ret_error) {
    g->meta = *meta;
    g->meta.nonce = "";
    g->meta.size_bytes = size;
    g->expected = here;
    if (meta->etag[0])
        cii_s3_etag_quote(meta->etag, g->condition); /* what goes on later is of the same content */
    begin_digest(g);
    g->told = true;
    return cii_s3_tell(g->object, g->user, g->task.key, &g->meta, ret_error);
}

static ci_status replaced(ci_error **ret_error) {
    cii_error_set(ret_error, CI_ERR_IO, CII_S3_DOMAIN, "it was replaced while it was read");
    cii_error_mark(ret_error, true, false);
    return CI_ERR_IO;
}

static ci_status on_head(void *user, const cii_http_response *response, ci_error **ret_error) {
    get_op *g = user;
    cii_s3_meta meta;
    cii_s3_meta_read(response, &meta);
    uint64_t size = meta.size_bytes;
    bool ranged = g->call.header_count > 0 && strcmp(g->call.headers[0].name, "Range") == 0;
    if (ranged != (response->status == 206) || size == UINT64_MAX)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the server %s",
                             size == UINT64_MAX ? "does not say how many bytes come" : "does not keep to ranges");
    ci_status status = ranged ? read_content_range(response, g->offset + g->resumed, &size, ret_error) : CI_OK;
    if (status < 0)
        return status;
    if (!g->told)
        return first_head(g, &meta, meta.size_bytes, size, ret_error);
    if (strcmp(meta.etag, g->meta.etag) == 0 && g->resumed + meta.size_bytes == g->expected)
        return CI_OK;
    return replaced(ret_error);
}

static int32_t on_write(void *user, const void *data, size_t size) {
    get_op *g = user;
    int32_t taken = g->write(g->user, data, size);
    if (taken != 0)
        return taken;
    g->taken += size;
    if (g->digest)
        EVP_DigestUpdate(g->digest, data, size);
    return 0;
}

static ci_status check(get_op *g, ci_error **ret_error) {
    uint8_t is[EVP_MAX_MD_SIZE], should[32];
    unsigned size = 0;
    if (g->taken != g->expected)
        return cii_error_set(ret_error, CI_ERR_IO, CII_S3_DOMAIN, "%llu of %llu bytes came",
                             (unsigned long long)g->taken, (unsigned long long)g->expected);
    if (!g->digest)
        return CI_OK;
    if (g->digest_is_sha256)
        memcpy(should, g->meta.sha256, sizeof should);
    else
        cii_s3_hex_read(g->meta.etag, should, 16);
    if (EVP_DigestFinal_ex(g->digest, is, &size) == 1 && memcmp(is, should, size) == 0)
        return CI_OK;
    cii_error_set(ret_error, CI_ERR_IO, CII_S3_DOMAIN, "what came has not the %s that it was stored with",
                  g->digest_is_sha256 ? "SHA-256" : "MD5");
    cii_error_mark(ret_error, true, false);
    return CI_ERR_IO;
}

/* Beyond the end, and of nothing, there is no range to ask for. */
static void look_only(get_op *g) {
    g->looking = true;
    cii_s3_call_reset(&g->call, "HEAD", g->task.key);
    if (g->condition[0])
        cii_s3_call_header(&g->call, "If-Match", g->condition);
    cii_s3_call_start(&g->task, &g->call);
}

static int32_t looked(get_op *g, ci_error **ret_error) {
    cii_s3_meta meta;
    cii_s3_meta_read(cii_s3_call_response(&g->call), &meta);
    ci_status status = cii_s3_tell(g->object, g->user, g->task.key, &meta, ret_error);
    return status < 0 ? status : 1;
}

static int32_t get_step(cii_s3_task *task, ci_error **ret_error) {
    get_op *g = (get_op *)task;
    int32_t result = cii_s3_call_result(&g->call, ret_error);
    if (result < 0 && g->call.http_status == 416 && !g->told && !g->looking) {
        look_only(g);
        return 0;
    }
    if (result == CI_ERR_CONDITION && g->told)
        return replaced(ret_error);
    if (result <= 0)
        return result;
    if (g->looking)
        return looked(g, ret_error);
    ci_status status = check(g, ret_error);
    return status < 0 ? status : 1;
}

static void get_release(cii_s3_task *task) {
    get_op *g = (get_op *)task;
    cii_s3_call_free(&g->call);
    EVP_MD_CTX_free(g->digest);
}

ci_status cii_s3_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                     ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    get_op *g = cii_s3_task_alloc(impl, sizeof *g, key, &status, ret_error);
    if (!g)
        return status;
    g->task.step = get_step;
    g->task.release = get_release;
    g->offset = offset;
    g->length = length;
    g->write = write;
    g->object = object;
    g->user = user;
    status = cii_s3_task_start(&g->task, impl, "get", key, ret_error);
    if (status < 0) {
        free(g);
        return status;
    }
    if (if_etag)
        cii_s3_etag_quote(if_etag, g->condition);
    *ret_op = &g->task.op;
    if (length == 0 || offset > INT64_MAX) {
        look_only(g);
        return CI_OK;
    }
    cii_s3_call_reset(&g->call, "GET", g->task.key);
    g->call.user = g;
    g->call.head = on_head;
    g->call.write = on_write;
    g->call.resume = on_resume;
    cii_s3_call_start(&g->task, &g->call);
    return CI_OK;
}
