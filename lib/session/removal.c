/* Removing objects of a storage without a session: many by one operation where the storage can, else some beside each other;
 * each is told of, and one failure stops none of the rest. */
#include "base/path.h"
#include "base/str.h"
#include "session/object.h"

#define SLOTS 8

typedef struct removal {
    struct removal_call *call;
    ci_op *op;
    size_t at, count; /* which keys: several, or one by itself */
    size_t told;      /* of how many of them */
} removal;

/* Keys that the storage would not remove together: whichever slot is free takes the next. */
typedef struct range {
    size_t at, end;
} range;

typedef struct removal_call {
    ci_call call;
    ci_storage *storage; /* held */
    char **keys;
    size_t count;
    size_t next;
    bool singly;
    removal slots[SLOTS];
    range returned[SLOTS]; /* by each */
    ci_removed_cb removed;
    void *user;
    bool stopped;     /* by the callback */
    size_t failed_at; /* of the first key, in their order, that failed */
    ci_status status; /* and why */
    ci_error *why;
} removal_call;

static void tell(removal_call *self, size_t at, ci_status status, const ci_error *error) {
    if (self->stopped)
        return;
    if (self->removed)
        self->stopped = self->removed(self->user, self->keys[at], status, status < 0 ? error : NULL) < 0;
    if (status < 0 && (self->status == CI_OK || at < self->failed_at)) {
        ci_error_free(self->why);
        self->why = cii_error_copy(error);
        self->status = status;
        self->failed_at = at;
    }
}

/* Of one of several, in their order. */
static int32_t on_removed(void *user, const char *key, ci_status status, const ci_error *error) {
    removal *slot = user;
    (void)key;
    if (slot->told < slot->count)
        tell(slot->call, slot->at + slot->told++, status, error);
    return slot->call->stopped ? -1 : 0;
}

/* What became of the slot's operation, or of its start. */
static void over(removal_call *self, removal *slot, ci_status status, const ci_error *error) {
    if (slot->count > 1 && slot->told == 0 && status == CI_ERR_NOTSUP) {
        self->singly = true;
        self->returned[slot - self->slots] = (range){slot->at, slot->at + slot->count};
    } else {
        while (slot->told < slot->count)
            tell(self, slot->at + slot->told++, status, error);
    }
    slot->count = 0;
}

/* Takes new keys for the slot: none that cannot be, which are told of here. */
static bool take_new(removal_call *self, removal *slot) {
    while (!self->stopped && self->next < self->count && slot->count < (self->singly ? 1 : CI_REMOVE_MANY_MAX)) {
        _cleanup_error_ ci_error *error = NULL;
        ci_status status = cii_key_check(self->keys[self->next], false, "key", &error);
        if (status < 0 && slot->count > 0)
            break;
        if (status < 0)
            tell(self, self->next++, status, error);
        else if (slot->count++ == 0)
            slot->at = self->next++;
        else
            self->next++;
    }
    return slot->count > 0;
}

static bool take(removal_call *self, removal *slot) {
    *slot = (removal){.call = self};
    for (size_t i = 0; i < SLOTS; i++) {
        range *r = &self->returned[i];
        if (r->at == r->end)
            continue;
        slot->at = r->at++;
        slot->count = 1;
        return true;
    }
    return take_new(self, slot);
}

static bool has_more(const removal_call *self) {
    bool more = self->next < self->count;
    for (size_t i = 0; i < SLOTS; i++)
        more |= self->returned[i].at < self->returned[i].end;
    return more;
}

/* Starts what comes next in the slot, past what cannot be started. Of a key alone it is to be known whether it was there. */
static void fill(removal_call *self, removal *slot) {
    const ci_storage_ops *ops = cii_storage_ops(self->storage);
    void *impl = cii_storage_impl(self->storage);
    while (!slot->op && !self->stopped && take(self, slot)) {
        _cleanup_error_ ci_error *error = NULL;
        const char *const *keys = (const char *const *)self->keys + slot->at;
        ci_status status = slot->count > 1
                               ? ops->remove_many(impl, keys, slot->count, on_removed, slot, &slot->op, &error)
                               : ops->remove(impl, *keys, &slot->op, &error);
        if (status < 0)
            over(self, slot, status, error);
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
        _cleanup_error_ ci_error *error = NULL;
        int r = cii_op_step(&slot->op, waits, &error);
        if (r != 0) {
            over(self, slot, r > 0 ? CI_OK : r, error);
            waits->again = true; /* the slot is free for the next */
        }
        left |= slot->op != NULL;
    }
    return self->stopped || !(left || has_more(self)) ? end(self, ret_error) : 0;
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
