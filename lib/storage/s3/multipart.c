/* A put in parts. See put.h.
 *
 *     create --id--> fill: read into a free buffer, send it when it is full, take answers --all sent and answered--> commit
 *
 * Each buffer is either being filled or on its way. A part's ETag is its MD5 where it is one at all, and is echoed as it was
 * received. That the bytes are right the server sees by their signed SHA-256; that the object consists of these parts, by
 * Complete's ETag, which of most servers is the MD5 of the parts' MD5s. */
#include <openssl/evp.h>
#include <stdio.h>

#include "aws/xml.h"
#include "base/str.h"
#include "storage/s3/put.h"

#define STRIDE (CII_S3_ETAG_MAX + 3) /* an ETag with its quotes */

/* --- parts -------------------------------------------------------------------------------------------------------- */

static cii_s3_part *free_part(cii_s3_put_op *p) {
    for (size_t i = 0; i < p->part_count; i++)
        if (p->parts[i].number == 0 && &p->parts[i] != p->filling)
            return &p->parts[i];
    return NULL;
}

static size_t sending(const cii_s3_put_op *p) {
    size_t count = 0;
    for (size_t i = 0; i < p->part_count; i++)
        count += p->parts[i].number > 0;
    return count;
}

static ci_status send_part(cii_s3_put_op *p, cii_s3_part *part, ci_error **ret_error) {
    if (p->last_number == CII_S3_PARTS_MAX) {
        cii_error_set(ret_error, CI_ERR_LIMIT, CII_S3_DOMAIN, "more than %u parts of %llu bytes", CII_S3_PARTS_MAX,
                      (unsigned long long)p->part_bytes);
        cii_error_hint(ret_error, "make the storage's part_bytes larger, or announce the size");
        return CI_ERR_LIMIT;
    }
    part->number = ++p->last_number;
    snprintf(part->number_text, sizeof part->number_text, "%u", part->number);
    cii_s3_call *call = &part->call;
    cii_s3_call_reset(call, "PUT", p->task.key);
    cii_s3_call_query(call, "partNumber", part->number_text);
    cii_s3_call_query(call, "uploadId", p->upload->id);
    call->body = part->data.data;
    call->body_bytes = part->data.size;
    call->body_hash = part->sha256;
    cii_s3_call_start(&p->task, call);
    return CI_OK;
}

static ci_status keep_etag(cii_s3_put_op *p, const cii_s3_part *part, ci_error **ret_error) {
    const char *etag = cii_http_header_value(cii_s3_call_response(&part->call), "etag");
    size_t needed = (size_t)part->number * STRIDE;
    if (!etag || strlen(etag) >= STRIDE)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "a part's answer has no ETag");
    if (p->etags.size < needed) {
        char *room;
        if (cii_buf_reserve(&p->etags, needed - p->etags.size, &room) < 0)
            return cii_error_nomem(ret_error);
        memset(room, 0, needed - p->etags.size);
        cii_buf_commit(&p->etags, needed - p->etags.size);
    }
    memcpy(p->etags.data + needed - STRIDE, etag, strlen(etag));
    return CI_OK;
}

static ci_status take_answers(cii_s3_put_op *p, ci_error **ret_error) {
    for (size_t i = 0; i < p->part_count; i++) {
        cii_s3_part *part = &p->parts[i];
        int32_t result = part->number > 0 ? cii_s3_call_result(&part->call, ret_error) : 0;
        if (result < 0)
            return cii_error_wrap(ret_error, result, "part %u", part->number);
        if (result == 0)
            continue;
        ci_status status = keep_etag(p, part, ret_error);
        if (status < 0)
            return status;
        cii_s3_call_reset(&part->call, "PUT", NULL);
        cii_buf_clear(&part->data);
        part->number = 0;
        p->task.busy = true; /* there is room to read into */
    }
    return CI_OK;
}

static int32_t fill(cii_s3_put_op *p, ci_error **ret_error) {
    ci_status status = take_answers(p, ret_error);
    if (status < 0)
        return status;
    if (p->ended && sending(p) == 0) {
        status = cii_s3_put_check(p, ret_error);
        return status < 0 ? status : cii_s3_commit_begin(p, ret_error);
    }
    if (!p->filling && !p->ended)
        p->filling = free_part(p);
    if (!p->filling)
        return 0;
    int32_t result = p->ended ? 1 : cii_s3_put_read(p, ret_error);
    if (result <= 0)
        return result;
    if (sending(p) == p->task.s3->parallel)
        return 0;
    p->task.busy = true;
    status = cii_s3_put_end_part(p, ret_error);
    cii_s3_part *part = TAKE_PTR(p->filling);
    return status == CI_OK && part->data.size > 0 ? send_part(p, part, ret_error) : status;
}

