/* See preload.h. A round lists the uploads, compares with what it saw last time, and brings what is new or changed,
 * several at a time (fetch.c), while archives that have come are unpacked, one at a time.
 *
 *     LIST -> BRING:   WAITING -> COMING -> (CAME ->) SETTLED -> told, in the order of their keys
 *
 * What comes of a round does not hang on which transfer is faster: it is what came of bringing all uploads first and
 * then unpacking archives, in byte order of keys. An archive waits for the one before it, and for uploads that have
 * still to come and might take the name of its folder; an upload waits for one that is a folder on its way. */
#include "session/preload.h"

#include <search.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "session/fetch.h"
#include "session/progress.h"
#include "session/unpack.h"
#include "session/walk.h"

#define LIST_PAGE 1000
#define STEP_US 20000      /* how long one step may go on without waiting */
#define PARALLEL_FETCHES 8 /* two descriptors each at most, and one of what is unpacked: fits CII_WAITS_MAX */

/* An upload as it was seen last. */
typedef struct upload {
    char *key;
    cii_seen seen;
    char *failure; /* told last, of one that is tried again; NULL: settled */
    bool needs_room;
    uint64_t activity; /* of the backend when there was no room */
} upload;

/* One that is new or changed. */
typedef struct arrival {
    char *key;
    cii_seen seen;
    enum { WAITING, COMING, POSTPONED, CAME, SETTLED } state;
    uint8_t sha256[32]; /* CAME */
    cii_report report;  /* what is to be told of it */
} arrival;

struct cii_preload {
    ci_session *session;
    enum { IDLE, LIST, BRING } stage;
    bool opening;
    bool paused; /* the round was begun by an earlier call */
    int64_t started_us;
    void *uploads;  /* tsearch(3) of upload, by key */
    char *left_out; /* by the last list, as it was told; NULL: nothing */
    ci_error *error;
    cii_progress progress;

    /* listing */
    ci_op *op;
    uint32_t listed;
    char *last_key;
    ci_status status; /* of a callback */

    arrival *arrivals; /* in byte order of keys */
    size_t arrival_count;
    size_t arrival_capacity;
    size_t next;      /* those before it have begun to come, or are postponed */
    size_t postponed; /* those before it are not */
    size_t told;      /* those before it were told */

    cii_fetch fetches[PARALLEL_FETCHES];
    arrival *coming[PARALLEL_FETCHES]; /* NULL: the place is free */

    size_t archive; /* those before it need not be unpacked any more */
    size_t rival;   /* arrivals before it do not keep the archive from its name; 0: not looked for yet */
    cii_unpack *unpack;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const upload *)a)->key, ((const upload *)b)->key);
}

static void free_upload(void *memory) {
    upload *u = memory;
    free(u->key);
    cii_seen_free(&u->seen);
    free(u->failure);
    free(u);
}

ci_status cii_preload_new(ci_session *session, cii_preload **ret_preload, ci_error **ret_error) {
    cii_preload *self = calloc(1, sizeof *self);
    if (!self)
        return cii_error_nomem(ret_error);
    self->session = session;
    *ret_preload = self;
    return CI_OK;
}

static void stop(cii_preload *self) {
    cii_op_drop(&self->op);
    for (size_t i = 0; i < PARALLEL_FETCHES; i++) {
        cii_fetch_free(&self->fetches[i]);
        self->coming[i] = NULL;
    }
    cii_unpack_free(TAKE_PTR(self->unpack));
    for (size_t i = 0; i < self->arrival_count; i++) {
        free(self->arrivals[i].key);
        cii_seen_free(&self->arrivals[i].seen);
        cii_report_free(&self->arrivals[i].report);
    }
    self->arrival_count = self->next = self->postponed = self->told = self->archive = self->rival = 0;
    free(TAKE_PTR(self->last_key));
    ci_error_free(TAKE_PTR(self->error));
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
    free(self->arrivals);
    free(self->left_out);
    tdestroy(self->uploads, free_upload);
    free(self);
}

