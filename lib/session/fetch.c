/* See fetch.h.
 *
 *     STAT -> (HASH_HERE -> HASH_THERE ->) WRITE
 *
 * A file that is there already is only replaced if it is what an earlier upload put there; if it happens to be the same
 * as the upload, nothing is done; otherwise it is a conflict. */
#include "session/fetch.h"

#include "base/path.h"

ci_status cii_fetch_start(cii_fetch *fetch, ci_session *session, const char *key, ci_error **ret_error) {
    *fetch = (cii_fetch){.session = session, .key = strdup(key)};
    if (!fetch->key)
        return cii_error_nomem(ret_error);
    const char *rest = key + strlen(session->uploads_prefix);
    ci_status status = cii_key_check(rest, false, "upload", &fetch->error);
    if (status == CI_OK)
        status = cii_path_normalize(rest, &fetch->path, &fetch->error);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    fetch->status = status < 0 ? CI_FILE_FAILED : CI_FILE_OK;
    return CI_OK;
}

void cii_fetch_free(cii_fetch *fetch) {
    cii_op_drop(&fetch->op);
    cii_transfer_free(&fetch->transfer);
    cii_seen_free(&fetch->seen);
    free(fetch->key);
    free(fetch->path);
    ci_error_free(fetch->error);
    *fetch = (cii_fetch){0};
}

uint64_t cii_fetch_moved(const cii_fetch *fetch) {
    return fetch->stage == CII_FETCH_WRITE ? fetch->transfer.size : 0;
}

static int32_t on_stat(void *user, const ci_entry *entry) {
    cii_fetch *fetch = user;
    memcpy(&fetch->entry, entry, CII_MIN(sizeof fetch->entry, entry->struct_size));
    return 0;
}

static int end(cii_fetch *fetch, int32_t status) {
    fetch->status = status;
    return 1;
}

static int conflict(cii_fetch *fetch, const char *why) {
    cii_error_set(&fetch->error, CI_ERR_EXISTS, "session", "not written: %s", why);
    return end(fetch, CI_FILE_CONFLICT);
}

static ci_status remember_content(cii_fetch *fetch, const uint8_t sha256[32]) {
    ci_session *session = fetch->session;
    memcpy(fetch->sha256, sha256, sizeof fetch->sha256);
    fetch->is_hashed = true;
    pthread_mutex_lock(&session->lock);
    cii_known_file *known = cii_known_add(&session->known, fetch->path);
    if (known) {
        memcpy(known->preloaded, sha256, sizeof known->preloaded);
        known->is_preloaded = true;
        known->is_hashed = false;
    }
    pthread_mutex_unlock(&session->lock);
    return known ? CI_OK : cii_error_nomem(&fetch->error);
}

static ci_status start_get(cii_fetch *fetch) {
    ci_session *session = fetch->session;
    cii_transfer *t = &fetch->transfer;
    return session->storage_ops->get(session->storage_impl, fetch->key, NULL, 0, UINT64_MAX, cii_transfer_write,
                                     cii_transfer_object, t, &t->source, &fetch->error);
}

static ci_status start_write(cii_fetch *fetch) {
    ci_session *session = fetch->session;
    cii_transfer *t = &fetch->transfer;
    cii_transfer_free(t);
    fetch->stage = CII_FETCH_WRITE;
    atomic_fetch_add(&session->write_count, 1);
    ci_status status = cii_transfer_init(t, true, &fetch->error);
    if (status == CI_OK)
        status = start_get(fetch);
    if (status == CI_OK)
        status = session->ops->file_put(session->backend, fetch->path, cii_transfer_read, t, &t->sink, &fetch->error);
    return status;
}

static ci_status start_hash(cii_fetch *fetch, bool here) {
    ci_session *session = fetch->session;
    cii_transfer *t = &fetch->transfer;
    cii_transfer_free(t);
    fetch->stage = here ? CII_FETCH_HASH_HERE : CII_FETCH_HASH_THERE;
    ci_status status = cii_transfer_init(t, false, &fetch->error);
    if (status == CI_OK && here)
        status = session->ops->file_get(session->backend, fetch->path, 0, UINT64_MAX, cii_transfer_write, t, &t->source,
                                        &fetch->error);
    else if (status == CI_OK)
        status = start_get(fetch);
    return status;
}

static int step_stat(cii_fetch *fetch, cii_waits *waits) {
    ci_session *session = fetch->session;
    int r = 0;
    if (!fetch->op)
        r = session->ops->file_stat(session->backend, fetch->path, on_stat, fetch, &fetch->op, &fetch->error);
    if (r == 0)
        r = cii_op_step(&fetch->op, waits, &fetch->error);
    if (r == CI_ERR_NOTFOUND) {
        ci_error_free(TAKE_PTR(fetch->error));
        return start_write(fetch);
    }
    if (r <= 0)
        return r;
    return fetch->entry.kind == CI_KIND_REGULAR ? start_hash(fetch, true)
                                                : conflict(fetch, "there is something else of that name");
}

/* The file that is there: as an earlier upload wrote it, or the code's own? */
static int hashed_here(cii_fetch *fetch) {
    memcpy(fetch->here, fetch->transfer.sha256, sizeof fetch->here);
    pthread_mutex_lock(&fetch->session->lock);
    const cii_known_file *known = cii_known_find(&fetch->session->known, fetch->path);
    bool ours = known && known->is_preloaded && memcmp(known->preloaded, fetch->here, sizeof fetch->here) == 0;
    pthread_mutex_unlock(&fetch->session->lock);
    return ours ? start_write(fetch) : start_hash(fetch, false);
}

static int hashed_there(cii_fetch *fetch) {
    if (memcmp(fetch->here, fetch->transfer.sha256, sizeof fetch->here) != 0)
        return conflict(fetch, "the file in the sandbox was changed");
    ci_status status = remember_content(fetch, fetch->here);
    return status < 0 ? status : end(fetch, CI_FILE_PRELOADED);
}

static int step_transfer(cii_fetch *fetch, cii_waits *waits) {
    cii_transfer *t = &fetch->transfer;
    int r = cii_transfer_step(t, waits, &fetch->error);
    if (r <= 0)
        return r;
    if (fetch->stage == CII_FETCH_HASH_HERE)
        return hashed_here(fetch);
    if (t->has_object) {
        cii_seen_free(&fetch->seen);
        fetch->seen = t->object;
        fetch->is_seen = true;
        t->object = (cii_seen){0};
    }
    if (fetch->stage == CII_FETCH_HASH_THERE)
        return hashed_there(fetch);
    ci_status status = remember_content(fetch, t->sha256);
    return status < 0 ? status : end(fetch, CI_FILE_PRELOADED);
}

/* The starts above return CI_OK, 0, when they have changed the stage: then the next one goes on at once. */
int cii_fetch_step(cii_fetch *fetch, cii_waits *waits, ci_error **ret_error) {
    if (fetch->status == CI_FILE_FAILED)
        return 1;
    int r, stage;
    do {
        stage = (int)fetch->stage;
        r = fetch->stage == CII_FETCH_STAT ? step_stat(fetch, waits) : step_transfer(fetch, waits);
    } while (r == 0 && stage != (int)fetch->stage);
    if (r == 0)
        return 0;
    if (fetch->stage == CII_FETCH_WRITE)
        atomic_fetch_add(&fetch->session->write_count, 1);
    if (r > 0)
        return 1;
    if (!cii_is_fatal(r))
        return end(fetch, CI_FILE_FAILED);
    if (ret_error)
        *ret_error = TAKE_PTR(fetch->error);
    return r;
}
