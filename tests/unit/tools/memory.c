/* See memory.h. Every operation does all its work in its first process(). */
#include "memory.h"

#include <stdio.h>

#include "base/buf.h"

/* --- the store ---------------------------------------------------------------------------------------------------- */

static memory_file *find(const memory_store *store, const char *path) {
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
        path += path[0] == '/' ? 1 : 2;
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->files[i].path, path) == 0)
            return (memory_file *)&store->files[i];
    return NULL;
}

const memory_file *memory_find(const memory_store *store, const char *path) {
    return find(store, path);
}

ci_status memory_write(memory_store *store, const char *path, const void *data, size_t size) {
    _cleanup_free_ char *copy = malloc(size + 1);
    if (!copy)
        return CI_ERR_NOMEM;
    if (size > 0)
        memcpy(copy, data, size);
    memory_file *file = find(store, path);
    if (!file) {
        char *name = strdup(path);
        if (!name)
            return CI_ERR_NOMEM;
        file = &store->files[store->count++];
        *file = (memory_file){.path = name};
    }
    free(file->data);
    file->data = TAKE_PTR(copy);
    file->size = size;
    return CI_OK;
}

static void remove_file(memory_store *store, memory_file *file) {
    free(file->path);
    free(file->data);
    *file = store->files[--store->count];
}

void memory_clear(memory_store *store) {
    while (store->count > 0)
        remove_file(store, &store->files[0]);
}