/* Key without the prefix: the path in the sandbox. */
static const char *rest_of(const cii_preload *self, const char *key) {
    return key + strlen(self->session->uploads_prefix);
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

static ci_status tell(cii_preload *self, const ci_file_info *info) {
    ci_session *session = self->session;
    pthread_mutex_lock(&session->lock);
    ci_status status = cii_report_add(&session->pending, info);
    if (status == CI_OK && self->opening)
        status = cii_report_add(&session->opened, info);
    pthread_mutex_unlock(&session->lock);
    return status;
}

/* Those that are settled and have none before them that is not. */
static ci_status tell_settled(cii_preload *self) {
    for (; self->told < self->arrival_count && self->arrivals[self->told].state == SETTLED; self->told++) {
        cii_report *report = &self->arrivals[self->told].report;
        for (size_t i = 0; i < report->count; i++)
            if (tell(self, &report->files[i]) < 0)
                return CI_ERR_NOMEM;
        cii_report_free(report);
    }
    return CI_OK;
}

static upload *find(const cii_preload *self, const char *key) {
    const upload wanted = {.key = (char *)(uintptr_t)key};
    void *found = tfind(&wanted, &self->uploads, compare);
    return found ? *(upload **)found : NULL;
}

/* From now on it is new only when it changes, or when what failed may succeed. failure NULL: nothing did. */
static ci_status remember(cii_preload *self, arrival *a, const char *failure, bool needs_room) {
    upload *found = find(self, a->key);
    upload *kept = found ? found : calloc(1, sizeof *kept);
    if (!kept)
        return CI_ERR_NOMEM;
    if (!found) {
        kept->key = strdup(a->key);
        if (!kept->key || !tsearch(kept, &self->uploads, compare)) {
            free_upload(kept);
            return CI_ERR_NOMEM;
        }
    }
    cii_seen_free(&kept->seen);
    kept->seen = a->seen;
    a->seen = (cii_seen){0};
    free(kept->failure);
    kept->failure = failure ? strdup(failure) : NULL;
    kept->needs_room = needs_room;
    if (needs_room)
        kept->activity = self->session->ops->activity(self->session->backend);
    return kept->failure || !failure ? CI_OK : CI_ERR_NOMEM;
}

/* Ends with an upload. status: a CI_FILE_ status; sha256 NULL: not known; error NULL: none; unpack NULL: was not. */
static ci_status settle(cii_preload *self, arrival *a, int32_t status, const uint8_t *sha256, const ci_error *error,
                        const cii_unpack *unpack) {
    const char *path = rest_of(self, a->key);
    _cleanup_free_ char *name = cii_str_printf("%s%s", CII_UPLOADS, path);
    if (!name)
        return CI_ERR_NOMEM;
    char hex[65];
    if (sha256)
        cii_hex(sha256, 32, hex);
    ci_file_info info = {
        .struct_size = sizeof info,
        .path = path,
        .key = name,
        .sha256 = sha256 ? hex : NULL,
        .error = error ? ci_error_message(error) : NULL,
        .size_bytes = a->seen.size_bytes,
        .modified_ms = a->seen.modified_ms,
        .kind = CI_KIND_REGULAR,
        .status = status,
    };
    if (unpack)
        cii_unpack_tell(unpack, &info);
    const bool limit = error && ci_error_status(error) == CI_ERR_LIMIT;
    const bool again = status == CI_FILE_FAILED && (limit || ci_error_retryable(error));
    const upload *last = find(self, a->key);
    const bool is_told = again && last && last->failure && strcmp(last->failure, info.error) == 0 &&
                         cii_seen_same(&last->seen, &a->seen);
    ci_status told = is_told ? CI_OK : cii_report_add(&a->report, &info);
    if (told == CI_OK && unpack)
        told = cii_unpack_tell_refused(unpack, &a->report);
    if (told == CI_OK)
        told = remember(self, a, again ? info.error : NULL, again && limit);
    a->state = SETTLED;
    return told < 0 ? told : tell_settled(self);
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
    return !why ? CI_OK : !self->left_out ? CI_ERR_NOMEM : tell(self, &info);
}

/* --- listing ------------------------------------------------------------------------------------------------------- */

/* Whether there may be room by now for what failed for lack of it. */
static bool may_fit(const cii_preload *self, const upload *u) {
    ci_session *session = self->session;
    ci_host_dirs dirs = {.struct_size = sizeof dirs};
    struct statvfs fs;
    if ((session->capabilities & CI_CAP_HOST_PATHS) &&
        session->ops->host_dirs(session->backend, &dirs, NULL) == CI_OK && fstatvfs(dirs.files_fd, &fs) == 0)
        return u->seen.size_bytes <= (uint64_t)fs.f_bavail * fs.f_frsize && (fs.f_favail > 0 || fs.f_files == 0);
    uint64_t activity = session->ops->activity(session->backend);
    return activity == 0 || activity != u->activity;
}

static bool is_known(const cii_preload *self, const ci_object *object) {
    const upload *u = find(self, object->key);
    const cii_seen seen = {(char *)(uintptr_t)object->etag, object->size_bytes, object->modified_ms};
    if (!u || !cii_seen_same(&u->seen, &seen))
        return false;
    return !u->failure || (u->needs_room && !may_fit(self, u));
}

static ci_status enqueue(cii_preload *self, const ci_object *object) {
    if (self->arrival_count == self->arrival_capacity) {
        size_t capacity = self->arrival_capacity ? self->arrival_capacity * 2 : 16;
        arrival *arrivals = realloc(self->arrivals, capacity * sizeof *arrivals);
        if (!arrivals)
            return CI_ERR_NOMEM;
        self->arrivals = arrivals;
        self->arrival_capacity = capacity;
    }
    arrival *a = &self->arrivals[self->arrival_count++];
    *a = (arrival){.key = strdup(object->key)};
    cii_progress_add(&self->progress, object->size_bytes);
    return a->key ? cii_seen_set(&a->seen, object) : CI_ERR_NOMEM;
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
    if (!cii_str_starts(object->key, self->session->uploads_prefix) || !*rest_of(self, object->key) ||
        cii_str_ends(object->key, "/"))
        return 0; /* a marker of a folder */
    if (self->status == CI_OK && !is_known(self, object))
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

static int compare_arrivals(const void *a, const void *b) {
    return strcmp(((const arrival *)a)->key, ((const arrival *)b)->key);
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
    if (self->arrival_count > 1)
        qsort(self->arrivals, self->arrival_count, sizeof *self->arrivals, compare_arrivals);
    self->stage = BRING;
    return 0;
}

/* --- bringing ------------------------------------------------------------------------------------------------------ */

/* How long the name of the folder is that an archive would be unpacked into; 0: it is none. */
static size_t folder_size(const cii_preload *self, const char *key) {
    const char *base = cii_path_base(key);
    size_t stem = 0;
    if ((self->session->options.flags & CI_SESSION_NO_UNPACK) || !cii_archive_is_name(base, &stem) || stem == 0)
        return 0;
    return (size_t)(base - key) + stem;
}

/* Whether one that is coming would be a folder on this one's way. */
static bool has_to_wait(const cii_preload *self, const arrival *a) {
    for (size_t i = 0; i < PARALLEL_FETCHES; i++) {
        const char *key = self->coming[i] ? self->coming[i]->key : NULL;
        if (key && cii_str_starts(a->key, key) && a->key[strlen(key)] == '/')
            return true;
    }
    return false;
}

static bool is_alone(const cii_preload *self) {
    for (size_t i = 0; i < PARALLEL_FETCHES; i++)
        if (self->coming[i])
            return false;
    return true;
}

/* The next to come; NULL: none for now. */
static arrival *take_next(cii_preload *self) {
    if (self->next < self->arrival_count)
        return has_to_wait(self, &self->arrivals[self->next]) ? NULL : &self->arrivals[self->next++];
    if (!is_alone(self))
        return NULL;
    while (self->postponed < self->arrival_count)
        if (self->arrivals[self->postponed++].state == POSTPONED)
            return &self->arrivals[self->postponed - 1];
    return NULL;
}

static ci_status end_fetch(cii_preload *self, size_t place) {
    cii_fetch *fetch = &self->fetches[place];
    arrival *a = self->coming[place];
    self->coming[place] = NULL;
    const uint64_t moved = cii_fetch_moved(fetch);
    /* What others had half of then may have taken the room: once more, when there are none. */
    if (fetch->status == CI_FILE_FAILED && ci_error_status(fetch->error) == CI_ERR_LIMIT && !is_alone(self)) {
        a->state = POSTPONED;
        self->progress.bytes_done += moved;
        return CI_OK;
    }
    cii_progress_done(&self->progress, a->seen.size_bytes, fetch->status == CI_FILE_PRELOADED, moved);
    if (fetch->is_seen) { /* what came, which may not be what was listed */
        cii_seen_free(&a->seen);
        a->seen = fetch->seen;
        fetch->seen = (cii_seen){0};
    }
    if (fetch->status == CI_FILE_PRELOADED && fetch->stage == CII_FETCH_WRITE && folder_size(self, a->key) > 0) {
        memcpy(a->sha256, fetch->sha256, sizeof a->sha256);
        a->state = CAME;
        return CI_OK;
    }
    return settle(self, a, fetch->status, fetch->is_hashed ? fetch->sha256 : NULL, fetch->error, NULL);
}

/* 1: none comes any more. */
static int step_fetches(cii_preload *self, cii_waits *waits) {
    bool busy = false;
    for (size_t i = 0; i < PARALLEL_FETCHES; i++) {
        if (!self->coming[i]) {
            arrival *a = take_next(self);
            if (!a)
                continue;
            a->state = COMING;
            self->coming[i] = a;
            if (cii_fetch_start(&self->fetches[i], self->session, a->key, &self->error) < 0)
                return CI_ERR_NOMEM;
        }
        busy = true;
        int r = cii_fetch_step(&self->fetches[i], waits, &self->error);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        ci_status status = end_fetch(self, i);
        cii_fetch_free(&self->fetches[i]);
        waits->again = true;
        if (status < 0)
            return status;
    }
    return busy ? 0 : 1;
}

/* --- unpacking ----------------------------------------------------------------------------------------------------- */

static size_t first_from(const cii_preload *self, const char *text, size_t size) {
    size_t low = 0, high = self->arrival_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strncmp(self->arrivals[middle].key, text, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether an upload that is still to come might take a name that the archive's folder could have: "a", or "a (2)". */
static bool has_rival(cii_preload *self, const arrival *archive) {
    const size_t size = folder_size(self, archive->key);
    if (self->rival == 0)
        self->rival = first_from(self, archive->key, size);
    for (; self->rival < self->arrival_count; self->rival++) {
        const arrival *a = &self->arrivals[self->rival];
        if (strncmp(a->key, archive->key, size) != 0)
            return false;
        const char *after = a->key + size;
        if (a->state < CAME && (!*after || *after == '/' || cii_str_starts(after, " (")))
            return true;
    }
    return false;
}

/* 1: there is none to be unpacked. */
static int start_unpack(cii_preload *self) {
    for (; self->archive < self->arrival_count; self->archive++, self->rival = 0) {
        const arrival *a = &self->arrivals[self->archive];
        if (a->state == SETTLED || folder_size(self, a->key) == 0)
            continue;
        if (a->state != CAME || has_rival(self, a))
            return 1;
        return cii_unpack_start(self->session, rest_of(self, a->key), &self->unpack, &self->error);
    }
    return 1;
}

static int step_unpack(cii_preload *self, cii_waits *waits) {
    int r = self->unpack ? 0 : start_unpack(self);
    if (r == 0)
        r = cii_unpack_step(self->unpack, waits, &self->error);
    if (r <= 0 || !self->unpack)
        return r;
    arrival *a = &self->arrivals[self->archive++];
    self->rival = 0;
    ci_status status = settle(self, a, CI_FILE_UNPACKED, a->sha256, NULL, self->unpack);
    cii_unpack_free(TAKE_PTR(self->unpack));
    waits->again = true;
    return status;
}

/* --- rounds -------------------------------------------------------------------------------------------------------- */

static void tell_progress(cii_preload *self, bool is_end) {
    uint64_t moving = 0, expected = 0;
    for (size_t i = 0; i < PARALLEL_FETCHES; i++) {
        uint64_t moved = self->coming[i] ? cii_fetch_moved(&self->fetches[i]) : 0;
        moving += moved;
        expected += self->coming[i] ? CII_MIN(moved, self->coming[i]->seen.size_bytes) : 0;
    }
    cii_progress_tell(self->session, &self->progress, moving, expected, is_end);
}

static int step_bring(cii_preload *self, cii_waits *waits) {
    int fetches = step_fetches(self, waits);
    int unpacks = fetches < 0 ? 0 : step_unpack(self, waits);
    tell_progress(self, false);
    if (fetches < 0 || unpacks < 0)
        return fetches < 0 ? fetches : unpacks;
    if (self->told < self->arrival_count)
        return 0;
    if (self->arrival_count > 0)
        cii_session_trace(self->session, "preload", cii_clock_us() - self->started_us);
    tell_progress(self, true);
    bool was_paused = self->paused; /* what came since it began is new for this call */
    stop(self);
    return was_paused ? 0 : 1;
}

/* 1: the round is over; otherwise as ci_status. */
static int step(cii_preload *self, cii_waits *waits) {
    switch (self->stage) {
    case IDLE:
        self->started_us = cii_clock_us();
        cii_progress_start(&self->progress, "preload");
        return start_list(self);
    case LIST:
        return step_list(self, waits);
    case BRING:
        return step_bring(self, waits);
    }
    return CI_ERR_INTERNAL;
}

/* A later round whose storage fails does not keep the code from running: it is told like a failed upload. */
static int fail_round(cii_preload *self, int r, ci_error **ret_error) {
    if (!cii_is_fatal(r) && self->stage != BRING && !self->opening) {
        const char *why = ci_error_message(self->error);
        const ci_file_info info = {.struct_size = sizeof info,
                                   .path = CII_UPLOADS,
                                   .error = why,
                                   .kind = CI_KIND_DIRECTORY,
                                   .status = CI_FILE_FAILED};
        cii_session_log(self->session, CI_LOG_WARNING, "uploads: %s", why);
        int told = tell(self, &info);
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
