/* Multipart uploads that nobody ends any more. The next operation aborts them, or the storage's end.
 *
 *     begin --id--> named --completed or aborted--> end
 *       |             |--its put failed or was freed--> left: abort it
 *       |             `--the answer to Complete was lost--> left: see whether the object is there; abort it when no server
 *       |                can be at it any more, for then that would take the parts from under the object
 *       `--no answer came, or not the first--> left without an id: list the uploads of the key, abort what was begun then
 *
 * Also left are those in records of processes that died (records.c), and, looked for once in a storage's life, whatever was
 * begun below its prefix more than a week ago: of machines that are gone. */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "aws/resolve.h"
#include "aws/xml.h"
#include "base/clock.h"
#include "base/str.h"
#include "os/fd.h"
#include "storage/s3/s3.h"

#define SWEEP_MAX 4    /* requests that one operation makes */
#define SWEEP_MS 10000 /* for each */
#define SWEEP_TRIES_MAX 3
#define LOOKS_MAX 8    /* for one without an id: the server may be at it */
#define AGAIN_MS 50    /* between tries, doubled each time */
#define QUIET_MS 30000 /* after no answer */
#define CREATE_S 60    /* that a server may be at a Create */
#define SKEW_S 900     /* that a server lets clocks differ */
#define ANSWER_MAX ((size_t)2 << 20)

/* --- life --------------------------------------------------------------------------------------------------------- */

cii_s3_upload *cii_s3_upload_alloc(const char *key) {
    cii_s3_upload *u = calloc(1, sizeof *u + strlen(key) + 1);
    if (!u)
        return NULL;
    u->record_fd = -1;
    u->begun_s = (int64_t)time(NULL);
    memcpy(u->key, key, strlen(key) + 1);
    return u;
}

cii_s3_upload *cii_s3_upload_begin(cii_s3 *s3, const char *key) {
    cii_s3_upload *u = cii_s3_upload_alloc(key);
    if (u)
        cii_s3_record_make(s3, u);
    return u;
}

ci_status cii_s3_upload_name(cii_s3_upload *u, const char *id) {
    u->id = strdup(id);
    cii_s3_record_name(u);
    return u->id ? CI_OK : CI_ERR_NOMEM;
}

void cii_s3_upload_complete(cii_s3_upload *u, const char *nonce) {
    snprintf(u->nonce, sizeof u->nonce, "%s", nonce);
    u->completed_s = (int64_t)time(NULL);
    cii_s3_record_complete(u);
}

void cii_s3_upload_refused(cii_s3_upload *u) {
    u->nonce[0] = '\0';
}

static void upload_free(cii_s3 *s3, cii_s3_upload *u, bool keep_record) {
    if (!u)
        return;
    cii_s3_record_end(s3, u, keep_record);
    free(u->id);
    free(u->prefix);
    free(u);
}

void cii_s3_upload_end(cii_s3 *s3, cii_s3_upload *u) {
    upload_free(s3, u, false);
}

void cii_s3_upload_leave(cii_s3 *s3, cii_s3_upload *u) {
    if (!u)
        return;
    pthread_mutex_lock(&s3->lock);
    u->next = s3->leftovers;
    s3->leftovers = u;
    pthread_mutex_unlock(&s3->lock);
}

void cii_s3_upload_search(cii_s3 *s3, const char *key) {
    cii_s3_upload *u = *key ? cii_s3_upload_begin(s3, key) : cii_s3_upload_alloc(key);
    if (u)
        cii_s3_record_name(u); /* it has none, and waits for none */
    cii_s3_upload_leave(s3, u);
}

/* --- looking for one ---------------------------------------------------------------------------------------------- */

typedef struct search {
    cii_s3 *s3;
    const cii_s3_upload *wanted; /* its key ""; all that are old */
    unsigned found;
} search;

static bool is_wanted(const search *s, const char *key, const char *id, int64_t begun_s) {
    const cii_s3_upload *wanted = s->wanted;
    int64_t now_s = (int64_t)time(NULL) + atomic_load(&s->s3->clock_ahead_s);
    if (*wanted->key == '\0')
        return begun_s < now_s - CII_S3_UPLOAD_OLD_S;
    int64_t apart_s = begun_s - wanted->begun_s - atomic_load(&s->s3->clock_ahead_s);
    return strcmp(key, wanted->key) == 0 && apart_s < SKEW_S && apart_s > -SKEW_S &&
           !cii_s3_records_claim(s->s3, wanted, id);
}