/* Whether files lie below path: then it is a folder. "" and "." are always. */
static bool is_folder(const memory_store *store, const char *path) {
    size_t length = strlen(path);
    bool root = length == 0 || strcmp(path, ".") == 0;
    for (size_t i = 0; i < store->count && !root; i++)
        root = strncmp(store->files[i].path, path, length) == 0 && store->files[i].path[length] == '/';
    return root;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

typedef struct operation operation;
struct operation {
    ci_op op;
    memory_store *store;
    int32_t (*work)(operation *o, ci_error **ret_error);
    char *path;
    char *text;
    uint64_t offset, length;
    ci_run_request run;
    const ci_sink *sink;
    ci_op_read_cb read;
    ci_op_write_cb write;
    ci_entry_cb entry;
    ci_object_cb object;
    void *user;
};

static int32_t op_fd(ci_op *op) {
    (void)op;
    return -1;
}

static int32_t op_process(ci_op *op, ci_error **ret_error) {
    operation *o = (operation *)op;
    return o->work(o, ret_error);
}

static void op_free(ci_op *op) {
    operation *o = (operation *)op;
    free(o->path);
    free(o->text);
    free(o);
}

static const ci_op_ops op_ops = {sizeof op_ops, op_fd, op_process, NULL, NULL, op_free};

/* NULL without memory. */
static operation *start(memory_store *store, const char *path, int32_t (*work)(operation *, ci_error **),
                        ci_op **ret_op) {
    operation *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->op.ops = &op_ops;
    o->store = store;
    o->path = strdup(path ? path : "");
    o->work = work;
    if (!o->path) {
        op_free(&o->op);
        return NULL;
    }
    *ret_op = &o->op;
    return o;
}

static int32_t fail(ci_status status, const char *message, ci_error **ret_error) {
    ci_error_fields fields = {.struct_size = sizeof fields, .domain = "memory", .message = message, .status = status};
    return ci_error_make(&fields, ret_error);
}

static int32_t do_get(operation *o, ci_error **ret_error) {
    const memory_file *file = find(o->store, o->path);
    if (o->store->fail != CI_OK)
        return fail(o->store->fail, "memory: down", ret_error);
    if (!file)
        return fail(CI_ERR_NOTFOUND, "no such file", ret_error);
    if (o->object)
        o->object(o->user, &(ci_object){.struct_size = sizeof(ci_object), .key = file->path, .size_bytes = file->size});
    size_t from = CII_MIN(o->offset, (uint64_t)file->size), end = from + CII_MIN(o->length, file->size - from);
    for (size_t at = from; at < end; at += 65536)
        if (o->write(o->user, file->data + at, CII_MIN(end - at, (size_t)65536)) != 0)
            return fail(CI_ERR_CANCELLED, "the writer stopped", ret_error);
    return 1;
}

static int32_t do_put(operation *o, ci_error **ret_error) {
    char buffer[4096];
    _cleanup_buf_ cii_buf data;
    cii_buf_init(&data, 0);
    int64_t got;
    if (o->store->fail != CI_OK)
        return fail(o->store->fail, "memory: down", ret_error);
    while ((got = o->read(o->user, buffer, sizeof buffer)) > 0)
        if (cii_buf_append(&data, buffer, (size_t)got) != CI_OK)
            return cii_error_nomem(ret_error);
    if (got < 0)
        return fail(CI_ERR_CANCELLED, "the reader stopped", ret_error);
    if (memory_write(o->store, o->path, data.data, data.size) != CI_OK)
        return cii_error_nomem(ret_error);
    if (o->object)
        o->object(o->user, &(ci_object){.struct_size = sizeof(ci_object), .key = o->path, .size_bytes = data.size});
    return 1;
}

/* --- sandbox ------------------------------------------------------------------------------------------------------ */

static int32_t do_nothing(operation *o, ci_error **ret_error) {
    (void)o;
    (void)ret_error;
    return 1;
}

/* Prints what is to be run, and what with. "raise" fails; "write NAME" makes a file. */
static int32_t do_run(operation *o, ci_error **ret_error) {
    ci_run_outcome outcome = {.struct_size = sizeof outcome};
    char line[256];
    int size = snprintf(line, sizeof line, "%s|%s\n", o->path, o->text);
    o->sink->output(o->sink->user, CI_STREAM_STDOUT, line, (size_t)size);
    if (strncmp(o->text, "write ", 6) == 0)
        if (memory_write(o->store, o->text + 6, "made", 4) != CI_OK)
            return cii_error_nomem(ret_error);
    if (strcmp(o->text, "raise") == 0) {
        outcome.outcome = CI_OUTCOME_EXCEPTION;
        outcome.error_name = "ValueError";
        outcome.error_message = "bad";
    }
    if (o->run.kind == CI_RUN_KIND_TASK) {
        outcome.task_id = 7;
        outcome.task_running = 1;
    }
    o->sink->done(o->sink->user, &outcome);
    return 1;
}

static int32_t tell(operation *o, const char *name, const char *path) {
    const memory_file *file = find(o->store, path);
    ci_entry entry = {.struct_size = sizeof entry,
                      .path = name,
                      .size_bytes = file ? file->size : 0,
                      .kind = file ? CI_KIND_REGULAR : CI_KIND_DIRECTORY,
                      .mode = 0644};
    return o->entry(o->user, &entry);
}

static int32_t do_stat(operation *o, ci_error **ret_error) {
    if (!find(o->store, o->path) && !is_folder(o->store, o->path))
        return fail(CI_ERR_NOTFOUND, "no such file", ret_error);
    tell(o, o->path, o->path);
    return 1;
}

/* Files of the folder; folders below it are told with their first file. */
static int32_t do_list(operation *o, ci_error **ret_error) {
    size_t skip = strcmp(o->path, ".") == 0 || !o->path[0] ? 0 : strlen(o->path) + 1;
    if (!is_folder(o->store, o->path))
        return fail(CI_ERR_NOTFOUND, "no such folder", ret_error);
    for (size_t i = 0; i < o->store->count; i++) {
        const char *path = o->store->files[i].path;
        if (skip > 0 && (strncmp(path, o->path, skip - 1) != 0 || path[skip - 1] != '/'))
            continue;
        const char *slash = strchr(path + skip, '/');
        _cleanup_free_ char *name = strndup(path + skip, slash ? (size_t)(slash - path) - skip : strlen(path + skip));
        _cleanup_free_ char *whole = strndup(path, skip + (name ? strlen(name) : 0));
        if (!name || !whole)
            return cii_error_nomem(ret_error);
        if (tell(o, name, whole) < 0)
            return fail(CI_ERR_CANCELLED, "the caller stopped", ret_error);
    }
    return 1;
}

static int32_t do_remove(operation *o, ci_error **ret_error) {
    memory_file *file = find(o->store, o->path);
    if (!file)
        return fail(CI_ERR_NOTFOUND, "no such file", ret_error);
    remove_file(o->store, file);
    return 1;
}

static uint64_t capabilities(void *impl, void *session) {
    (void)impl;
    (void)session;
    return CI_CAP_PYTHON | CI_CAP_STREAMING | CI_CAP_SEPARATE_STREAMS | CI_CAP_CONTEXTS | CI_CAP_BACKGROUND |
           CI_CAP_NETWORK_NONE | CI_CAP_LIMIT_MEMORY | CI_CAP_LIMIT_PROCESSES | CI_CAP_LIMIT_DISK;
}

static ci_status open_session(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                              ci_error **ret_error) {
    (void)request;
    *ret_session = impl;
    return start(impl, "", do_nothing, ret_op) ? CI_OK : cii_error_nomem(ret_error);
}

static void close_session(void *session) {
    (void)session;
}

static ci_status run(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                     ci_error **ret_error) {
    operation *o = start(session, request->kind == CI_RUN_KIND_CODE ? request->context : "shell", do_run, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->text = strndup(request->text ? request->text : "", request->text_size);
    if (!o->text) {
        op_free(TAKE_PTR(*ret_op));
        return cii_error_nomem(ret_error);
    }
    o->run.kind = request->kind;
    o->sink = sink;
    o->store->deadline_ms = request->deadline_ms;
    o->store->flags = request->flags;
    return CI_OK;
}

static ci_status file_get(void *session, const char *path, uint64_t offset, uint64_t length, ci_op_write_cb write,
                          void *user, ci_op **ret_op, ci_error **ret_error) {
    operation *o = start(session, path, do_get, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->offset = offset;
    o->length = length;
    o->write = write;
    o->user = user;
    return CI_OK;
}

static ci_status file_put(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                          ci_error **ret_error) {
    operation *o = start(session, path, do_put, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->read = read;
    o->user = user;
    return CI_OK;
}

static ci_status file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                           ci_error **ret_error) {
    operation *o = start(session, path, do_list, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->entry = entry;
    o->user = user;
    return CI_OK;
}

static ci_status file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                           ci_error **ret_error) {
    operation *o = start(session, path, do_stat, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->entry = entry;
    o->user = user;
    return CI_OK;
}

static ci_status file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return start(session, path, do_remove, ret_op) ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return start(session, path, do_nothing, ret_op) ? CI_OK : cii_error_nomem(ret_error);
}

ci_sandbox *memory_sandbox(memory_store *store) {
    static const ci_sandbox_ops ops = {
        .struct_size = sizeof ops,
        .name = "memory",
        .capabilities = capabilities,
        .open = open_session,
        .close = close_session,
        .run = run,
        .file_get = file_get,
        .file_put = file_put,
        .file_list = file_list,
        .file_stat = file_stat,
        .file_remove = file_remove,
        .file_mkdir = file_mkdir,
    };
    ci_sandbox *sandbox = NULL;
    return ci_sandbox_new(&ops, store, &sandbox, NULL) == CI_OK ? sandbox : NULL;
}

/* --- storage ------------------------------------------------------------------------------------------------------ */

static int32_t do_list_objects(operation *o, ci_error **ret_error) {
    if (o->store->fail != CI_OK)
        return fail(o->store->fail, "memory: down", ret_error);
    for (size_t i = 0; i < o->store->count; i++) {
        const memory_file *file = &o->store->files[i];
        ci_object object = {.struct_size = sizeof object, .key = file->path, .size_bytes = file->size};
        if (strncmp(file->path, o->path, strlen(o->path)) == 0 && o->object(o->user, &object) < 0)
            return fail(CI_ERR_CANCELLED, "the caller stopped", ret_error);
    }
    return 1;
}

static int32_t do_stat_object(operation *o, ci_error **ret_error) {
    const memory_file *file = find(o->store, o->path);
    if (!file)
        return fail(CI_ERR_NOTFOUND, "no such object", ret_error);
    ci_object object = {.struct_size = sizeof object, .key = file->path, .size_bytes = file->size};
    o->object(o->user, &object);
    return 1;
}

static ci_status get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                     ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)if_etag;
    ci_status status = file_get(impl, key, offset, length, write, user, ret_op, ret_error);
    if (status == CI_OK)
        ((operation *)*ret_op)->object = object;
    return status;
}

static ci_status put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                     ci_op **ret_op, ci_error **ret_error) {
    ci_status status = file_put(impl, request->key, read, user, ret_op, ret_error);
    if (status == CI_OK)
        ((operation *)*ret_op)->object = object;
    return status;
}

/* All in one page: the second page, after the last key, is empty. */
static ci_status list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error) {
    (void)max;
    operation *o = start(impl, prefix, after ? do_nothing : do_list_objects, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->object = object;
    o->user = user;
    return CI_OK;
}

static ci_status stat_object(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                             ci_error **ret_error) {
    operation *o = start(impl, key, do_stat_object, ret_op);
    if (!o)
        return cii_error_nomem(ret_error);
    o->object = object;
    o->user = user;
    return CI_OK;
}

ci_storage *memory_storage(memory_store *store) {
    static const ci_storage_ops ops = {
        .struct_size = sizeof ops,
        .name = "memory",
        .get = get,
        .put = put,
        .list = list,
        .stat = stat_object,
        .remove = file_remove,
    };
    ci_storage *storage = NULL;
    return ci_storage_new(&ops, store, &storage, NULL) == CI_OK ? storage : NULL;
}
