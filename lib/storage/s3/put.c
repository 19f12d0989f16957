/* Reading what is to be put, and the put of what fits into one part. See put.h. */
#include "storage/s3/put.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/str.h"

#define READ_BYTES ((size_t)64 << 10)
#define READS_A_STEP 16

/* --- hashes ------------------------------------------------------------------------------------------------------- */

/* Hashed while they are warm. */
static ci_status add_bytes(cii_s3_put_op *p, const char *data, size_t size, ci_error **ret_error) {
    p->read_bytes += size;
    bool hashed = cii_sha256_update(p->part_hash, data, size) && (!p->hash || cii_sha256_update(p->hash, data, size));
    return hashed ? CI_OK : cii_error_nomem(ret_error);
}

ci_status cii_s3_put_end_part(cii_s3_put_op *p, ci_error **ret_error) {
    uint8_t digest[32];
    if (!cii_sha256_final(p->part_hash, digest))
        return cii_error_nomem(ret_error);
    cii_hex(digest, sizeof digest, p->filling->sha256);
    return CI_OK;
}

static void hash_md5(cii_s3_put_op *p) {
    uint8_t md5[EVP_MAX_MD_SIZE];
    const cii_buf *data = &p->filling->data;
    if (EVP_Digest(data->data ? data->data : "", data->size, md5, NULL, EVP_md5(), NULL) != 1)
        return;
    cii_hex(md5, 16, p->md5);
    EVP_EncodeBlock((unsigned char *)p->md5_base64, md5, 16);
}

ci_status cii_s3_put_check(cii_s3_put_op *p, ci_error **ret_error) {
    if (p->size_bytes != UINT64_MAX && p->size_bytes != p->read_bytes)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "%llu bytes came, and %llu were announced",
                             (unsigned long long)p->read_bytes, (unsigned long long)p->size_bytes);
    if (p->hash && !cii_sha256_final(p->hash, p->digest))
        return cii_error_nomem(ret_error);
    if (!p->hash && p->last_number == 0) /* it is the only part's */
        cii_s3_hex_read(p->parts[0].sha256, p->digest, sizeof p->digest);
    p->has_digest = p->hash || p->last_number == 0;
    if (p->has_sha256 && memcmp(p->digest, p->sha256, sizeof p->digest) != 0)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "the content has not the announced SHA-256");
    if (p->has_digest)
        cii_hex(p->digest, sizeof p->digest, p->digest_text);
    return CI_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

int32_t cii_s3_put_read(cii_s3_put_op *p, ci_error **ret_error) {
    for (int i = 0; i < READS_A_STEP; i++) {
        cii_buf *data = &p->filling->data;
        size_t size = (size_t)CII_MIN((uint64_t)READ_BYTES, p->part_bytes - data->size);
        char *room;
        if (size == 0)
            return 1;
        if (cii_buf_reserve(data, size, &room) < 0)
            return cii_error_nomem(ret_error);
        int64_t got = p->read(p->user, room, size);
        if (got == CI_IO_PAUSE)
            return 0;
        if (got < 0 || (uint64_t)got > size)
            return cii_s3_stopped(ret_error);
        if (got == 0) {
            p->ended = true;
            return 1;
        }
        ci_status status = add_bytes(p, room, (size_t)got, ret_error);
        if (status < 0)
            return status;
        cii_buf_commit(data, (size_t)got);
        if (p->size_bytes != UINT64_MAX && p->read_bytes > p->size_bytes)
            return cii_s3_put_check(p, ret_error);
    }
    p->task.busy = true;
    return 0;
}

/* --- one part ----------------------------------------------------------------------------------------------------- */

void cii_s3_put_describe(const cii_s3_put_op *p, cii_s3_call *call, bool digest_known) {
    cii_s3_call_header(call, "Content-Type", p->mime_type);
    cii_s3_call_header(call, CII_S3_META_SHA256, digest_known ? p->digest_text : NULL);
    cii_s3_call_header(call, CII_S3_META_NONCE, p->nonce[0] ? p->nonce : NULL);
}

ci_status cii_s3_put_make_nonce(cii_s3_put_op *p, ci_error **ret_error) {
    ci_status status = p->nonce[0] ? CI_OK : cii_id_random(p->nonce);
    return status < 0 ? cii_error_set(ret_error, status, CII_S3_DOMAIN, "no random bytes") : CI_OK;
}

static int32_t begin_small(cii_s3_put_op *p, ci_error **ret_error) {
    ci_status status = cii_s3_put_end_part(p, ret_error);
    if (status == CI_OK)
        status = cii_s3_put_check(p, ret_error);
    if (status < 0)
        return status;
    hash_md5(p);
    return cii_s3_commit_begin(p, ret_error);
}

