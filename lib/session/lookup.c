/* See lookup.h. A list costs a request for a thousand objects, a stat one for each: so all is listed, below the longest
 * prefix that the keys have in common, unless there is but a handful of files. A workspace may hold far more than is
 * looked for: after as many pages as would cost an eighth of asking, those that are left are asked for. */
#include "session/lookup.h"

#include "base/str.h"

#define LIST_PAGE 1000
#define ASKED_FOR 8 /* so few files are asked for one by one */

typedef struct cii_lookup_file {
    const char *path;
    cii_listed *listed; /* NULL: no list had it */
} lookup_file;

void cii_lookup_init(cii_lookup *lookup, ci_session *session) {
    *lookup = (cii_lookup){.session = session};
}

void cii_lookup_free(cii_lookup *lookup) {
    cii_op_drop(&lookup->op);
    for (size_t i = 0; i < lookup->count; i++) {
        if (lookup->files[i].listed)
            cii_seen_free(&lookup->files[i].listed->seen);
        free(lookup->files[i].listed);
    }
    free(lookup->files);
    free(lookup->prefix);
    free(lookup->last_key);
    *lookup = (cii_lookup){0};
}

ci_status cii_lookup_add(cii_lookup *lookup, const char *path) {
    if (lookup->count == lookup->capacity) {
        size_t capacity = lookup->capacity ? lookup->capacity * 2 : 64;
        lookup_file *files = realloc(lookup->files, capacity * sizeof *files);
        if (!files)
            return CI_ERR_NOMEM;
        lookup->files = files;
        lookup->capacity = capacity;
    }
    lookup->files[lookup->count++] = (lookup_file){.path = path};
    return CI_OK;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const lookup_file *)a)->path, ((const lookup_file *)b)->path);
}

static lookup_file *find(const cii_lookup *lookup, const char *path) {
    const lookup_file wanted = {.path = path};
    return lookup->count ? bsearch(&wanted, lookup->files, lookup->count, sizeof wanted, compare) : NULL;
}

/* Sorted, and each but once. */
static void sort(cii_lookup *lookup) {
    size_t kept = 0;
    qsort(lookup->files, lookup->count, sizeof *lookup->files, compare);
    for (size_t i = 0; i < lookup->count; i++)
        if (kept == 0 || compare(&lookup->files[kept - 1], &lookup->files[i]) != 0)
            lookup->files[kept++] = lookup->files[i];
    lookup->count = kept;
}

static const char *path_of(const cii_lookup *lookup, const char *key) {
    const char *prefix = lookup->session->output_prefix;
    return cii_str_starts(key, prefix) ? key + strlen(prefix) : NULL;
}

static ci_status keep(lookup_file *file, const ci_object *object) {
    if (!file->listed)
        file->listed = calloc(1, sizeof *file->listed);
    cii_listed *listed = file->listed;
    if (!listed || cii_seen_set(&listed->seen, object) < 0)
        return CI_ERR_NOMEM;
    listed->is_there = true;
    listed->is_hashed = object->sha256 != NULL;
    if (object->sha256)
        memcpy(listed->sha256, object->sha256, sizeof listed->sha256);
    return CI_OK;
}

/* A list is sorted too: most often it tells of the file behind the last one. */
static lookup_file *find_next(cii_lookup *lookup, const char *path) {
    lookup_file *file = lookup->files + lookup->next;
    if (lookup->next == lookup->count || strcmp(file->path, path) != 0)
        file = find(lookup, path);
    if (file)
        lookup->next = (size_t)(file - lookup->files) + 1;
    return file;
}

static int32_t on_object(void *user, const ci_object *object) {
    cii_lookup *lookup = user;
    if (!lookup->is_begun) {
        lookup->is_told = true;
        return -1;
    }
    if (++lookup->listed == LIST_PAGE) {
        free(lookup->last_key);
        lookup->last_key = strdup(object->key);
        if (!lookup->last_key)
            lookup->status = CI_ERR_NOMEM;
    }
    const char *path = path_of(lookup, object->key);
    lookup_file *file = path ? find_next(lookup, path) : NULL;
    if (file && lookup->status == CI_OK)
        lookup->status = keep(file, object);
    return lookup->status < 0 ? -1 : 0;
}

static ci_status start_page(cii_lookup *lookup, ci_error **ret_error) {
    ci_session *session = lookup->session;
    return session->storage_ops->list(session->storage_impl, lookup->prefix, lookup->last_key, LIST_PAGE, on_object,
                                      lookup, &lookup->op, ret_error);
}

