/* ci_sandbox: counts its users and holds a backend's table, in which every missing slot is a default that refuses.
 *
 * In a process that a fork made of the host only memory is released: a backend's free() would talk to what the parent
 * still uses. */
#include "sandbox/sandbox.h"

#include <stdatomic.h>

#include "base/options.h"

#define SPARE_FDS 8

struct ci_sandbox {
    _Atomic unsigned refs;
    pid_t creator;
    _Atomic int spare_fds[SPARE_FDS]; /* -1: none */
    void *impl;
    ci_sandbox_ops ops;
};

/* --- named defaults ------------------------------------------------------------------------------------------------ */

static ci_status refuse(const char *what, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "sandbox", "this backend cannot %s", what);
}

static void default_free(void *impl) {
    (void)impl;
}

static uint64_t default_capabilities(void *impl, void *session) {
    (void)impl;
    (void)session;
    return 0;
}

static int32_t done_fd(ci_op *op) {
    (void)op;
    return -1;
}

static int32_t done_process(ci_op *op, ci_error **ret_error) {
    (void)op;
    (void)ret_error;
    return 1;
}

static void done_free(ci_op *op) {
    (void)op;
}

static ci_status default_prepare(void *impl, ci_op **ret_op, ci_error **ret_error) {
    static const ci_op_ops done_ops = {sizeof done_ops, done_fd, done_process, NULL, NULL, done_free};
    static const ci_op done = {&done_ops}; /* has no state: one serves all */
    (void)impl;
    (void)ret_error;
    *ret_op = (ci_op *)(uintptr_t)&done;
    return CI_OK;
}

static ci_status default_attach(void *impl, const char *backend_id, const ci_sandbox_request *request,
                                void **ret_session, ci_op **ret_op, ci_error **ret_error) {
    (void)impl;
    (void)backend_id;
    (void)request;
    (void)ret_session;
    (void)ret_op;
    return refuse("attach to a session", ret_error);
}

static void default_shutdown(void *session) {
    (void)session;
}

static ci_status default_info(void *session, char **ret_json, ci_error **ret_error) {
    (void)session;
    char *json = strdup("{}");
    if (!json)
        return cii_error_nomem(ret_error);
    *ret_json = json;
    return CI_OK;
}

static ci_status default_contexts(void *session, ci_context_cb context, void *user, ci_error **ret_error) {
    (void)session;
    (void)context;
    (void)user;
    return refuse("tell its contexts", ret_error);
}

static ci_status default_host_dirs(void *session, ci_host_dirs *ret_dirs, ci_error **ret_error) {
    (void)session;
    (void)ret_dirs;
    return refuse("give its files as a folder of this machine", ret_error);
}

static ci_status default_file_get(void *session, const char *path, uint64_t offset, uint64_t length,
                                  ci_op_write_cb write_bytes, void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)offset;
    (void)length;
    (void)write_bytes;
    (void)user;
    (void)ret_op;
    return refuse("read files", ret_error);
}

static ci_status default_file_put(void *session, const char *path, ci_op_read_cb read_bytes, void *user, ci_op **ret_op,
                                  ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)read_bytes;
    (void)user;
    (void)ret_op;
    return refuse("write files", ret_error);
}

static ci_status default_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                   ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)entry;
    (void)user;
    (void)ret_op;
    return refuse("list folders", ret_error);
}

static ci_status default_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                   ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)entry;
    (void)user;
    (void)ret_op;
    return refuse("tell what a file is", ret_error);
}

static ci_status default_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)ret_op;
    return refuse("remove files", ret_error);
}

static ci_status default_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)ret_op;
    return refuse("make folders", ret_error);
}

static ci_status default_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user,
                              ci_op **ret_op, ci_error **ret_error) {
    (void)session;
    (void)path;
    (void)flags;
    (void)entry;
    (void)user;
    (void)ret_op;
    return refuse("walk through folders", ret_error);
}

static uint64_t default_activity(void *session) {
    (void)session;
    return 0;
}

