/* Removing objects of a storage without a session: some at once, each told of, and one failure stops none of the rest. */
#include "base/path.h"
#include "base/str.h"
#include "session/object.h"

#define SLOTS 8

typedef struct removal {
    ci_op *op;
    size_t at; /* which key */
} removal;

typedef struct removal_call {
    ci_call call;
    ci_storage *storage; /* held */
    char **keys;
    size_t count;
    size_t next;
    removal slots[SLOTS];
    ci_removed_cb removed;
    void *user;
    bool stopped;     /* by the callback */
    size_t failed_at; /* of the first key, in their order, that failed */
    ci_status status; /* and why */
    ci_error *why;
} removal_call;

/* Consumes the error. */
static void tell(removal_call *self, size_t at, ci_status status, ci_error *error) {
    if (self->removed && !self->stopped)
        self->stopped = self->removed(self->user, self->keys[at], status, status < 0 ? error : NULL) < 0;
    if (status < 0 && (self->status == CI_OK || at < self->failed_at)) {
        ci_error_free(self->why);
        self->why = TAKE_PTR(error);
        self->status = status;
        self->failed_at = at;
    }
    ci_error_free(error);
}

/* Starts the next key in the slot, past those that cannot be started. */
static void fill(removal_call *self, removal *slot) {
    while (!slot->op && !self->stopped && self->next < self->count) {
        ci_error *error = NULL;
        slot->at = self->next++;
        ci_status status = cii_key_check(self->keys[slot->at], false, "key", &error);
        if (status == CI_OK)
            status = cii_storage_ops(self->storage)
                         ->remove(cii_storage_impl(self->storage), self->keys[slot->at], &slot->op, &error);
        if (status < 0)
            tell(self, slot->at, status, error);
    }
}

static int end(removal_call *self, ci_error **ret_error) {
    if (self->stopped)
        return cii_error_set(ret_error, CI_ERR_CANCELLED, "storage", "remove: the callback said stop");
    if (self->status < 0 && ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(self->why);
    }
    return self->status < 0 ? self->status : 1;
}

static int removal_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    removal_call *self = (removal_call *)call;
    bool left = false;
    for (size_t i = 0; i < SLOTS; i++) {
        removal *slot = &self->slots[i];
        fill(self, slot);
        if (!slot->op)
            continue;
        ci_error *error = NULL;
        int r = cii_op_step(&slot->op, waits, &error);
        if (r != 0) {
            tell(self, slot->at, r > 0 ? CI_OK : r, error);
            waits->again = true; /* the slot is free for the next */
        }
        left |= slot->op || self->next < self->count;
    }
    return self->stopped || !left ? end(self, ret_error) : 0;
}

static void removal_drop(ci_call *call) {
    removal_call *self = (removal_call *)call;
    for (size_t i = 0; i < SLOTS; i++)
        cii_op_drop(&self->slots[i].op);
    ci_storage_free(self->storage);
    cii_strv_free(self->keys);
    ci_error_free(self->why);
}

static const cii_call_ops removal_ops = {.name = "remove", .step = removal_step, .drop = removal_drop};

static bool own_keys(removal_call *self, const char *const *keys, size_t count) {
    self->keys = calloc(count + 1, sizeof *self->keys);
    while (self->keys && self->count < count && (self->keys[self->count] = strdup(keys[self->count])))
        self->count++;
    return self->keys && self->count == count;
}

ci_status ci_storage_remove_start(ci_storage *storage, const char *const *keys, size_t key_count, int64_t timeout_ms,
                                  ci_removed_cb removed, void *user, ci_call **ret_call, ci_error **ret_error) {
    ci_status status = cii_storage_check(storage, ret_error);
    for (size_t i = 0; status == CI_OK && i < key_count; i++)
        if (!keys || !keys[i])
            status = cii_error_set(ret_error, CI_ERR_INVALID, "storage", "keys: NULL");
    _cleanup_call_ ci_call *call = NULL;
    if (status == CI_OK)
        status = cii_call_new(sizeof(removal_call), &removal_ops, NULL, timeout_ms, &call, ret_error);
    if (status < 0)
        return status;
    removal_call *self = (removal_call *)call;
    self->storage = ci_storage_ref(storage);
    self->removed = removed;
    self->user = user;
    if (!own_keys(self, keys, key_count))
        return cii_error_nomem(ret_error);
    *ret_call = TAKE_PTR(call);
    return CI_OK;
}

ci_status ci_storage_remove(ci_storage *storage, const char *const *keys, size_t key_count, int64_t timeout_ms,
                            ci_removed_cb removed, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_storage_remove_start(storage, keys, key_count, timeout_ms, removed, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}
