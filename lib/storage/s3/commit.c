/* How a put takes effect: by one request, PUT or CompleteMultipartUpload, whose conditions the server checks with it.
 *
 *     begin --> send --good--> told
 *       |        | refused: look (HEAD) --its nonce is ours--> told: an answer was lost, not the write
 *       |        |                       --its etag is the wanted one--> send again, the etag without quotes
 *       |        | the server knows no conditions
 *       +-> turn, look before, send without; also before a Complete, with which few servers check any
 *
 * radosgw 16 compares If-Match with the bare ETag only; Swift answers both conditions with 501. Either is remembered by the
 * storage. Between look and write other programs can come; this storage's own puts take turns. */
#include <stdio.h>

#include "aws/xml.h"
#include "storage/s3/put.h"

static int32_t send(cii_s3_put_op *p, ci_error **ret_error);

static bool server_lacks(const cii_s3_put_op *p) {
    const cii_s3 *s3 = p->task.s3;
    return (p->if_absent && atomic_load(&s3->lacks_if_absent)) || (p->has_if_etag && atomic_load(&s3->lacks_if_etag));
}

static bool is_conditional(const cii_s3_put_op *p) {
    return p->if_absent || p->has_if_etag;
}

/* --- a look ------------------------------------------------------------------------------------------------------- */

static void look(cii_s3_put_op *p, int32_t (*go)(cii_s3_put_op *, ci_error **)) {
    cii_s3_call_reset(&p->call, "HEAD", p->task.key);
    cii_s3_call_start(&p->task, &p->call);
    p->go = go;
}

/* 1: *ret_there and the head are known; 0 not yet; negative. */
static int32_t looked(cii_s3_put_op *p, bool *ret_there, cii_s3_meta *ret_meta, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_s3_call_result(&p->call, &error);
    *ret_meta = (cii_s3_meta){.nonce = ""};
    *ret_there = result == 1;
    if (result == 1)
        cii_s3_meta_read(cii_s3_call_response(&p->call), ret_meta);
    if (result < 0 && result != CI_ERR_NOTFOUND && ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(error);
    }
    return result == CI_ERR_NOTFOUND ? 1 : result;
}

/* --- done --------------------------------------------------------------------------------------------------------- */

static int32_t tell(cii_s3_put_op *p, cii_s3_meta *meta, ci_error **ret_error) {
    cii_s3_upload_end(p->task.s3, TAKE_PTR(p->upload));
    cii_turn_give(&p->task.s3->turns, &p->turn);
    if (!meta->has_own_key && cii_s3_multipart_differs(p, meta->etag))
        return cii_error_set(ret_error, CI_ERR_IO, CII_S3_DOMAIN, "it was damaged on its way: its parts differ");
    meta->size_bytes = p->read_bytes;
    meta->has_sha256 = p->has_digest;
    memcpy(meta->sha256, p->digest, sizeof meta->sha256);
    ci_status status = cii_s3_tell(p->object, p->user, p->task.key, meta, ret_error);
    return status < 0 ? status : 1;
}

/* Complete tells its ETag in the body, radosgw not at all. */
static ci_status read_complete(const cii_http_response *response, cii_s3_meta *meta, ci_error **ret_error) {
    _cleanup_xml_ cii_xml *xml = NULL;
    ci_status status = cii_xml_new(NULL, NULL, &xml, ret_error);
    if (status == CI_OK)
        status = cii_xml_feed(xml, response->body, response->body_bytes, ret_error);
    if (status == CI_OK)
        status = cii_xml_end(xml, ret_error);
    const char *etag = status == CI_OK ? cii_xml_text(xml, "ETag") : NULL;
    if (etag)
        cii_s3_etag_bare(etag, meta->etag);
    return status;
}

static int32_t looked_at_the_end(cii_s3_put_op *p, ci_error **ret_error);