static int32_t read_first(cii_s3_put_op *p, ci_error **ret_error) {
    int32_t result = cii_s3_put_read(p, ret_error);
    if (result <= 0)
        return result;
    if (p->ended)
        return begin_small(p, ret_error);
    /* A part that is full may be all there is: another byte decides. */
    char byte;
    int64_t got = p->read(p->user, &byte, 1);
    if (got == CI_IO_PAUSE)
        return 0;
    if (got == 0) {
        p->ended = true;
        return begin_small(p, ret_error);
    }
    if (got != 1)
        return cii_s3_stopped(ret_error);
    ci_status status = cii_s3_put_end_part(p, ret_error);
    if (status == CI_OK)
        status = add_bytes(p, &byte, 1, ret_error);
    if (status == CI_OK && cii_buf_append(&p->parts[1].data, &byte, 1) < 0)
        status = cii_error_nomem(ret_error);
    return status < 0 ? status : cii_s3_multipart_begin(p, ret_error);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int32_t put_step(cii_s3_task *task, ci_error **ret_error) {
    cii_s3_put_op *p = (cii_s3_put_op *)task;
    int32_t result = p->go(p, ret_error);
    if (result < 0) {
        cii_turn_give(&task->s3->turns, &p->turn);
        task->wait_fd = -1;
        cii_s3_multipart_abandon(p);
    }
    return result;
}

static void put_release(cii_s3_task *task) {
    cii_s3_put_op *p = (cii_s3_put_op *)task;
    cii_turn_give(&task->s3->turns, &p->turn);
    cii_s3_multipart_abandon(p);
    cii_s3_call_free(&p->call);
    for (size_t i = 0; i < p->part_count; i++) {
        cii_s3_call_free(&p->parts[i].call);
        cii_buf_free(&p->parts[i].data);
    }
    free(p->parts);
    free(p->mime_type);
    cii_sha256_free(p->hash);
    cii_sha256_free(p->part_hash);
    cii_buf_free(&p->etags);
    cii_buf_free(&p->body);
    ci_error_free(p->error);
}

/* As large as it takes for the parts to be few enough; a size that is not known has the storage's own. */
static uint64_t part_bytes_for(const cii_s3 *s3, uint64_t size_bytes) {
    const uint64_t step = UINT64_C(1) << 20;
    uint64_t least = size_bytes == UINT64_MAX ? 0 : size_bytes / CII_S3_PARTS_MAX + 1;
    return CII_MAX(s3->part_bytes, (least + step - 1) / step * step);
}

static ci_status take_request(cii_s3_put_op *p, const ci_put_request *request, ci_error **ret_error) {
    if (request->if_etag)
        cii_s3_etag_bare(request->if_etag, p->if_etag);
    p->has_if_etag = request->if_etag != NULL;
    p->if_absent = request->if_absent != 0;
    p->has_sha256 = request->sha256 != NULL;
    if (request->sha256) {
        memcpy(p->sha256, request->sha256, sizeof p->sha256);
        cii_hex(p->sha256, sizeof p->sha256, p->digest_text);
    }
    p->size_bytes = request->size_bytes;
    p->part_bytes = part_bytes_for(p->task.s3, request->size_bytes);
    size_t part_count = CII_MAX(p->task.s3->parallel, 2u); /* what is behind the first shows that there are several */
    p->parts = calloc(part_count, sizeof *p->parts);
    p->part_count = p->parts ? part_count : 0;
    bool is_announced = p->has_sha256 && p->size_bytes > p->part_bytes;
    p->hash = is_announced ? cii_sha256_new() : NULL;
    p->part_hash = cii_sha256_new();
    p->mime_type = request->mime_type ? strdup(request->mime_type) : NULL;
    if (!p->parts || (is_announced && !p->hash) || !p->part_hash || (request->mime_type && !p->mime_type))
        return cii_error_nomem(ret_error);
    for (size_t i = 0; i < p->part_count; i++)
        p->parts[i].data.max = (size_t)p->part_bytes;
    p->filling = &p->parts[0];
    return p->if_absent || p->has_if_etag ? cii_s3_put_make_nonce(p, ret_error) : CI_OK;
}

ci_status cii_s3_put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                     ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    cii_s3_put_op *p = cii_s3_task_alloc(impl, sizeof *p, request->key, &status, ret_error);
    if (!p)
        return status;
    if (!atomic_exchange(&((cii_s3 *)impl)->adopted, true))
        cii_s3_records_adopt(impl);
    p->task.step = put_step;
    p->task.release = put_release;
    p->go = read_first;
    p->read = read;
    p->object = object;
    p->user = user;
    status = cii_s3_task_start(&p->task, impl, "put", request->key, ret_error);
    if (status < 0) {
        free(p);
        return status;
    }
    status = take_request(p, request, ret_error);
    if (status < 0)
        p->task.op.ops->free(&p->task.op);
    else
        *ret_op = &p->task.op;
    return status;
}
