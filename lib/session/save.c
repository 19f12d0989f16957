/* See save.h. What was pushed before, or is an upload, is hashed first and compared; what the workspace has with a known
 * hash likewise; all else is read once, hashed on its way. The workspace is only asked where no list has told enough. */
#include "session/save.h"

#include "base/path.h"
#include "base/str.h"
#include "session/keys.h"

ci_status cii_save_start(cii_save *save, ci_session *session, const char *path, ci_error **ret_error) {
    *save = (cii_save){.session = session, .path = strdup(path)};
    if (!save->path)
        return cii_error_nomem(ret_error);
    ci_status status = cii_keys_of_path(session, path, &save->key, &save->name, &save->error);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    save->status = status < 0 ? CI_FILE_SKIPPED : CI_FILE_OK;
    return CI_OK;
}

void cii_save_free(cii_save *save) {
    cii_op_drop(&save->op);
    cii_transfer_free(&save->transfer);
    free(save->path);
    free(save->key);
    free(save->name);
    free(save->known.etag);
    free(save->object_etag);
    free(save->etag);
    ci_error_free(save->error);
    *save = (cii_save){0};
}

ci_file_info cii_save_info(const cii_save *save, char hex[65]) {
    if (save->is_hashed)
        cii_hex(save->sha256, sizeof save->sha256, hex);
    return (ci_file_info){
        .struct_size = sizeof(ci_file_info),
        .path = save->path,
        .key = save->status == CI_FILE_SAVED || save->object_is_there ? save->name : NULL,
        .sha256 = save->is_hashed ? hex : NULL,
        .error = save->error ? ci_error_message(save->error) : NULL,
        .size_bytes = save->size_bytes,
        .modified_ms = save->stamp.modified_ns / 1000000,
        .kind = CI_KIND_REGULAR,
        .status = save->status,
    };
}

/* --- what is known ------------------------------------------------------------------------------------------------- */

static bool same_stamp(const cii_stamp *a, const cii_stamp *b) {
    return a->activity != 0 && a->activity == b->activity && a->writes == b->writes && a->size_bytes == b->size_bytes &&
           a->version == b->version && a->modified_ns == b->modified_ns;
}

static ci_status look_up(cii_save *save) {
    ci_session *session = save->session;
    ci_status status = CI_OK;
    pthread_mutex_lock(&session->lock);
    if (!save->entry)
        save->entry = cii_known_find(&session->known, save->path);
    const cii_known_file *known = save->entry;
    if (known) {
        save->known = *known;
        save->known.path = NULL;
        if (known->etag && !(save->known.etag = strdup(known->etag)))
            status = CI_ERR_NOMEM;
    }
    pthread_mutex_unlock(&session->lock);
    return status;
}

/* pushed: an object of save->etag has this content. */
static ci_status remember(cii_save *save, bool pushed) {
    ci_session *session = save->session;
    ci_status status = CI_OK;
    char *etag = pushed && save->etag ? strdup(save->etag) : NULL;
    if (pushed && save->etag && !etag)
        return CI_ERR_NOMEM;
    pthread_mutex_lock(&session->lock);
    cii_known_file *known = save->entry ? save->entry : cii_known_add(&session->known, save->path);
    if (known) {
        memcpy(known->hash, save->sha256, sizeof known->hash);
        known->stamp = save->stamp;
        known->is_hashed = true;
        if (pushed) {
            memcpy(known->pushed, save->sha256, sizeof known->pushed);
            free(known->etag);
            known->etag = TAKE_PTR(etag);
            known->is_pushed = true;
        }
    } else {
        status = CI_ERR_NOMEM;
    }
    pthread_mutex_unlock(&session->lock);
    free(etag);
    return status;
}

/* --- steps --------------------------------------------------------------------------------------------------------- */

static bool has_hash(const cii_save *save, const uint8_t hash[32]) {
    return save->is_hashed && memcmp(save->sha256, hash, 32) == 0;
}

static ci_status start_hash(cii_save *save) {
    ci_session *session = save->session;
    save->stage = CII_SAVE_HASH;
    ci_status status = cii_transfer_init(&save->transfer, false, &save->error);
    if (status == CI_OK)
        status = session->ops->file_get(session->backend, save->path, 0, UINT64_MAX, cii_transfer_write,
                                        &save->transfer, &save->transfer.source, &save->error);
    save->is_missing = status == CI_ERR_NOTFOUND;
    return status;
}

static ci_status take_object(cii_save *save, const char *etag, uint64_t size_bytes, const uint8_t *sha256) {
    save->object_is_told = save->object_is_there = true;
    save->object_size = size_bytes;
    save->object_is_hashed = sha256 != NULL;
    if (sha256)
        memcpy(save->object_sha256, sha256, sizeof save->object_sha256);
    free(save->object_etag);
    save->object_etag = etag ? strdup(etag) : NULL;
    return save->object_etag || !etag ? CI_OK : CI_ERR_NOMEM;
}