/* --- the upload --------------------------------------------------------------------------------------------------- */

static int32_t created(cii_s3_put_op *p, ci_error **ret_error) {
    int32_t result = cii_s3_call_result(&p->call, ret_error);
    if (result <= 0)
        return result;
    const cii_http_response *response = cii_s3_call_response(&p->call);
    _cleanup_xml_ cii_xml *xml = NULL;
    ci_status status = cii_xml_new(NULL, NULL, &xml, ret_error);
    if (status == CI_OK)
        status = cii_xml_feed(xml, response->body, response->body_bytes, ret_error);
    if (status == CI_OK)
        status = cii_xml_end(xml, ret_error);
    if (status < 0)
        return status;
    const char *id = cii_xml_text(xml, "UploadId");
    if (!id || *id == '\0')
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the answer has no upload id");
    if (cii_s3_upload_name(p->upload, id) < 0)
        return cii_error_nomem(ret_error);
    if (p->call.unsure) /* an earlier attempt may have made an upload too */
        cii_s3_upload_search(p->task.s3, p->task.key);
    p->go = fill;
    cii_s3_part *first = p->filling;
    p->filling = &p->parts[1]; /* with the byte that made it more than one part */
    p->task.busy = true;
    return send_part(p, first, ret_error);
}

int32_t cii_s3_multipart_begin(cii_s3_put_op *p, ci_error **ret_error) {
    ci_status status = cii_s3_put_make_nonce(p, ret_error);
    if (status < 0)
        return status;
    cii_s3_records_adopt(p->task.s3);
    if (!atomic_exchange(&p->task.s3->searched, true))
        cii_s3_upload_search(p->task.s3, "");
    p->upload = cii_s3_upload_begin(p->task.s3, p->task.key);
    if (!p->upload)
        return cii_error_nomem(ret_error);
    cii_s3_call_reset(&p->call, "POST", p->task.key);
    cii_s3_call_query(&p->call, "uploads", NULL);
    cii_s3_put_describe(p, &p->call, p->has_sha256);
    cii_s3_call_start(&p->task, &p->call);
    p->go = created;
    return 0;
}

void cii_s3_multipart_abandon(cii_s3_put_op *p) {
    if (!p->upload)
        return;
    bool never = !p->upload->id && cii_s3_call_was_refused(&p->call);
    p->upload->awaited = !p->upload->id && cii_s3_call_is_pending(&p->call);
    for (size_t i = 0; i < p->part_count; i++)
        cii_s3_call_reset(&p->parts[i].call, "PUT", NULL);
    cii_s3_call_reset(&p->call, "POST", NULL);
    if (never) {
        cii_s3_upload_end(p->task.s3, TAKE_PTR(p->upload));
        return;
    }
    if (!p->upload->id)
        cii_s3_record_name(p->upload);
    cii_s3_upload_leave(p->task.s3, TAKE_PTR(p->upload));
}

static void md_free_p(EVP_MD_CTX **hash) {
    EVP_MD_CTX_free(*hash);
}

ci_status cii_s3_multipart_write_list(cii_s3_put_op *p, ci_error **ret_error) {
    cii_buf *to = &p->body;
    cii_buf_clear(to);
    ci_status status =
        cii_buf_append_str(to, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < p->last_number && status == CI_OK; i++) {
        status = cii_buf_printf(to, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
        if (status == CI_OK)
            status = cii_s3_append_escaped(to, p->etags.data + (size_t)i * STRIDE);
        if (status == CI_OK)
            status = cii_buf_append_str(to, "</ETag></Part>");
    }
    if (status == CI_OK)
        status = cii_buf_append_str(to, "</CompleteMultipartUpload>");
    if (status == CI_OK)
        status = cii_sigv4_hash(to->data, to->size, p->body_sha256);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

bool cii_s3_multipart_differs(const cii_s3_put_op *p, const char *etag) {
    _cleanup_(md_free_p) EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE];
    char bare[CII_S3_ETAG_MAX + 1], expected[48];
    if (p->last_number == 0 || !hash || EVP_DigestInit_ex(hash, EVP_md5(), NULL) != 1)
        return false;
    for (unsigned i = 0; i < p->last_number; i++) {
        cii_s3_etag_bare(p->etags.data + (size_t)i * STRIDE, bare);
        if (!cii_s3_hex_read(bare, digest, 16) || EVP_DigestUpdate(hash, digest, 16) != 1)
            return false;
    }
    if (EVP_DigestFinal_ex(hash, digest, NULL) != 1)
        return false;
    cii_hex(digest, 16, expected);
    snprintf(expected + 32, sizeof expected - 32, "-%u", p->last_number);
    return strlen(etag) == strlen(expected) && strcmp(etag + 32, expected + 32) == 0 &&
           strncasecmp(etag, expected, 32) != 0;
}