void cii_lookup_guess(cii_lookup *lookup) {
    ci_session *session = lookup->session;
    lookup->is_whole_push = true;
    if (session->storage_ops->capabilities & CI_STORAGE_CAP_BLOCKING)
        return;
    pthread_mutex_lock(&session->lock);
    lookup->prefix = session->pushed_prefix ? strdup(session->pushed_prefix) : NULL;
    pthread_mutex_unlock(&session->lock);
    cii_waits waits = {.due_us = CII_NEVER};
    if (lookup->prefix && start_page(lookup, NULL) == CI_OK)
        lookup->is_told = cii_op_step(&lookup->op, &waits, NULL) != 0;
    lookup->is_guess = lookup->op != NULL;
}

/* What the next push may guess; NULL: nothing. */
static void remember(const cii_lookup *lookup, const char *looked_for) {
    ci_session *session = lookup->session;
    if (!lookup->is_whole_push)
        return;
    char *prefix = looked_for ? strdup(looked_for) : NULL;
    pthread_mutex_lock(&session->lock);
    free(session->pushed_prefix);
    session->pushed_prefix = prefix;
    pthread_mutex_unlock(&session->lock);
}

static ci_status begin(cii_lookup *lookup) {
    sort(lookup);
    const char *first = lookup->files[0].path, *last = lookup->files[lookup->count - 1].path;
    int common = 0;
    while (first[common] && first[common] == last[common])
        common++;
    _cleanup_free_ char *prefix = cii_str_printf("%s%.*s", lookup->session->output_prefix, common, first);
    if (!prefix)
        return CI_ERR_NOMEM;
    if (lookup->is_told || !lookup->prefix || strcmp(lookup->prefix, prefix) != 0) {
        cii_op_drop(&lookup->op);
        free(lookup->prefix);
        lookup->prefix = TAKE_PTR(prefix);
        lookup->is_guess = false;
        remember(lookup, lookup->prefix);
    }
    lookup->pages_left = 1 + lookup->count / ASKED_FOR;
    lookup->is_begun = true;
    return CI_OK;
}

/* Whether the last page went beyond all that is looked for. */
static bool is_beyond(const cii_lookup *lookup) {
    const char *path = lookup->last_key ? path_of(lookup, lookup->last_key) : NULL;
    return path && strcmp(path, lookup->files[lookup->count - 1].path) >= 0;
}

/* What is left out of a list can be no object, so a list that says so is whole. Of one that failed, what it told counts
 * up to its last full page. */
static int end_page(cii_lookup *lookup, int r) {
    if (lookup->status < 0 || cii_is_fatal(r))
        return lookup->status < 0 ? lookup->status : r;
    lookup->whole = r == CI_ERR_NOTSUP || (r > 0 && lookup->listed < LIST_PAGE);
    lookup->listed = 0;
    lookup->pages_left = r > 0 ? lookup->pages_left - 1 : 0;
    return lookup->whole || lookup->pages_left == 0 || is_beyond(lookup) ? 1 : 0;
}

int cii_lookup_step(cii_lookup *lookup, cii_waits *waits, ci_error **ret_error) {
    if (lookup->count <= ASKED_FOR) {
        cii_op_drop(&lookup->op);
        remember(lookup, NULL);
        return 1;
    }
    _cleanup_error_ ci_error *error = NULL;
    int r = lookup->is_begun ? 0 : begin(lookup);
    while (r == 0) {
        if (!lookup->op)
            r = start_page(lookup, &error);
        if (r == 0)
            r = cii_op_step(&lookup->op, waits, &error);
        if (r == 0)
            return 0;
        /* Nobody looked after it while the folders were walked: it may have failed for that. */
        bool is_again = r < 0 && !cii_is_fatal(r) && lookup->is_guess && lookup->listed == 0;
        lookup->is_guess = false;
        if (is_again)
            ci_error_free(TAKE_PTR(error));
        r = is_again ? 0 : end_page(lookup, r);
    }
    if (r == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (r < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    return r;
}

const cii_listed *cii_lookup_find(const cii_lookup *lookup, const char *path) {
    static const cii_listed absent;
    const char *last = lookup->last_key ? path_of(lookup, lookup->last_key) : NULL;
    if (!lookup->whole && (!last || strcmp(path, last) > 0))
        return NULL;
    const lookup_file *file = find(lookup, path);
    return file && file->listed ? file->listed : &absent;
}
