/* A storage in one file, made of <ci/sys/storage.h>, libc and OpenSSL's SHA-256: copy it and change one part after the
 * other.
 *
 * Objects lie in memory, in an array sorted by key. What is to be seen here:
 *
 * - Content never changes once it has a key: put() builds it aside and swaps it in, so whoever is reading the old one
 *   reads it to its end, and nobody ever sees half of one. An etag is a number no other content has had.
 * - A condition is checked when the put takes effect, in the same critical section, not when it starts.
 * - The lock is held for some instructions, never while a callback runs.
 * - Callbacks are called within process() alone. A step moves a bounded number of bytes. There is no descriptor to wait
 *   for (fd() says -1); a storage on a network returns its socket, or an epoll descriptor over several, with its timers.
 *
 *     storage (impl)  -> object: key, content -> content: bytes, counted
 *                     -> operation: one get, put, list, stat, remove or remove_many */
#include "template_storage.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK 65536
#define LISTED_A_STEP 100
#define REMOVED_A_STEP 100

typedef struct content {
    unsigned refs; /* guarded by the storage's lock */
    char *data;
    size_t size;
    char etag[24];
    uint8_t sha256[32];
    int64_t modified_ms;
} content;

typedef struct object {
    char *key;
    content *content;
} object;

typedef struct held_lock {
    struct held_lock *next;
    char name[];
} held_lock;

typedef struct template_storage {
    pthread_mutex_t lock;
    object *objects; /* in byte order of keys */
    size_t count;
    uint64_t etag_count;
    held_lock *locks;
} template_storage;

typedef struct template_op {
    ci_op op; /* first, so that the library's pointer is ours */
    template_storage *storage;
    int32_t (*step)(struct template_op *op, ci_error **ret_error);
    char *key; /* list: the prefix */
    char *if_etag;
    char *after; /* list: the last key told */
    int if_absent;
    int has_sha256;
    uint8_t sha256[32];
    uint64_t size_bytes;
    uint64_t offset;
    uint64_t left;           /* get: bytes; list: objects; remove_many: keys */
    const char *const *keys; /* remove_many: the next */
    content *content;
    ci_op_read_cb read;
    ci_op_write_cb write;
    ci_object_cb object;
    ci_removed_cb removed;
    void *user;
} template_op;

static ci_status fail(ci_status status, const char *key, const char *why, ci_error **ret_error) {
    char message[256];
    snprintf(message, sizeof message, "\"%.150s\": %s", key, why);
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "template", .message = message, .status = status};
    return ci_error_make(&fields, ret_error);
}

static ci_status fail_nomem(ci_error **ret_error) {
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "template", .status = CI_ERR_NOMEM, .error_number = ENOMEM};
    return ci_error_make(&fields, ret_error);
}

static ci_status stopped(const template_op *op, ci_error **ret_error) {
    return fail(CI_ERR_CANCELLED, op->key, "the other side asked to stop", ret_error);
}

/* --- objects; all with the lock held ------------------------------------------------------------------------------ */

