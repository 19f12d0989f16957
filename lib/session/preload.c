/* See preload.h. A round lists the uploads, compares with what it saw last time, and brings what is new or changed:
 *
 *     LIST -> for each new one: STAT -> (HASH_HERE -> HASH_THERE ->) FETCH -> (UNPACK ->) told
 *
 * A file that is there already is only replaced if it is what an earlier round put there; if it happens to be the same
 * as the upload, nothing is done; otherwise it is a conflict, which is told once. */
#include "session/preload.h"

#include <search.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "session/save.h"
#include "session/unpack.h"
#include "session/walk.h"

#define LIST_PAGE 1000
#define STEP_US 20000 /* how long one step may go on without waiting */

/* An upload as it was seen last. */
typedef struct upload {
    char *key;
    char *etag; /* NULL: not known */
    uint64_t size_bytes;
    int64_t modified_ms;
    char *failure; /* told last, of one that is tried again; NULL: settled */
    bool needs_room;
    uint64_t activity; /* of the backend when there was no room */
} upload;

struct cii_preload {
    ci_session *session;
    enum { IDLE, LIST, NEXT, STAT, HASH_HERE, HASH_THERE, FETCH, UNPACK } stage;
    bool opening;
    bool paused; /* the round was begun by an earlier call */
    int64_t started_us;
    void *uploads;  /* tsearch(3) of upload, by key */
    char *left_out; /* by the last list, as it was told; NULL: nothing */
    ci_op *op;
    uint32_t listed;
    char *last_key;
    upload *queue; /* new or changed */
    size_t queue_count;
    size_t queue_capacity;
    size_t queue_at;
    ci_status status; /* of a callback */

    /* the upload being brought */
    char *path; /* in the sandbox */
    ci_entry entry;
    cii_transfer transfer;
    uint8_t here[32]; /* hash of the file that is there */
    cii_unpack *unpack;
    ci_error *error;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const upload *)a)->key, ((const upload *)b)->key);
}

static void free_upload(void *memory) {
    upload *u = memory;
    free(u->key);
    free(u->etag);
    free(u->failure);
    free(u);
}

static upload *current(const cii_preload *self) {
    return &self->queue[self->queue_at];
}

ci_status cii_preload_new(ci_session *session, cii_preload **ret_preload, ci_error **ret_error) {
    cii_preload *self = calloc(1, sizeof *self);
    if (!self)
        return cii_error_nomem(ret_error);
    self->session = session;
    *ret_preload = self;
    return CI_OK;
}

/* Between two uploads. */
static void clear_current(cii_preload *self) {
    cii_transfer_free(&self->transfer);
    cii_unpack_free(TAKE_PTR(self->unpack));
    free(TAKE_PTR(self->path));
    ci_error_free(TAKE_PTR(self->error));
    self->entry = (ci_entry){0};
}

static void stop(cii_preload *self) {
    cii_op_drop(&self->op);
    clear_current(self);
    for (size_t i = 0; i < self->queue_count; i++) {
        free(self->queue[i].key);
        free(self->queue[i].etag);
    }
    self->queue_count = self->queue_at = 0;
    free(TAKE_PTR(self->last_key));
    self->status = CI_OK;
    self->paused = false;
    self->stage = IDLE;
}

void cii_preload_pause(cii_preload *self) {
    self->paused = self->stage != IDLE;
}