static const ci_sandbox_ops defaults = {
    .struct_size = sizeof defaults,
    .name = "sandbox",
    .free = default_free,
    .capabilities = default_capabilities,
    .prepare = default_prepare,
    .attach = default_attach,
    .shutdown = default_shutdown,
    .info = default_info,
    .contexts = default_contexts,
    .host_dirs = default_host_dirs,
    .file_get = default_file_get,
    .file_put = default_file_put,
    .file_list = default_file_list,
    .file_stat = default_file_stat,
    .file_remove = default_file_remove,
    .file_mkdir = default_file_mkdir,
    .walk = default_walk,
    .activity = default_activity,
};

/* --- the object ---------------------------------------------------------------------------------------------------- */

static ci_status check_table(const ci_sandbox_ops *ops, ci_error **ret_error) {
    const char *missing = !ops->open ? "open" : !ops->close ? "close" : !ops->run ? "run" : !ops->name ? "name" : NULL;
    if (missing)
        return cii_error_set(ret_error, CI_ERR_INVALID, "sandbox", "ops->%s: missing, and it is required", missing);
    if (ops->required & ~CI_REQUIRE_NOTHING)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, "sandbox", "backend \"%s\" requires a newer libci (bits 0x%llx)",
                             ops->name, (unsigned long long)ops->required);
    return CI_OK;
}

ci_status ci_sandbox_new(const ci_sandbox_ops *ops, void *impl, ci_sandbox **ret_sandbox, ci_error **ret_error) {
    if (!ops || !ret_sandbox)
        return cii_error_set(ret_error, CI_ERR_INVALID, "sandbox", "%s: NULL", ops ? "ret_sandbox" : "ops");
    _cleanup_free_ ci_sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (!sandbox)
        return cii_error_nomem(ret_error);
    ci_status status = cii_table_copy(&sandbox->ops, sizeof sandbox->ops, ops, &defaults,
                                      offsetof(ci_sandbox_ops, free), "ci_sandbox_ops", ret_error);
    if (status == CI_OK)
        status = check_table(&sandbox->ops, ret_error);
    if (status < 0)
        return status;
    sandbox->impl = impl;
    sandbox->refs = 1;
    sandbox->creator = getpid();
    for (size_t i = 0; i < SPARE_FDS; i++)
        sandbox->spare_fds[i] = -1;
    *ret_sandbox = TAKE_PTR(sandbox);
    return CI_OK;
}

ci_sandbox *ci_sandbox_ref(ci_sandbox *sandbox) {
    if (sandbox)
        atomic_fetch_add(&sandbox->refs, 1);
    return sandbox;
}

void ci_sandbox_free(ci_sandbox *sandbox) {
    if (!sandbox || atomic_fetch_sub(&sandbox->refs, 1) != 1)
        return;
    if (sandbox->creator == getpid())
        sandbox->ops.free(sandbox->impl);
    cii_sandbox_drop_wake_fds(sandbox);
    free(sandbox);
}

const ci_sandbox_ops *cii_sandbox_ops(const ci_sandbox *sandbox) {
    return &sandbox->ops;
}

void *cii_sandbox_impl(const ci_sandbox *sandbox) {
    return sandbox->impl;
}

ci_status cii_sandbox_check(const ci_sandbox *sandbox, ci_error **ret_error) {
    if (!sandbox)
        return cii_error_set(ret_error, CI_ERR_INVALID, "sandbox", "sandbox: NULL");
    if (sandbox->creator != getpid())
        return cii_error_set(ret_error, CI_ERR_FORKED, "sandbox", "the sandbox was made by another process");
    return CI_OK;
}

int cii_sandbox_take_wake_fd(ci_sandbox *sandbox) {
    int fd = -1;
    for (size_t i = 0; fd < 0 && i < SPARE_FDS; i++)
        if (atomic_load_explicit(&sandbox->spare_fds[i], memory_order_relaxed) >= 0)
            fd = atomic_exchange(&sandbox->spare_fds[i], -1);
    return fd;
}

void cii_sandbox_give_wake_fd(ci_sandbox *sandbox, int fd) {
    for (size_t i = 0; i < SPARE_FDS; i++) {
        int none = -1;
        if (atomic_compare_exchange_strong(&sandbox->spare_fds[i], &none, fd))
            return;
    }
    cii_close(fd);
}

void cii_sandbox_drop_wake_fds(ci_sandbox *sandbox) {
    for (int fd; (fd = cii_sandbox_take_wake_fd(sandbox)) >= 0;)
        cii_close(fd);
}