static int32_t answered(cii_s3_put_op *p, ci_error **ret_error) {
    const cii_http_response *response = cii_s3_call_response(&p->call);
    const char *date = cii_http_header_value(response, "date");
    bool in_parts = p->upload != NULL;
    cii_s3_meta meta;
    cii_s3_upload_end(p->task.s3, TAKE_PTR(p->upload));
    if (p->sent_condition && p->has_if_etag && p->bare)
        atomic_store(&p->task.s3->wants_bare_etags, true);
    cii_s3_meta_read(response, &meta);
    meta.modified_ms = p->answered_ms = date ? cii_s3_date_ms(date) : 0; /* or a moment before */
    ci_status status = in_parts ? read_complete(response, &meta, ret_error) : CI_OK;
    if (status < 0)
        return status;
    if (!in_parts && meta.etag_is_md5 && p->md5[0] && strcasecmp(meta.etag, p->md5) != 0)
        return cii_error_set(ret_error, CI_ERR_IO, CII_S3_DOMAIN, "it was damaged on its way: its MD5 differs");
    if (meta.etag[0])
        return tell(p, &meta, ret_error);
    look(p, looked_at_the_end);
    return 0;
}

/* What says so is not kept by every server; then the size decides. */
static bool is_ours(const cii_s3_put_op *p, const cii_s3_meta *meta) {
    if (p->nonce[0] && meta->nonce[0])
        return strcmp(meta->nonce, p->nonce) == 0;
    if (meta->has_sha256 && p->has_digest)
        return memcmp(meta->sha256, p->digest, sizeof p->digest) == 0;
    return meta->size_bytes == p->read_bytes && !cii_s3_multipart_differs(p, meta->etag);
}

/* Taken, but without an ETag. That is radosgw's answer to a Complete; and Swift's to a put that began before the one which
 * has ended meanwhile: by its order this one was first, and is replaced. Or it was removed since. */
static int32_t looked_at_the_end(cii_s3_put_op *p, ci_error **ret_error) {
    bool is_there;
    cii_s3_meta meta;
    int32_t result = looked(p, &is_there, &meta, ret_error);
    if (result <= 0)
        return result;
    if (is_there && meta.etag[0] == '\0')
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the server knows no ETags");
    if (is_there && is_ours(p, &meta))
        return tell(p, &meta, ret_error);
    meta = (cii_s3_meta){.modified_ms = p->answered_ms};
    snprintf(meta.etag, sizeof meta.etag, "%s", p->last_number == 0 ? p->md5 : ""); /* as it was, or not known */
    return tell(p, &meta, ret_error);
}

/* --- conditions --------------------------------------------------------------------------------------------------- */

static int32_t fail_condition(const cii_s3_put_op *p, bool is_there, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_CONDITION, CII_S3_DOMAIN, "%s",
                         p->if_absent ? "it exists already"
                         : is_there   ? "it has another content than expected (its etag differs)"
                                      : "it does not exist any more");
}

static bool holds(const cii_s3_put_op *p, bool is_there, const cii_s3_meta *meta) {
    return !(p->if_absent && is_there) && !(p->has_if_etag && (!is_there || strcmp(p->if_etag, meta->etag) != 0));
}

static int32_t looked_before(cii_s3_put_op *p, ci_error **ret_error) {
    bool is_there;
    cii_s3_meta meta;
    int32_t result = looked(p, &is_there, &meta, ret_error);
    if (result <= 0)
        return result;
    if (!holds(p, is_there, &meta))
        return fail_condition(p, is_there, ret_error);
    return send(p, ret_error);
}