static ci_status on_row(void *user, const cii_xml_row *row, ci_error **ret_error) {
    search *s = user;
    int64_t begun_s;
    size_t prefix_size = strlen(s->s3->prefix);
    const char *key = cii_xml_row_text(row, "Key"), *id = cii_xml_row_text(row, "UploadId");
    const char *begun = cii_xml_row_text(row, "Initiated");
    if (strcmp(row->name, "Upload") != 0 || !key || !id || !begun || !cii_aws_parse_time(begun, &begun_s) ||
        strncmp(key, s->s3->prefix, prefix_size) != 0 || !is_wanted(s, key + prefix_size, id, begun_s))
        return CI_OK;
    cii_s3_upload *u = cii_s3_upload_begin(s->s3, key + prefix_size);
    if (!u || cii_s3_upload_name(u, id) < 0) {
        cii_s3_upload_end(s->s3, u);
        return cii_error_nomem(ret_error);
    }
    s->found++;
    cii_s3_upload_leave(s->s3, u);
    return CI_OK;
}

/* Those that the list names are left, each by itself. Whether there was one. */
static bool read_list(cii_s3_task *t) {
    const cii_http_response *response = cii_s3_call_response(&t->abort);
    search s = {.s3 = t->s3, .wanted = t->leftover};
    _cleanup_xml_ cii_xml *xml = NULL;
    return cii_xml_new(on_row, &s, &xml, NULL) == CI_OK &&
           cii_xml_feed(xml, response->body, response->body_bytes, NULL) == CI_OK && cii_xml_end(xml, NULL) == CI_OK &&
           s.found > 0;
}

/* --- a request ---------------------------------------------------------------------------------------------------- */

static bool is_completing(const cii_s3_upload *u) {
    return u->id && u->nonce[0] && (int64_t)time(NULL) - u->completed_s < SKEW_S;
}

static bool ask(cii_s3_task *t) {
    cii_s3_upload *u = t->leftover;
    if (is_completing(u)) {
        cii_s3_call_reset(&t->abort, "HEAD", u->key);
    } else if (u->id) {
        cii_s3_call_reset(&t->abort, "DELETE", u->key);
        cii_s3_call_query(&t->abort, "uploadId", u->id);
    } else {
        free(u->prefix);
        u->prefix = cii_str_printf("%s%s", t->s3->prefix, u->key);
        if (!u->prefix)
            return false;
        cii_s3_call_reset(&t->abort, "GET", NULL);
        cii_s3_call_query(&t->abort, "uploads", NULL);
        cii_s3_call_query(&t->abort, "prefix", u->prefix);
        t->abort.answer_max = ANSWER_MAX;
    }
    t->abort.timeout_ms = SWEEP_MS;
    cii_s3_call_start(t, &t->abort);
    return true;
}

/* With the lock held: the first whose time has come. */
static cii_s3_upload *pick(cii_s3 *s3) {
    int64_t now_ms = cii_clock_ms();
    cii_s3_upload **at = &s3->leftovers;
    while (*at && (*at)->again_ms > now_ms)
        at = &(*at)->next;
    cii_s3_upload *u = *at;
    if (u)
        *at = u->next;
    return u;
}

static bool take(cii_s3_task *t) {
    if (cii_clock_ms() < atomic_load(&t->s3->quiet_until_ms))
        return false;
    pthread_mutex_lock(&t->s3->lock);
    t->leftover = pick(t->s3);
    pthread_mutex_unlock(&t->s3->lock);
    if (!t->leftover)
        return false;
    t->leftover->tries++;
    if (ask(t))
        return true;
    cii_s3_sweep_stop(t);
    return false;
}

/* Whether all is done that can be. */
static bool is_done(cii_s3_task *t) {
    const cii_s3_upload *u = t->leftover;
    cii_s3_meta meta;
    if (!u->id)
        return read_list(t) || *u->key == '\0';
    if (t->abort.method[0] != 'H')
        return true;
    cii_s3_meta_read(cii_s3_call_response(&t->abort), &meta);
    return strcmp(meta.nonce, u->nonce) == 0;
}