void cii_preload_free(cii_preload *self) {
    if (!self)
        return;
    stop(self);
    free(self->queue);
    free(self->left_out);
    tdestroy(self->uploads, free_upload);
    free(self);
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

static ci_status report(cii_preload *self, const ci_file_info *info) {
    ci_session *session = self->session;
    pthread_mutex_lock(&session->lock);
    ci_status status = cii_report_add(&session->pending, info);
    if (status == CI_OK && self->unpack)
        status = cii_unpack_tell_refused(self->unpack, &session->pending);
    if (status == CI_OK && self->opening)
        status = cii_report_add(&session->opened, info);
    if (status == CI_OK && self->opening && self->unpack)
        status = cii_unpack_tell_refused(self->unpack, &session->opened);
    pthread_mutex_unlock(&session->lock);
    return status;
}

static upload *find(const cii_preload *self, const char *key) {
    const upload wanted = {.key = (char *)(uintptr_t)key};
    void *found = tfind(&wanted, &self->uploads, compare);
    return found ? *(upload **)found : NULL;
}

static bool is_same(const upload *u, const char *etag, uint64_t size_bytes, int64_t modified_ms) {
    bool same_etag = u->etag && etag ? strcmp(u->etag, etag) == 0 : u->etag == etag;
    return same_etag && u->size_bytes == size_bytes && u->modified_ms == modified_ms;
}

/* From now on it is new only when it changes, or when what failed may succeed. failure NULL: nothing did. */
static ci_status remember(cii_preload *self, const char *failure) {
    upload *seen = current(self);
    upload *found = find(self, seen->key);
    upload *kept = found ? found : calloc(1, sizeof *kept);
    if (!kept)
        return CI_ERR_NOMEM;
    if (!found) {
        kept->key = strdup(seen->key);
        if (!kept->key || !tsearch(kept, &self->uploads, compare)) {
            free_upload(kept);
            return CI_ERR_NOMEM;
        }
    }
    free(kept->etag);
    kept->etag = TAKE_PTR(seen->etag);
    kept->size_bytes = seen->size_bytes;
    kept->modified_ms = seen->modified_ms;
    free(kept->failure);
    kept->failure = failure ? strdup(failure) : NULL;
    kept->needs_room = failure && ci_error_status(self->error) == CI_ERR_LIMIT;
    if (kept->needs_room)
        kept->activity = self->session->ops->activity(self->session->backend);
    return kept->failure || !failure ? CI_OK : CI_ERR_NOMEM;
}

static ci_status remember_content(cii_preload *self, const uint8_t sha256[32]) {
    ci_session *session = self->session;
    pthread_mutex_lock(&session->lock);
    cii_known_file *known = cii_known_add(&session->known, self->path);
    if (known) {
        memcpy(known->preloaded, sha256, sizeof known->preloaded);
        known->is_preloaded = true;
        known->is_hashed = false;
    }
    pthread_mutex_unlock(&session->lock);
    return known ? CI_OK : CI_ERR_NOMEM;
}

/* Ends with the current upload. status: a CI_FILE_ status; sha256 NULL: not known; self->error tells why it failed. */
static ci_status tell(cii_preload *self, int32_t status, const uint8_t *sha256) {
    const upload *u = current(self);
    const char *rest = u->key + strlen(self->session->uploads_prefix);
    _cleanup_free_ char *name = cii_str_printf("%s%s", CII_UPLOADS, rest);
    char hex[65];
    if (sha256)
        cii_hex(sha256, 32, hex);
    ci_file_info info = {
        .struct_size = sizeof info,
        .path = self->path ? self->path : rest,
        .key = name,
        .sha256 = sha256 ? hex : NULL,
        .error = self->error ? ci_error_message(self->error) : NULL,
        .size_bytes = u->size_bytes,
        .modified_ms = u->modified_ms,
        .kind = CI_KIND_REGULAR,
        .status = status,
    };
    if (self->unpack)
        cii_unpack_tell(self->unpack, &info);
    const bool limit = self->error && ci_error_status(self->error) == CI_ERR_LIMIT;
    const bool again = status == CI_FILE_FAILED && (limit || ci_error_retryable(self->error));
    const upload *last = find(self, u->key);
    const bool is_told = again && last && last->failure && strcmp(last->failure, info.error) == 0 &&
                         is_same(last, u->etag, u->size_bytes, u->modified_ms);
    if (!name || (!is_told && report(self, &info) < 0) || remember(self, again ? info.error : NULL) < 0)
        return CI_ERR_NOMEM;
    clear_current(self);
    self->queue_at++;
    self->stage = NEXT;
    return CI_OK;
}

/* What the storage holds and cannot give, once until it is something else. */
static ci_status tell_left_out(cii_preload *self, const char *why) {
    bool is_told = why && self->left_out && strcmp(why, self->left_out) == 0;
    if (is_told)
        return CI_OK;
    free(self->left_out);
    self->left_out = why ? strdup(why) : NULL;
    const ci_file_info info = {.struct_size = sizeof info,
                               .path = CII_UPLOADS,
                               .error = why,
                               .kind = CI_KIND_DIRECTORY,
                               .status = CI_FILE_FAILED};
    return !why ? CI_OK : !self->left_out ? CI_ERR_NOMEM : report(self, &info);
}

/* self->error says why this upload cannot be brought; the next one may. */
static ci_status fail(cii_preload *self, ci_status status) {
    return cii_is_fatal(status) ? status : tell(self, CI_FILE_FAILED, NULL);
}

/* --- listing ------------------------------------------------------------------------------------------------------- */

/* Whether there may be room by now for what failed for lack of it. */
static bool may_fit(const cii_preload *self, const upload *u) {
    ci_session *session = self->session;
    ci_host_dirs dirs = {.struct_size = sizeof dirs};
    struct statvfs fs;
    if ((session->capabilities & CI_CAP_HOST_PATHS) &&
        session->ops->host_dirs(session->backend, &dirs, NULL) == CI_OK && fstatvfs(dirs.files_fd, &fs) == 0)
        return u->size_bytes <= (uint64_t)fs.f_bavail * fs.f_frsize && (fs.f_favail > 0 || fs.f_files == 0);
    uint64_t activity = session->ops->activity(session->backend);
    return activity == 0 || activity != u->activity;
}

static bool is_seen(const cii_preload *self, const ci_object *object) {
    const upload *u = find(self, object->key);
    if (!u || !is_same(u, object->etag, object->size_bytes, object->modified_ms))
        return false;
    return !u->failure || (u->needs_room && !may_fit(self, u));
}

static ci_status enqueue(cii_preload *self, const ci_object *object) {
    if (self->queue_count == self->queue_capacity) {
        size_t capacity = self->queue_capacity ? self->queue_capacity * 2 : 16;
        upload *queue = realloc(self->queue, capacity * sizeof *queue);
        if (!queue)
            return CI_ERR_NOMEM;
        self->queue = queue;
        self->queue_capacity = capacity;
    }
    upload *u = &self->queue[self->queue_count++];
    *u = (upload){
        .key = strdup(object->key),
        .etag = object->etag ? strdup(object->etag) : NULL,
        .size_bytes = object->size_bytes,
        .modified_ms = object->modified_ms,
    };
    return u->key && (u->etag || !object->etag) ? CI_OK : CI_ERR_NOMEM;
}

static int32_t on_object(void *user, const ci_object *object) {
    cii_preload *self = user;
    self->listed++;
    if (self->listed == LIST_PAGE) {
        free(self->last_key);
        self->last_key = strdup(object->key);
        if (!self->last_key)
            self->status = CI_ERR_NOMEM;
    }
    size_t prefix = strlen(self->session->uploads_prefix);
    if (strncmp(object->key, self->session->uploads_prefix, prefix) != 0 || !object->key[prefix] ||
        cii_str_ends(object->key, "/"))
        return 0; /* a marker of a folder */
    if (self->status == CI_OK && !is_seen(self, object))
        self->status = enqueue(self, object);
    return self->status < 0 ? -1 : 0;
}

static ci_status start_list(cii_preload *self) {
    ci_session *session = self->session;
    self->listed = 0;
    self->stage = LIST;
    return session->storage_ops->list(session->storage_impl, session->uploads_prefix, self->last_key, LIST_PAGE,
                                      on_object, self, &self->op, &self->error);
}

static bool is_archive(const cii_preload *self, const char *key) {
    size_t stem = 0;
    return !(self->session->options.flags & CI_SESSION_NO_UNPACK) && cii_archive_is_name(cii_path_base(key), &stem) &&
           stem > 0;
}

/* Archives last, so that a folder of uploads gets its name before one that is unpacked. */
static int compare_turn(const void *a, const void *b, void *user) {
    const upload *one = a, *two = b;
    int archives = (int)is_archive(user, one->key) - (int)is_archive(user, two->key);
    return archives ? archives : strcmp(one->key, two->key);
}

static int step_list(cii_preload *self, cii_waits *waits) {
    int r = cii_op_step(&self->op, waits, &self->error);
    if (self->status < 0)
        return self->status;
    if (r <= 0 && r != CI_ERR_NOTSUP)
        return r;
    if (r > 0 && self->listed >= LIST_PAGE)
        return start_list(self);
    if (tell_left_out(self, r > 0 ? NULL : ci_error_message(self->error)) < 0)
        return CI_ERR_NOMEM;
    ci_error_free(TAKE_PTR(self->error));
    if (self->queue_count > 1)
        qsort_r(self->queue, self->queue_count, sizeof *self->queue, compare_turn, self);
    self->stage = NEXT;
    return 0;
}

/* --- bringing ------------------------------------------------------------------------------------------------------ */

static int32_t on_stat(void *user, const ci_entry *entry) {
    cii_preload *self = user;
    memcpy(&self->entry, entry, CII_MIN(sizeof self->entry, entry->struct_size));
    return 0;
}

static ci_status start_next(cii_preload *self) {
    const char *rest = current(self)->key + strlen(self->session->uploads_prefix);
    ci_status status = cii_key_check(rest, false, "upload", &self->error);
    if (status == CI_OK)
        status = cii_path_normalize(rest, &self->path, &self->error);
    self->stage = STAT;
    return status < 0 ? fail(self, status) : CI_OK;
}

static ci_status start_fetch(cii_preload *self) {
    ci_session *session = self->session;
    cii_transfer *t = &self->transfer;
    self->stage = FETCH;
    atomic_fetch_add(&session->write_count, 1);
    ci_status status = cii_transfer_init(t, true, &self->error);
    if (status == CI_OK)
        status = session->storage_ops->get(session->storage_impl, current(self)->key, NULL, 0, UINT64_MAX,
                                           cii_transfer_write, NULL, t, &t->source, &self->error);
    if (status == CI_OK)
        status = session->ops->file_put(session->backend, self->path, cii_transfer_read, t, &t->sink, &self->error);
    return status < 0 ? fail(self, status) : CI_OK;
}

static ci_status conflict(cii_preload *self, const char *why) {
    cii_error_set(&self->error, CI_ERR_EXISTS, "session", "not written: %s", why);
    return tell(self, CI_FILE_CONFLICT, NULL);
}

static ci_status start_hash(cii_preload *self, bool here) {
    ci_session *session = self->session;
    cii_transfer *t = &self->transfer;
    cii_transfer_free(t);
    self->stage = here ? HASH_HERE : HASH_THERE;
    ci_status status = cii_transfer_init(t, false, &self->error);
    if (status == CI_OK && here)
        status = session->ops->file_get(session->backend, self->path, 0, UINT64_MAX, cii_transfer_write, t, &t->source,
                                        &self->error);
    else if (status == CI_OK)
        status = session->storage_ops->get(session->storage_impl, current(self)->key, NULL, 0, UINT64_MAX,
                                           cii_transfer_write, NULL, t, &t->source, &self->error);
    return status < 0 ? fail(self, status) : CI_OK;
}

static ci_status step_stat(cii_preload *self, cii_waits *waits) {
    ci_session *session = self->session;
    int r = 0;
    if (!self->op)
        r = session->ops->file_stat(session->backend, self->path, on_stat, self, &self->op, &self->error);
    if (r == 0)
        r = cii_op_step(&self->op, waits, &self->error);
    if (r == 0)
        return 0;
    if (r == CI_ERR_NOTFOUND) {
        ci_error_free(TAKE_PTR(self->error));
        return start_fetch(self);
    }
    if (r < 0)
        return fail(self, r);
    return self->entry.kind == CI_KIND_REGULAR ? start_hash(self, true)
                                               : conflict(self, "there is something else of that name");
}

/* The file that is there: as an earlier round wrote it, or the code's own? */
static ci_status step_hash_here(cii_preload *self, cii_waits *waits) {
    int r = cii_transfer_step(&self->transfer, waits, &self->error);
    if (r <= 0)
        return r < 0 ? fail(self, r) : CI_OK;
    memcpy(self->here, self->transfer.sha256, sizeof self->here);
    pthread_mutex_lock(&self->session->lock);
    const cii_known_file *known = cii_known_find(&self->session->known, self->path);
    bool ours = known && known->is_preloaded && memcmp(known->preloaded, self->here, sizeof self->here) == 0;
    pthread_mutex_unlock(&self->session->lock);
    cii_transfer_free(&self->transfer);
    return ours ? start_fetch(self) : start_hash(self, false);
}

static ci_status step_hash_there(cii_preload *self, cii_waits *waits) {
    int r = cii_transfer_step(&self->transfer, waits, &self->error);
    if (r <= 0)
        return r < 0 ? fail(self, r) : CI_OK;
    if (memcmp(self->here, self->transfer.sha256, sizeof self->here) != 0)
        return conflict(self, "the file in the sandbox was changed");
    if (remember_content(self, self->here) < 0)
        return CI_ERR_NOMEM;
    return tell(self, CI_FILE_PRELOADED, self->here);
}

static ci_status step_fetch(cii_preload *self, cii_waits *waits) {
    cii_transfer *t = &self->transfer;
    int r = cii_transfer_step(t, waits, &self->error);
    if (r == 0)
        return 0;
    atomic_fetch_add(&self->session->write_count, 1);
    if (r < 0)
        return fail(self, r);
    if (remember_content(self, t->sha256) < 0)
        return CI_ERR_NOMEM;
    if (!is_archive(self, self->path))
        return tell(self, CI_FILE_PRELOADED, t->sha256);
    self->stage = UNPACK;
    return cii_unpack_start(self->session, self->path, &self->unpack, &self->error);
}

static ci_status step_unpack(cii_preload *self, cii_waits *waits) {
    int r = cii_unpack_step(self->unpack, waits, &self->error);
    return r <= 0 ? r : tell(self, CI_FILE_UNPACKED, self->transfer.sha256);
}

/* --- rounds -------------------------------------------------------------------------------------------------------- */

static int end_round(cii_preload *self) {
    if (self->queue_count > 0)
        cii_session_trace(self->session, "preload", cii_clock_us() - self->started_us);
    bool was_paused = self->paused; /* what came since it began is new for this call */
    stop(self);
    return was_paused ? 0 : 1;
}

/* 1: the round is over; otherwise as ci_status. */
static int step(cii_preload *self, cii_waits *waits) {
    switch (self->stage) {
    case IDLE:
        self->started_us = cii_clock_us();
        return start_list(self);
    case LIST:
        return step_list(self, waits);
    case NEXT:
        return self->queue_at == self->queue_count ? end_round(self) : start_next(self);
    case STAT:
        return step_stat(self, waits);
    case HASH_HERE:
        return step_hash_here(self, waits);
    case HASH_THERE:
        return step_hash_there(self, waits);
    case FETCH:
        return step_fetch(self, waits);
    case UNPACK:
        return step_unpack(self, waits);
    }
    return CI_ERR_INTERNAL;
}

/* A later round whose storage fails does not keep the code from running: it is told like a failed upload. */
static int fail_round(cii_preload *self, int r, ci_error **ret_error) {
    bool listing = self->stage == LIST || self->stage == IDLE;
    if (!cii_is_fatal(r) && listing && !self->opening) {
        const char *why = ci_error_message(self->error);
        const ci_file_info info = {.struct_size = sizeof info,
                                   .path = CII_UPLOADS,
                                   .error = why,
                                   .kind = CI_KIND_DIRECTORY,
                                   .status = CI_FILE_FAILED};
        cii_session_log(self->session, CI_LOG_WARNING, "uploads: %s", why);
        int told = report(self, &info);
        stop(self);
        return told < 0 ? cii_error_nomem(ret_error) : 1;
    }
    if (ret_error && self->error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(self->error);
    }
    stop(self);
    return r == CI_ERR_NOMEM ? cii_error_nomem(ret_error) : cii_error_wrap(ret_error, r, "uploads");
}

int cii_preload_step(cii_preload *self, bool opening, cii_waits *waits, ci_error **ret_error) {
    const uint32_t flags = self->session->options.flags;
    if (!self->session->storage_ops || (flags & CI_SESSION_NO_PRELOAD) ||
        (!opening && (flags & CI_SESSION_PRELOAD_ONCE)))
        return 1;
    self->opening = opening;
    const int64_t end_us = cii_clock_us() + STEP_US;
    while (waits->count == 0 && !waits->again) { /* each step that waits says for what */
        int r = step(self, waits);
        if (r == 1)
            return 1;
        if (r < 0)
            return fail_round(self, r, ret_error);
        waits->again |= cii_clock_us() >= end_us;
    }
    return 0;
}