static int32_t on_object(void *user, const ci_object *object) {
    take_object(user, object->etag, object->size_bytes, object->sha256); /* without memory its etag is not known */
    return 0;
}

static ci_status take_listed(cii_save *save) {
    const cii_listed *listed = save->listed;
    if (!listed)
        return CI_OK;
    save->object_is_told = true;
    return listed->is_there ? take_object(save, listed->seen.etag, listed->seen.size_bytes,
                                          listed->is_hashed ? listed->sha256 : NULL)
                            : CI_OK;
}

static int step_stat(cii_save *save, cii_waits *waits) {
    ci_session *session = save->session;
    int r = 0;
    if (!save->op)
        r = session->storage_ops->stat(session->storage_impl, save->key, on_object, save, &save->op, &save->error);
    if (r == 0)
        r = cii_op_step(&save->op, waits, &save->error);
    /* To those who may not list, S3 says of what is not there that it is forbidden. */
    bool is_unknown = r == CI_ERR_NOTFOUND || r == CI_ERR_PERMISSION;
    if (r == 0 || (r < 0 && !is_unknown))
        return r;
    if (r < 0) {
        ci_error_free(TAKE_PTR(save->error));
        save->object_is_there = false;
    }
    save->object_is_told = save->object_is_asked = true;
    save->stage = CII_SAVE_DECIDE;
    return 0;
}

static ci_status start_write(cii_save *save) {
    ci_session *session = save->session;
    const ci_put_request request = {
        .struct_size = sizeof request,
        .key = save->key,
        .mime_type = cii_mime_type(save->path, NULL, 0),
        .size_bytes = UINT64_MAX, /* it may grow while it is read */
    };
    save->stage = CII_SAVE_WRITE;
    save->is_hashed = false;
    cii_transfer *transfer = &save->transfer;
    ci_status status = cii_transfer_init(transfer, true, &save->error);
    if (status == CI_OK)
        status = session->ops->file_get(session->backend, save->path, 0, UINT64_MAX, cii_transfer_write, transfer,
                                        &transfer->source, &save->error);
    save->is_missing = status == CI_ERR_NOTFOUND;
    if (status == CI_OK)
        status = session->storage_ops->put(session->storage_impl, &request, cii_transfer_read, cii_transfer_object,
                                           transfer, &transfer->sink, &save->error);
    return status;
}

static int end(cii_save *save, int32_t status) {
    save->status = status;
    return 1;
}

/* Whether the object as it is now was last written by this session. */
static bool is_pushed_one(const cii_save *save) {
    return save->known.is_pushed && save->known.etag && save->object_etag &&
           strcmp(save->known.etag, save->object_etag) == 0;
}

/* Then it cannot be the same. */
static bool is_other_size(const cii_save *save) {
    uint64_t size = save->is_hashed ? save->size_bytes : save->stamp.size_bytes;
    return (save->is_hashed || save->is_walked) && save->object_size != size;
}

static int unchanged(cii_save *save) {
    free(save->etag);
    save->etag = save->object_etag ? strdup(save->object_etag) : NULL;
    if ((save->object_etag && !save->etag) || remember(save, true) < 0)
        return cii_error_nomem(&save->error);
    return end(save, CI_FILE_UNCHANGED);
}

/* All but the content's hash is known that can matter, or has to be asked for. */
static int decide(cii_save *save) {
    if (!save->object_is_told) {
        save->stage = CII_SAVE_STAT;
        return 0;
    }
    if (!save->object_is_there || is_other_size(save))
        return start_write(save);
    if (is_pushed_one(save))
        return !save->is_hashed                     ? start_hash(save)
               : has_hash(save, save->known.pushed) ? unchanged(save)
                                                    : start_write(save);
    if (save->object_is_hashed)
        return !save->is_hashed                      ? start_hash(save)
               : has_hash(save, save->object_sha256) ? unchanged(save)
                                                     : start_write(save);
    if (save->object_is_asked)
        return start_write(save);
    save->stage = CII_SAVE_STAT;
    return 0;
}

static int hashed(cii_save *save) {
    if (!save->uploads_too && save->known.is_preloaded && has_hash(save, save->known.preloaded)) {
        save->object_is_there = false; /* whatever was saved there before: it is not told of */
        return remember(save, false) < 0 ? cii_error_nomem(&save->error) : end(save, CI_FILE_UNCHANGED);
    }
    save->stage = CII_SAVE_DECIDE;
    return 0;
}

