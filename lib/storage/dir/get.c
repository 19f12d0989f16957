/* Reading an object: opened once, so that a put meanwhile does not mix two contents. */
#include <fcntl.h>

#include "storage/dir/dir.h"

typedef struct get {
    ci_op op;
    const cii_dir *dir;
    char *key;
    char *if_etag;
    uint64_t offset;
    uint64_t end; /* where to stop */
    ci_op_write_cb write;
    ci_object_cb object;
    void *user;
    int fd;
    struct stat st;
    char *buffer;
    size_t held; /* bytes in the buffer that the writer has not taken */
} get;

static void get_free(ci_op *op) {
    get *g = (get *)op;
    cii_close(g->fd);
    free(g->key);
    free(g->if_etag);
    free(g->buffer);
    free(g);
}

static ci_status begin(get *g, ci_error **ret_error) {
    _cleanup_close_ int fd = cii_dir_open(g->dir, g->key, &g->st);
    if (fd >= 0)
        g->fd = cii_resolve_reopen(fd, O_RDONLY);
    if (g->fd < 0)
        return cii_dir_error(ret_error, errno, "read", g->key);
    ci_status status = cii_dir_check_etag(g->if_etag, &g->st, g->key, ret_error);
    if (status < 0)
        return status;
    g->end = CII_MIN(g->end, (uint64_t)g->st.st_size);
    g->buffer = malloc(CII_MAX(CII_MIN(CII_DIR_CHUNK, g->end - CII_MIN(g->offset, g->end)), (size_t)1));
    if (!g->buffer)
        return cii_error_nomem(ret_error);
    return cii_dir_tell(g->object, g->user, g->key, &g->st, NULL, ret_error);
}

/* Our own puts replace a file as a whole; others may write in place, and then what was handed over is worth nothing. */
static ci_status check_unchanged(const get *g, ci_error **ret_error) {
    struct stat now;
    if (fstat(g->fd, &now) < 0)
        return cii_dir_error(ret_error, errno, "read", g->key);
    if (now.st_size == g->st.st_size && now.st_mtim.tv_sec == g->st.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == g->st.st_mtim.tv_nsec && g->offset >= g->end)
        return CI_OK;
    ci_status status = cii_error_set(ret_error, CI_ERR_IO, "storage", "\"%s\" was changed while it was read", g->key);
    cii_error_mark(ret_error, true, false);
    return status;
}

static ci_status fill(get *g, ci_error **ret_error) {
    ssize_t size;
    do
        size = pread(g->fd, g->buffer, CII_MIN(CII_DIR_CHUNK, g->end - g->offset), (off_t)g->offset);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return cii_dir_error(ret_error, errno, "read", g->key);
    if (size == 0)
        return check_unchanged(g, ret_error);
    g->held = (size_t)size;
    return CI_OK;
}

static int32_t get_process(ci_op *op, ci_error **ret_error) {
    get *g = (get *)op;
    ci_status status = g->fd < 0 ? begin(g, ret_error) : CI_OK;
    if (status == CI_OK && g->held == 0 && g->offset < g->end)
        status = fill(g, ret_error);
    if (status < 0)
        return status;
    if (g->held > 0) {
        int32_t taken = g->write(g->user, g->buffer, g->held);
        if (taken == CI_IO_PAUSE)
            return 0;
        if (taken != 0)
            return cii_error_set(ret_error, CI_ERR_CANCELLED, "storage", "the receiver of \"%s\" asked to stop",
                                 g->key);
        g->offset += g->held;
        g->held = 0;
    }
    if (g->offset < g->end)
        return 0;
    status = check_unchanged(g, ret_error);
    return status < 0 ? status : 1;
}

ci_status cii_dir_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                      ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, cii_dir_op_fd, get_process, NULL, NULL, get_free};
    ci_status status = cii_dir_key_check(key, ret_error);
    if (status < 0)
        return status;
    get *g = calloc(1, sizeof *g);
    if (!g)
        return cii_error_nomem(ret_error);
    *g = (get){.op = {&ops}, .dir = impl, .offset = offset, .write = write, .object = object, .user = user, .fd = -1};
    g->end = offset > UINT64_MAX - length ? UINT64_MAX : offset + length;
    g->key = strdup(key);
    g->if_etag = if_etag ? strdup(if_etag) : NULL;
    if (!g->key || (if_etag && !g->if_etag)) {
        get_free(&g->op);
        return cii_error_nomem(ret_error);
    }
    *ret_op = &g->op;
    return CI_OK;
}