/* Index of the first object whose key is not below `key`. */
static size_t find(const template_storage *storage, const char *key) {
    size_t low = 0, high = storage->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(storage->objects[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static object *lookup(const template_storage *storage, const char *key) {
    size_t at = find(storage, key);
    return at < storage->count && strcmp(storage->objects[at].key, key) == 0 ? &storage->objects[at] : NULL;
}

static void content_unref(content *c) {
    if (!c || --c->refs > 0)
        return;
    free(c->data);
    free(c);
}

/* Gives the content that key. 0, or -1 without memory. */
static int set(template_storage *storage, const char *key, content *c) {
    object *old = lookup(storage, key);
    if (old) {
        content_unref(old->content);
        old->content = c;
        return 0;
    }
    char *copy = strdup(key);
    object *objects = copy ? realloc(storage->objects, (storage->count + 1) * sizeof *objects) : NULL;
    if (!objects) {
        free(copy);
        return -1;
    }
    storage->objects = objects;
    size_t at = find(storage, key);
    memmove(&objects[at + 1], &objects[at], (storage->count - at) * sizeof *objects);
    objects[at] = (object){copy, c};
    storage->count++;
    return 0;
}

static void remove_at(template_storage *storage, object *o) {
    content_unref(o->content);
    free(o->key);
    storage->count--;
    memmove(o, o + 1, (size_t)(&storage->objects[storage->count] - o) * sizeof *o);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static int32_t op_fd(ci_op *op) {
    (void)op;
    return -1;
}

static int32_t op_process(ci_op *op, ci_error **ret_error) {
    template_op *t = (template_op *)op;
    return t->step(t, ret_error);
}

static void op_free(ci_op *op) {
    template_op *t = (template_op *)op;
    pthread_mutex_lock(&t->storage->lock);
    content_unref(t->content);
    pthread_mutex_unlock(&t->storage->lock);
    free(t->key);
    free(t->if_etag);
    free(t->after);
    free(t);
}

static const ci_op_ops op_ops = {sizeof op_ops, op_fd, op_process, NULL, NULL, op_free};

/* An operation with copies of the strings, which live only until start returns; NULL without memory. */
static template_op *op_new(template_storage *storage, const char *key, const char *if_etag, const char *after,
                           int32_t (*step)(template_op *, ci_error **)) {
    template_op *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->op.ops = &op_ops;
    t->storage = storage;
    t->step = step;
    t->key = strdup(key);
    t->if_etag = if_etag ? strdup(if_etag) : NULL;
    t->after = after ? strdup(after) : NULL;
    if (t->key && (t->if_etag || !if_etag) && (t->after || !after))
        return t;
    op_free(&t->op);
    return NULL;
}

/* Takes hold of the key's content. */
static int take_content(template_op *t) {
    pthread_mutex_lock(&t->storage->lock);
    const object *o = lookup(t->storage, t->key);
    if (o) {
        t->content = o->content;
        t->content->refs++;
    }
    pthread_mutex_unlock(&t->storage->lock);
    return o != NULL;
}

static int32_t tell(const template_op *t, const char *key, const content *c, ci_error **ret_error) {
    const ci_object told = {.struct_size = sizeof told,
                            .key = key,
                            .etag = c->etag,
                            .sha256 = c->sha256,
                            .size_bytes = c->size,
                            .modified_ms = c->modified_ms};
    return !t->object || t->object(t->user, &told) >= 0 ? CI_OK : stopped(t, ret_error);
}

static int32_t get_step(template_op *t, ci_error **ret_error) {
    if (!t->content) {
        if (!take_content(t))
            return fail(CI_ERR_NOTFOUND, t->key, "no such object", ret_error);
        if (t->if_etag && strcmp(t->if_etag, t->content->etag) != 0)
            return fail(CI_ERR_CONDITION, t->key, "its etag differs", ret_error);
        return tell(t, t->key, t->content, ret_error);
    }
    size_t there = t->offset < t->content->size ? t->content->size - (size_t)t->offset : 0;
    size_t size = there < t->left ? there : (size_t)t->left;
    size = size < CHUNK ? size : CHUNK;
    if (size == 0)
        return 1;
    int32_t taken = t->write(t->user, t->content->data + t->offset, size);
    if (taken == CI_IO_PAUSE)
        return 0;
    if (taken != 0)
        return stopped(t, ret_error);
    t->offset += size;
    t->left -= size;
    return 0;
}

static int32_t stat_step(template_op *t, ci_error **ret_error) {
    if (!take_content(t))
        return fail(CI_ERR_NOTFOUND, t->key, "no such object", ret_error);
    int32_t status = tell(t, t->key, t->content, ret_error);
    return status < 0 ? status : 1;
}

static ci_status remove_key(template_storage *storage, const char *key, ci_error **ret_error) {
    pthread_mutex_lock(&storage->lock);
    object *o = lookup(storage, key);
    if (o)
        remove_at(storage, o);
    pthread_mutex_unlock(&storage->lock);
    return o ? CI_OK : fail(CI_ERR_NOTFOUND, key, "no such object", ret_error);
}

static int32_t remove_step(template_op *t, ci_error **ret_error) {
    ci_status status = remove_key(t->storage, t->key, ret_error);
    return status < 0 ? status : 1;
}

/* A bounded number of keys in one step. What became of one does not concern the others. */
static int32_t remove_many_step(template_op *t, ci_error **ret_error) {
    for (int i = 0; i < REMOVED_A_STEP && t->left > 0; i++, t->left--, t->keys++) {
        ci_error *error = NULL;
        const int32_t status = remove_key(t->storage, *t->keys, &error);
        const int32_t answer = t->removed ? t->removed(t->user, *t->keys, status, error) : 0;
        ci_error_free(error);
        if (answer < 0)
            return stopped(t, ret_error);
    }
    return t->left == 0;
}

/* One object further, if there is one. The list is not a snapshot: it goes on from the last key. */
static int next_object(template_op *t) {
    template_storage *storage = t->storage;
    pthread_mutex_lock(&storage->lock);
    content_unref(t->content);
    t->content = NULL;
    size_t at = find(storage, t->after && strcmp(t->after, t->key) > 0 ? t->after : t->key);
    if (at < storage->count && t->after && strcmp(storage->objects[at].key, t->after) == 0)
        at++;
    if (at < storage->count && strncmp(storage->objects[at].key, t->key, strlen(t->key)) == 0) {
        free(t->after);
        t->after = strdup(storage->objects[at].key);
        t->content = storage->objects[at].content;
        t->content->refs++;
    }
    pthread_mutex_unlock(&storage->lock);
    return t->content != NULL;
}

static int32_t list_step(template_op *t, ci_error **ret_error) {
    for (int i = 0; i < LISTED_A_STEP; i++) {
        if (t->left == 0 || !next_object(t))
            return 1;
        if (!t->after)
            return fail_nomem(ret_error);
        t->left--;
        int32_t status = tell(t, t->after, t->content, ret_error);
        if (status < 0)
            return status;
    }
    return 0;
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

static ci_status check_content(const template_op *t, ci_error **ret_error) {
    content *c = t->content;
    if (t->size_bytes != UINT64_MAX && t->size_bytes != c->size)
        return fail(CI_ERR_INVALID, t->key, "another number of bytes came than was announced", ret_error);
    if (EVP_Digest(c->data, c->size, c->sha256, NULL, EVP_sha256(), NULL) != 1)
        return fail_nomem(ret_error);
    if (t->has_sha256 && memcmp(t->sha256, c->sha256, sizeof c->sha256) != 0)
        return fail(CI_ERR_INVALID, t->key, "the content has not the announced SHA-256", ret_error);
    return CI_OK;
}

static ci_status check_conditions(const template_op *t, const object *o, ci_error **ret_error) {
    if (t->if_absent && o)
        return fail(CI_ERR_CONDITION, t->key, "it exists already", ret_error);
    if (t->if_etag && (!o || strcmp(t->if_etag, o->content->etag) != 0))
        return fail(CI_ERR_CONDITION, t->key, "its etag differs", ret_error);
    return CI_OK;
}

static int32_t commit(template_op *t, ci_error **ret_error) {
    struct timespec now;
    ci_status status = check_content(t, ret_error);
    if (status < 0)
        return status;
    clock_gettime(CLOCK_REALTIME, &now);
    t->content->modified_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    pthread_mutex_lock(&t->storage->lock);
    status = check_conditions(t, lookup(t->storage, t->key), ret_error);
    if (status == CI_OK) {
        snprintf(t->content->etag, sizeof t->content->etag, "%llu", (unsigned long long)++t->storage->etag_count);
        if (set(t->storage, t->key, t->content) < 0)
            status = fail_nomem(ret_error);
        else
            t->content->refs++; /* ours, and the key's */
    }
    pthread_mutex_unlock(&t->storage->lock);
    if (status == CI_OK)
        status = tell(t, t->key, t->content, ret_error);
    return status < 0 ? status : 1;
}

static int32_t put_step(template_op *t, ci_error **ret_error) {
    content *c = t->content;
    char *data = realloc(c->data, c->size + CHUNK);
    if (!data)
        return fail_nomem(ret_error);
    c->data = data;
    int64_t size = t->read(t->user, data + c->size, CHUNK);
    if (size == CI_IO_PAUSE)
        return 0;
    if (size < 0 || size > CHUNK)
        return stopped(t, ret_error);
    if (size == 0)
        return commit(t, ret_error);
    c->size += (size_t)size;
    return 0;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static ci_status start(template_op *t, ci_op **ret_op, ci_error **ret_error) {
    if (!t)
        return fail_nomem(ret_error);
    *ret_op = &t->op;
    return CI_OK;
}

static ci_status template_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                              ci_op_write_cb write, ci_object_cb on_object, void *user, ci_op **ret_op,
                              ci_error **ret_error) {
    template_op *t = op_new(impl, key, if_etag, NULL, get_step);
    if (t) {
        t->offset = offset;
        t->left = length;
        t->write = write;
        t->object = on_object;
        t->user = user;
    }
    return start(t, ret_op, ret_error);
}

static ci_status template_put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb on_object,
                              void *user, ci_op **ret_op, ci_error **ret_error) {
    template_op *t = op_new(impl, request->key, request->if_etag, NULL, put_step);
    if (t && !(t->content = calloc(1, sizeof *t->content))) {
        op_free(&t->op);
        t = NULL;
    }
    if (t) {
        t->content->refs = 1;
        t->if_absent = request->if_absent;
        t->size_bytes = request->size_bytes;
        t->has_sha256 = request->sha256 != NULL;
        if (request->sha256)
            memcpy(t->sha256, request->sha256, sizeof t->sha256);
        t->read = read;
        t->object = on_object;
        t->user = user;
    }
    return start(t, ret_op, ret_error);
}

static ci_status template_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb on_object,
                               void *user, ci_op **ret_op, ci_error **ret_error) {
    template_op *t = op_new(impl, prefix, NULL, after, list_step);
    if (t) {
        t->left = max;
        t->object = on_object;
        t->user = user;
    }
    return start(t, ret_op, ret_error);
}

static ci_status template_stat(void *impl, const char *key, ci_object_cb on_object, void *user, ci_op **ret_op,
                               ci_error **ret_error) {
    template_op *t = op_new(impl, key, NULL, NULL, stat_step);
    if (t) {
        t->object = on_object;
        t->user = user;
    }
    return start(t, ret_op, ret_error);
}

static ci_status template_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error) {
    return start(op_new(impl, key, NULL, NULL, remove_step), ret_op, ret_error);
}

static ci_status template_remove_many(void *impl, const char *const *keys, size_t key_count, ci_removed_cb removed,
                                      void *user, ci_op **ret_op, ci_error **ret_error) {
    template_op *t = op_new(impl, "", NULL, NULL, remove_many_step);
    if (!t)
        return fail_nomem(ret_error);
    t->keys = keys;
    t->left = key_count;
    t->removed = removed;
    t->user = user;
    *ret_op = &t->op;
    return CI_OK;
}

/* Memory is this process's own, so a lock need not keep other processes out. */
static ci_status template_lock(void *impl, const char *name, void **ret_lock, ci_error **ret_error) {
    template_storage *storage = impl;
    held_lock *lock = malloc(sizeof *lock + strlen(name) + 1);
    if (!lock)
        return fail_nomem(ret_error);
    strcpy(lock->name, name);
    pthread_mutex_lock(&storage->lock);
    const held_lock *other = storage->locks;
    while (other && strcmp(other->name, name) != 0)
        other = other->next;
    if (!other) {
        lock->next = storage->locks;
        storage->locks = lock;
    }
    pthread_mutex_unlock(&storage->lock);
    if (other) {
        free(lock);
        return fail(CI_ERR_BUSY, name, "another session has it", ret_error);
    }
    *ret_lock = lock;
    return CI_OK;
}

static void template_unlock(void *impl, void *lock) {
    template_storage *storage = impl;
    pthread_mutex_lock(&storage->lock);
    held_lock **at = &storage->locks;
    while (*at != lock)
        at = &(*at)->next;
    *at = (*at)->next;
    pthread_mutex_unlock(&storage->lock);
    free(lock);
}

static ci_status template_describe(void *impl, char **ret_text) {
    (void)impl;
    char *text = strdup("memory of this process");
    if (!text)
        return CI_ERR_NOMEM;
    *ret_text = text;
    return CI_OK;
}

static void template_free(void *impl) {
    template_storage *storage = impl;
    while (storage->count > 0)
        remove_at(storage, &storage->objects[storage->count - 1]);
    pthread_mutex_destroy(&storage->lock);
    free(storage->objects);
    free(storage);
}

ci_status template_storage_new(ci_storage **ret_storage, ci_error **ret_error) {
    static const ci_storage_ops ops = {
        .struct_size = sizeof ops,
        .capabilities = CI_STORAGE_CAP_BLOCKING, /* for another thread's turn with the lock */
        .name = "template",
        .free = template_free,
        .get = template_get,
        .put = template_put,
        .list = template_list,
        .stat = template_stat,
        .remove = template_remove,
        .lock = template_lock,
        .unlock = template_unlock,
        .describe = template_describe,
        .remove_many = template_remove_many,
    };
    template_storage *storage = calloc(1, sizeof *storage);
    if (!storage)
        return fail_nomem(ret_error);
    pthread_mutex_init(&storage->lock, NULL);
    ci_status status = ci_storage_new(&ops, storage, ret_storage, ret_error);
    if (status < 0)
        template_free(storage); /* consumed on success only */
    return status;
}
