/* ci_storage: counts its users and holds a storage's table, in which a slot that may be missing has a default.
 *
 * In a process that a fork made of the host only memory is released: what the impl has open, the parent still uses. */
#include "storage/storage.h"

#include <stdatomic.h>

#include "base/options.h"

struct ci_storage {
    _Atomic unsigned refs;
    pid_t creator;
    void *impl;
    ci_storage_ops ops;
};

/* --- named defaults ----------------------------------------------------------------------------------------------- */

static void default_free(void *impl) {
    (void)impl;
}

static ci_status default_lock(void *impl, const char *name, void **ret_lock, ci_error **ret_error) {
    (void)impl;
    (void)name;
    (void)ret_error;
    *ret_lock = NULL;
    return CI_OK;
}

static void default_unlock(void *impl, void *lock) {
    (void)impl;
    (void)lock;
}

/* A function of the impl alone cannot know the name: cii_storage_describe() puts it in place of this. */
static ci_status default_describe(void *impl, char **ret_text) {
    (void)impl;
    (void)ret_text;
    return CI_ERR_NOTSUP;
}

static ci_status default_remove_many(void *impl, const char *const *keys, size_t key_count, ci_removed_cb removed,
                                     void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)impl, (void)keys, (void)key_count, (void)removed, (void)user, (void)ret_op;
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "storage", "objects are removed one by one");
}

static const ci_storage_ops defaults = {
    .struct_size = sizeof defaults,
    .free = default_free,
    .lock = default_lock,
    .unlock = default_unlock,
    .describe = default_describe,
    .remove_many = default_remove_many,
};

/* --- the object --------------------------------------------------------------------------------------------------- */

static ci_status check_table(const ci_storage_ops *ops, ci_error **ret_error) {
    const char *missing = !ops->get      ? "get"
                          : !ops->put    ? "put"
                          : !ops->list   ? "list"
                          : !ops->stat   ? "stat"
                          : !ops->remove ? "remove"
                          : !ops->name   ? "name"
                                         : NULL;
    if (missing)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "ops->%s: missing, and it is required", missing);
    if (ops->required)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, "storage", "storage \"%s\" requires a newer libci (bits 0x%llx)",
                             ops->name, (unsigned long long)ops->required);
    return CI_OK;
}

ci_status ci_storage_new(const ci_storage_ops *ops, void *impl, ci_storage **ret_storage, ci_error **ret_error) {
    if (!ops || !ret_storage)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "%s: NULL", ops ? "ret_storage" : "ops");
    _cleanup_free_ ci_storage *storage = calloc(1, sizeof *storage);
    if (!storage)
        return cii_error_nomem(ret_error);
    ci_status status = cii_table_copy(&storage->ops, sizeof storage->ops, ops, &defaults,
                                      offsetof(ci_storage_ops, free), "ci_storage_ops", ret_error);
    if (status == CI_OK)
        status = check_table(&storage->ops, ret_error);
    if (status < 0)
        return status;
    storage->impl = impl;
    storage->refs = 1;
    storage->creator = getpid();
    *ret_storage = TAKE_PTR(storage);
    return CI_OK;
}

ci_storage *ci_storage_ref(ci_storage *storage) {
    if (storage)
        atomic_fetch_add(&storage->refs, 1);
    return storage;
}

void ci_storage_free(ci_storage *storage) {
    if (!storage || atomic_fetch_sub(&storage->refs, 1) != 1)
        return;
    if (storage->creator == getpid())
        storage->ops.free(storage->impl);
    free(storage);
}

const ci_storage_ops *cii_storage_ops(const ci_storage *storage) {
    return &storage->ops;
}

void *cii_storage_impl(const ci_storage *storage) {
    return storage->impl;
}

ci_status cii_storage_describe(const ci_storage *storage, char **ret_text) {
    if (storage->ops.describe != default_describe)
        return storage->ops.describe(storage->impl, ret_text);
    char *text = strdup(storage->ops.name);
    if (!text)
        return CI_ERR_NOMEM;
    *ret_text = text;
    return CI_OK;
}

ci_status cii_storage_check(const ci_storage *storage, ci_error **ret_error) {
    if (!storage)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "storage: NULL");
    if (storage->creator != getpid())
        return cii_error_set(ret_error, CI_ERR_FORKED, "storage", "the storage was made by another process");
    return CI_OK;
}
