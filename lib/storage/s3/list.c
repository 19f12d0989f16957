/* Listing: pages of at most 1,000, each read whole and then told, so that one that breaks can be asked for again.
 *
 * Keys come encoded (encoding-type=url), since XML cannot hold every byte; servers differ in what they encode. Prefix and
 * `after` may end within a character, which no server takes: only their valid beginning is sent, and the rest is looked
 * at here. What can be no name is left out and told of at the end, for which it is kept from page to page. */
#include "aws/resolve.h"
#include "aws/xml.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "base/utf8.h"
#include "storage/s3/s3.h"

#include <stdio.h>

#define PAGE_MAX 1000
#define ANSWER_MAX ((size_t)8 << 20) /* 1,000 keys of 1,024 bytes, each as %XX, and what stands around them */
#define TOKEN_MAX 8192
#define EMPTY_PAGES_MAX 1000 /* beside each other: what is deleted may fill some */

struct cii_s3_page {
    char *prefix;
    char *last;
    char *left_out; /* the first; NULL: nothing */
    size_t left_out_count;
};

typedef struct list_op {
    cii_s3_task task; /* key: the prefix, below the storage's */
    cii_s3_call call;
    cii_buf after; /* the key seen last, below the storage's prefix; at first what was given */
    bool is_after;
    uint32_t left;
    ci_object_cb object;
    void *user;
    cii_buf sent_prefix, sent_after, token, key;
    char max_text[16];
    cii_s3_page *page;
    bool encoded;   /* the answer says so */
    bool past;      /* keys are beyond the prefix */
    unsigned empty; /* pages */
    size_t rows;    /* of this page, that are new */
} list_op;