static int32_t looked_after(cii_s3_put_op *p, ci_error **ret_error) {
    bool is_there;
    cii_s3_meta meta;
    int32_t result = looked(p, &is_there, &meta, ret_error);
    if (result <= 0)
        return result;
    if (is_there && p->nonce[0] && strcmp(meta.nonce, p->nonce) == 0)
        return tell(p, &meta, ret_error);
    if (p->refused == CI_ERR_CONDITION && p->has_if_etag && !p->bare && holds(p, is_there, &meta)) {
        p->bare = true;
        return send(p, ret_error);
    }
    if (p->refused == CI_ERR_CONDITION && p->has_if_etag && p->upload && holds(p, is_there, &meta)) {
        p->unchecked = true; /* Swift refuses a Complete with any; it was looked at, and it is this put's turn */
        return send(p, ret_error);
    }
    if (p->refused == CI_ERR_CONDITION)
        return fail_condition(p, is_there, ret_error);
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(p->error);
    }
    return p->refused;
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static int32_t refused(cii_s3_put_op *p, ci_status status, ci_error **error, ci_error **ret_error) {
    bool unknown = p->sent_condition && (status == CI_ERR_NOTSUP || p->call.http_status == 501);
    bool lost = status == CI_ERR_NOTFOUND && (p->upload || p->has_if_etag);
    if (p->upload && !p->call.unsure)
        cii_s3_upload_refused(p->upload);
    if (unknown) {
        atomic_store(p->if_absent ? &p->task.s3->lacks_if_absent : &p->task.s3->lacks_if_etag, true);
        return cii_s3_commit_begin(p, ret_error);
    }
    /* 404 to a condition: there is nothing that could have the etag. To a Complete: it may be complete already. */
    p->refused = lost && !p->upload ? CI_ERR_CONDITION : status;
    if (status == CI_ERR_CONDITION || lost) {
        ci_error_free(p->error);
        p->error = TAKE_PTR(*error);
        look(p, looked_after);
        return 0;
    }
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(*error);
    }
    return status;
}

static int32_t sent(cii_s3_put_op *p, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_s3_call_result(&p->call, &error);
    if (result == 1)
        return answered(p, ret_error);
    return result < 0 ? refused(p, result, &error, ret_error) : 0;
}

static void add_condition(cii_s3_put_op *p) {
    p->sent_condition = is_conditional(p) && !server_lacks(p) && !p->unchecked;
    p->bare |= atomic_load(&p->task.s3->wants_bare_etags);
    if (!p->sent_condition)
        return;
    if (p->if_absent)
        cii_s3_call_header(&p->call, "If-None-Match", "*");
    if (!p->has_if_etag)
        return;
    cii_s3_etag_quote(p->if_etag, p->condition);
    cii_s3_call_header(&p->call, "If-Match", p->bare ? p->if_etag : p->condition);
}

static int32_t send(cii_s3_put_op *p, ci_error **ret_error) {
    cii_s3_part *part = &p->parts[0];
    ci_status status = p->upload ? cii_s3_multipart_write_list(p, ret_error) : CI_OK;
    if (status < 0)
        return status;
    cii_s3_call_reset(&p->call, p->upload ? "POST" : "PUT", p->task.key);
    if (p->upload) {
        cii_s3_call_query(&p->call, "uploadId", p->upload->id);
        cii_s3_call_header(&p->call, "Content-Type", "application/xml");
    } else {
        cii_s3_put_describe(p, &p->call, true);
        cii_s3_call_header(&p->call, "Content-MD5", p->md5_base64[0] ? p->md5_base64 : NULL);
    }
    p->call.body = p->upload ? p->body.data : part->data.data;
    p->call.body_bytes = p->upload ? p->body.size : part->data.size;
    p->call.body_hash = p->upload ? p->body_sha256 : part->sha256;
    add_condition(p);
    if (p->upload)
        cii_s3_upload_complete(p->upload, p->nonce);
    cii_s3_call_start(&p->task, &p->call);
    p->go = sent;
    return 0;
}

static int32_t take_turn(cii_s3_put_op *p, ci_error **ret_error) {
    int32_t result = cii_turn_take(&p->task.s3->turns, p->task.key, &p->turn, &p->task.wait_fd, ret_error);
    if (result <= 0)
        return result;
    look(p, looked_before);
    return 0;
}

int32_t cii_s3_commit_begin(cii_s3_put_op *p, ci_error **ret_error) {
    p->go = take_turn;
    return is_conditional(p) && (p->upload || server_lacks(p)) ? take_turn(p, ret_error) : send(p, ret_error);
}