static int begin(cii_save *save) {
    if (save->status == CI_FILE_SKIPPED)
        return 1;
    if (look_up(save) < 0 || take_listed(save) < 0)
        return cii_error_nomem(&save->error);
    if (save->is_hashed)
        return hashed(save);
    if (save->known.is_hashed && same_stamp(&save->known.stamp, &save->stamp)) {
        memcpy(save->sha256, save->known.hash, sizeof save->sha256);
        save->size_bytes = save->stamp.size_bytes;
        save->is_hashed = true;
        return hashed(save);
    }
    if (save->known.is_preloaded && !save->uploads_too)
        return start_hash(save);
    save->stage = CII_SAVE_DECIDE;
    return 0;
}

static void take_hash(cii_save *save) {
    memcpy(save->sha256, save->transfer.sha256, sizeof save->sha256);
    save->size_bytes = save->transfer.size;
    save->is_hashed = true;
}

static int step_transfer(cii_save *save, cii_waits *waits) {
    int r = cii_transfer_step(&save->transfer, waits, &save->error);
    if (save->stage == CII_SAVE_WRITE)
        save->moved_bytes = save->transfer.size;
    if (r <= 0)
        return r;
    take_hash(save);
    bool written = save->stage == CII_SAVE_WRITE;
    if (written) {
        free(save->etag);
        save->etag = TAKE_PTR(save->transfer.object.etag);
    }
    if (remember(save, written) < 0)
        return cii_error_nomem(&save->error);
    cii_transfer_free(&save->transfer);
    return written ? end(save, CI_FILE_SAVED) : hashed(save);
}

static int step(cii_save *save, cii_waits *waits) {
    switch (save->stage) {
    case CII_SAVE_KNOWN:
        return begin(save);
    case CII_SAVE_HASH:
    case CII_SAVE_WRITE:
        return step_transfer(save, waits);
    case CII_SAVE_STAT:
        return step_stat(save, waits);
    case CII_SAVE_DECIDE:
        return decide(save);
    }
    return CI_ERR_INTERNAL;
}

/* The starts above return CI_OK, 0, when they have changed the stage: then the next one goes on at once. */
int cii_save_step(cii_save *save, cii_waits *waits, ci_error **ret_error) {
    for (;;) {
        int stage = (int)save->stage;
        int r = step(save, waits);
        if (r == 0 && stage != (int)save->stage)
            continue;
        if (r >= 0)
            return r;
        if (cii_is_fatal(r)) {
            if (ret_error)
                *ret_error = TAKE_PTR(save->error);
            return r;
        }
        save->is_missing |= save->transfer.source_status == CI_ERR_NOTFOUND; /* the workspace may lack a folder too */
        cii_transfer_free(&save->transfer);
        save->object_is_there = false; /* no key to tell of */
        return end(save, CI_FILE_FAILED);
    }
}

/* --- ahead --------------------------------------------------------------------------------------------------------- */

static bool is_needed(cii_ahead *ahead, ci_session *session, const char *path, const cii_stamp *stamp) {
    pthread_mutex_lock(&session->lock);
    const cii_known_file *known = ahead->found.entry = cii_known_find(&session->known, path);
    bool is_needed = known && known->is_pushed && !same_stamp(&known->stamp, stamp);
    pthread_mutex_unlock(&session->lock);
    return is_needed;
}

static int step_ahead(cii_ahead *ahead, ci_session *session, const char *path, const cii_stamp *stamp, cii_waits *waits,
                      ci_error **ret_error) {
    cii_transfer *transfer = &ahead->transfer;
    if (!ahead->is_begun) {
        if (!is_needed(ahead, session, path, stamp))
            return 1;
        ahead->is_begun = true;
        ci_status status = cii_transfer_init(transfer, false, ret_error);
        if (status == CI_OK)
            status = session->ops->file_get(session->backend, path, 0, UINT64_MAX, cii_transfer_write, transfer,
                                            &transfer->source, ret_error);
        if (status < 0)
            return status;
    }
    int r = cii_transfer_step(transfer, waits, ret_error);
    if (r <= 0)
        return r;
    memcpy(ahead->found.sha256, transfer->sha256, sizeof ahead->found.sha256);
    ahead->found.size_bytes = transfer->size;
    ahead->found.is_hashed = true;
    return 1;
}

int cii_ahead_step(cii_ahead *ahead, ci_session *session, const char *path, const cii_stamp *stamp, cii_waits *waits,
                   ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int r = step_ahead(ahead, session, path, stamp, waits, &error);
    if (r >= 0 || !cii_is_fatal(r))
        return r == 0 ? 0 : 1;
    if (ret_error)
        *ret_error = TAKE_PTR(error);
    return r;
}

void cii_ahead_free(cii_ahead *ahead) {
    cii_transfer_free(&ahead->transfer);
    *ahead = (cii_ahead){0};
}

void cii_save_take_ahead(cii_save *save, const struct cii_hashed *found) {
    save->entry = found->entry;
    save->is_hashed = found->is_hashed;
    save->size_bytes = found->size_bytes;
    memcpy(save->sha256, found->sha256, sizeof save->sha256);
}