/* Whether its record stays for the next storage: where the server does not answer, or would not have it of these
 * credentials, or may still be at a request whose answer nobody got. */
static bool outlives(const cii_s3_upload *u, int32_t result) {
    return result < 0 || (u->awaited && (int64_t)time(NULL) - u->begun_s < CREATE_S) || is_completing(u);
}

/* What was looked for in vain is looked for again, after a while. */
static void judge(cii_s3_task *t, int32_t result) {
    int32_t http_status = result < 0 ? t->abort.http_status : 0;
    bool looks = t->abort.method[0] == 'H';
    bool forbidden = http_status == 401 || http_status == 403;
    bool refused = !looks && !forbidden && http_status >= 400 && http_status < 500;
    bool done = refused || (result == 1 && is_done(t));
    cii_s3_upload *u = TAKE_PTR(t->leftover);
    if (!done && (result == 1 || looks))
        t->swept = SWEEP_MAX;
    if (result < 0 && http_status == 0)
        atomic_store(&t->s3->quiet_until_ms, cii_clock_ms() + QUIET_MS);
    u->again_ms = cii_clock_ms() + ((int64_t)AGAIN_MS << (u->tries - 1));
    if (!done && !forbidden && u->tries < (u->awaited ? LOOKS_MAX : SWEEP_TRIES_MAX))
        cii_s3_upload_leave(t->s3, u);
    else
        upload_free(t->s3, u, !done && outlives(u, result));
}

int32_t cii_s3_sweep_step(cii_s3_task *t) {
    while (t->swept < SWEEP_MAX) {
        if (!t->leftover && !take(t))
            return 1;
        int32_t result = cii_s3_call_result(&t->abort, NULL);
        if (result == 0)
            return 0;
        t->swept++;
        judge(t, result);
    }
    return 1;
}

void cii_s3_sweep_stop(cii_s3_task *t) {
    cii_s3_upload_leave(t->s3, TAKE_PTR(t->leftover));
}

/* --- the storage's end -------------------------------------------------------------------------------------------- */

static int32_t no_step(cii_s3_task *t, ci_error **ret_error) {
    (void)t;
    (void)ret_error;
    return 1;
}

/* When there is something to do; INT64_MAX: never. What only may be there is looked for once. */
static int64_t next_ms(cii_s3 *s3) {
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&s3->lock);
    for (const cii_s3_upload *u = s3->leftovers; u; u = u->next)
        if (u->id || (u->awaited && !u->adopted) || u->tries == 0)
            next = CII_MIN(next, u->again_ms);
    pthread_mutex_unlock(&s3->lock);
    return CII_MAX(next, atomic_load(&s3->quiet_until_ms));
}

/* One operation that aborts some. */
static int32_t sweep_once(cii_s3 *s3, int64_t until_ms) {
    cii_s3_task *t = calloc(1, sizeof *t);
    if (!t || cii_s3_task_start(t, s3, "abort", "", NULL) < 0) {
        free(t);
        return CI_ERR_NOMEM;
    }
    t->step = no_step;
    ci_op *op = &t->op;
    int32_t result;
    while ((result = op->ops->process(op, NULL)) == 0 && cii_clock_ms() < until_ms)
        if (op->ops->fd(op) >= 0)
            cii_fd_wait(op->ops->fd(op), POLLIN, until_ms - cii_clock_ms());
    op->ops->free(op);
    return result;
}

void cii_s3_sweep(cii_s3 *s3, int64_t timeout_ms) {
    int64_t until_ms = cii_clock_ms() + timeout_ms;
    int32_t result = 0;
    for (int64_t next; result >= 0 && (next = next_ms(s3)) < until_ms;) {
        int64_t wait_ms = next - cii_clock_ms();
        if (wait_ms > 0)
            poll(NULL, 0, (int)wait_ms);
        result = sweep_once(s3, until_ms);
    }
    for (cii_s3_upload *u; (u = s3->leftovers);) {
        s3->leftovers = u->next;
        upload_free(s3, u, u->id || u->awaited || u->tries == 0);
    }
}