void cii_s3_page_free(cii_s3_page *page) {
    if (!page)
        return;
    free(page->prefix);
    free(page->last);
    free(page->left_out);
    free(page);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* Appends text up to where it is UTF-8 no more. */
static ci_status append_valid(cii_buf *to, const char *text) {
    size_t size = 0, character;
    while (text[size] && (character = cii_utf8_char(text + size, strlen(text + size))) > 0)
        size += character;
    return cii_buf_append(to, text, size);
}

static ci_status append_key(cii_buf *to, const cii_s3 *s3, const char *key) {
    cii_buf_clear(to);
    ci_status status = cii_buf_append_str(to, s3->prefix);
    return status == CI_OK ? append_valid(to, key) : status;
}

static ci_status ask(list_op *l, ci_error **ret_error) {
    const cii_s3 *s3 = l->task.s3;
    ci_status status = append_key(&l->sent_prefix, s3, l->task.key);
    if (status == CI_OK && l->is_after)
        status = append_key(&l->sent_after, s3, l->after.data);
    if (status < 0)
        return cii_error_nomem(ret_error);
    snprintf(l->max_text, sizeof l->max_text, "%u", CII_MIN(l->left, (uint32_t)PAGE_MAX));
    cii_s3_call_reset(&l->call, "GET", NULL);
    cii_s3_call_query(&l->call, "list-type", "2");
    cii_s3_call_query(&l->call, "encoding-type", "url");
    cii_s3_call_query(&l->call, "max-keys", l->max_text);
    cii_s3_call_query(&l->call, "prefix", l->sent_prefix.data);
    if (l->token.size > 0)
        cii_s3_call_query(&l->call, "continuation-token", l->token.data);
    else if (l->is_after && l->sent_after.size > strlen(s3->prefix))
        cii_s3_call_query(&l->call, "start-after", l->sent_after.data);
    l->call.answer_max = ANSWER_MAX;
    l->rows = 0;
    cii_s3_call_start(&l->task, &l->call);
    return CI_OK;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* CI_ERR_PROTOCOL: a NUL in it. A "+" is a space, since a plus is always encoded. */
static ci_status decode(const list_op *l, const char *text, cii_buf *to) {
    cii_buf_clear(to);
    if (cii_buf_reserve(to, strlen(text), NULL) < 0)
        return CI_ERR_NOMEM;
    for (; *text; text++) {
        uint8_t byte = 0;
        bool escaped = l->encoded && *text == '%' && cii_s3_hex_byte(text + 1, &byte);
        char c = escaped ? (char)byte : l->encoded && *text == '+' ? ' ' : *text;
        if (c == '\0')
            return CI_ERR_PROTOCOL;
        text += escaped ? 2 : 0;
        to->data[to->size++] = c;
    }
    to->data[to->size] = '\0';
    return CI_OK;
}

static ci_status leave_out(list_op *l, const char *key, ci_error **ret_error) {
    if (l->page->left_out_count++ > 0)
        return CI_OK;
    _cleanup_buf_ cii_buf shown = {0};
    for (const char *c = key; *c; c++)
        if (cii_buf_printf(&shown, (unsigned char)*c < ' ' || *c == 0x7f ? "\\x%02x" : "%c", (unsigned char)*c) < 0)
            return cii_error_nomem(ret_error);
    l->page->left_out = cii_str_printf("\"%s\" can be no name of a file", shown.data ? shown.data : "");
    return l->page->left_out ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status tell(list_op *l, const char *key, const cii_xml_row *row, ci_error **ret_error) {
    const char *size = cii_xml_row_text(row, "Size"), *etag = cii_xml_row_text(row, "ETag");
    const char *modified = cii_xml_row_text(row, "LastModified");
    cii_s3_meta meta = {.size_bytes = size ? strtoull(size, NULL, 10) : UINT64_MAX};
    int64_t modified_s = 0;
    if (meta.size_bytes == 0 && cii_str_ends(key, "/")) /* what consoles make for a folder */
        return CI_OK;
    if (cii_key_check(key, false, "key", NULL) < 0)
        return leave_out(l, key, ret_error);
    if (modified && cii_aws_parse_time(modified, &modified_s))
        meta.modified_ms = modified_s * 1000;
    cii_s3_etag_bare(etag ? etag : "", meta.etag);
    l->left--;
    return cii_s3_tell(l->object, l->user, key, &meta, ret_error);
}

static ci_status on_row(void *user, const cii_xml_row *row, ci_error **ret_error) {
    list_op *l = user;
    const char *text = strcmp(row->name, "Contents") == 0 ? cii_xml_row_text(row, "Key") : NULL;
    size_t prefix_size = strlen(l->task.s3->prefix);
    if (!text || l->left == 0 || l->past)
        return CI_OK;
    ci_status status = decode(l, text, &l->key);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (status < 0 || strncmp(l->key.data, l->task.s3->prefix, prefix_size) != 0)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "there is a key in it that was not asked for");
    const char *key = l->key.data + prefix_size;
    if (l->is_after && strcmp(key, l->after.data) <= 0)
        return CI_OK;
    l->rows++;
    cii_buf_clear(&l->after);
    l->is_after = true;
    if (cii_buf_append_str(&l->after, key) < 0)
        return cii_error_nomem(ret_error);
    int order = strncmp(key, l->task.key, strlen(l->task.key));
    l->past = order > 0;
    return order != 0 || *key == '\0' ? CI_OK : tell(l, key, row, ret_error);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

/* A byte that XML cannot hold, raw or as a reference to it ("&#x1;"). */
static bool is_no_xml(const char *at) {
    if (*at != '&')
        return (unsigned char)*at < ' ' && !memchr("\n\r\t", *at, 3);
    unsigned long c = at[1] != '#' ? ' ' : at[2] == 'x' ? strtoul(at + 3, NULL, 16) : strtoul(at + 2, NULL, 10);
    return c < ' ' && c != '\n' && c != '\r' && c != '\t';
}

/* radosgw does not encode a token, which is its last key: where that has a byte that XML cannot hold, the byte is put out of
 * the way, and the token is of no use. NULL: there is none, or no memory. */
static char *scrub(const cii_http_response *response) {
    char *copy = NULL;
    for (size_t i = 0; i < response->body_bytes; i++) {
        if (!is_no_xml(response->body + i)) /* the body ends with a NUL */
            continue;
        if (!copy && (copy = malloc(response->body_bytes)))
            memcpy(copy, response->body, response->body_bytes);
        if (!copy)
            return NULL;
        copy[i] = '?';
    }
    return copy;
}

/* Parses the answer and tells its objects. */
static ci_status read_page(list_op *l, bool *ret_more, ci_error **ret_error) {
    const cii_http_response *response = cii_s3_call_response(&l->call);
    _cleanup_xml_ cii_xml *xml = NULL;
    _cleanup_free_ char *scrubbed = scrub(response);
    /* It may stand behind the keys that it speaks of. */
    l->encoded = memmem(response->body, response->body_bytes, "EncodingType>url<", 17) != NULL;
    ci_status status = cii_xml_new(on_row, l, &xml, ret_error);
    if (status == CI_OK)
        status = cii_xml_feed(xml, scrubbed ? scrubbed : response->body, response->body_bytes, ret_error);
    if (status == CI_OK)
        status = cii_xml_end(xml, ret_error);
    if (status < 0)
        return status;
    const char *more = cii_xml_text(xml, "IsTruncated"), *token = cii_xml_text(xml, "NextContinuationToken");
    const char *root = cii_xml_root(xml);
    if (!root || strcmp(root, "ListBucketResult") != 0)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the answer is no list");
    *ret_more = more && strcasecmp(more, "true") == 0;
    cii_buf_clear(&l->token);
    l->token.max = TOKEN_MAX;
    return token && !scrubbed ? cii_buf_append_str(&l->token, token) : CI_OK;
}

/* Where a full page ended, what was left out before is kept for the next one. */
static void keep_page(list_op *l) {
    cii_s3 *s3 = l->task.s3;
    if (!l->page->left_out)
        return;
    l->page->last = strdup(l->after.data);
    l->page->prefix = strdup(l->task.key);
    if (!l->page->last || !l->page->prefix)
        return;
    pthread_mutex_lock(&s3->lock);
    cii_s3_page *old = s3->page;
    s3->page = l->page;
    l->page = old;
    pthread_mutex_unlock(&s3->lock);
}

static ci_status take_page(list_op *l, ci_error **ret_error) {
    cii_s3 *s3 = l->task.s3;
    pthread_mutex_lock(&s3->lock);
    if (l->is_after && s3->page && strcmp(s3->page->prefix, l->task.key) == 0 &&
        strcmp(s3->page->last, l->after.data) == 0)
        l->page = TAKE_PTR(s3->page);
    pthread_mutex_unlock(&s3->lock);
    if (!l->page && !(l->page = calloc(1, sizeof *l->page)))
        return cii_error_nomem(ret_error);
    free(TAKE_PTR(l->page->last));
    free(TAKE_PTR(l->page->prefix));
    return CI_OK;
}

static int32_t end(list_op *l, ci_error **ret_error) {
    const cii_s3_page *page = l->page;
    if (page->left_out_count == 0)
        return 1;
    if (page->left_out_count == 1)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_S3_DOMAIN, "%s", page->left_out);
    return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_S3_DOMAIN, "%s; %zu more are left out", page->left_out,
                         page->left_out_count - 1);
}

static int32_t list_step(cii_s3_task *task, ci_error **ret_error) {
    list_op *l = (list_op *)task;
    bool more = false;
    if (l->left == 0)
        return 1;
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_s3_call_result(&l->call, &error);
    if (result == CI_ERR_NOTSUP) /* which would mean a list that is whole */
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the server does not list");
    if (result < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    if (result <= 0)
        return result;
    ci_status status = read_page(l, &more, ret_error);
    if (status < 0)
        return status;
    if (l->left == 0) {
        keep_page(l);
        return 1;
    }
    if (!more || l->past)
        return end(l, ret_error);
    l->empty = l->rows > 0 ? 0 : l->empty + 1;
    if (l->empty > EMPTY_PAGES_MAX || (l->token.size == 0 && l->rows == 0))
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the list does not go on");
    status = ask(l, ret_error);
    return status < 0 ? status : 0;
}

static void list_release(cii_s3_task *task) {
    list_op *l = (list_op *)task;
    cii_s3_call_free(&l->call);
    cii_s3_page_free(l->page);
    cii_buf_free(&l->after);
    cii_buf_free(&l->sent_prefix);
    cii_buf_free(&l->sent_after);
    cii_buf_free(&l->token);
    cii_buf_free(&l->key);
}

ci_status cii_s3_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error) {
    list_op *l = calloc(1, sizeof *l);
    if (!l)
        return cii_error_nomem(ret_error);
    l->task.step = list_step;
    l->task.release = list_release;
    l->left = max;
    l->object = object;
    l->user = user;
    ci_status status = cii_s3_task_start(&l->task, impl, "list", prefix, ret_error);
    if (status < 0) {
        free(l);
        return status;
    }
    l->is_after = after != NULL;
    status = cii_buf_append_str(&l->after, after ? after : "") < 0 ? cii_error_nomem(ret_error) : CI_OK;
    if (status == CI_OK)
        status = take_page(l, ret_error);
    if (status == CI_OK)
        status = ask(l, ret_error);
    if (status < 0)
        l->task.op.ops->free(&l->task.op);
    else
        *ret_op = &l->task.op;
    return status;
}
