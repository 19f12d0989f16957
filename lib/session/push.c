/* ci_push_to_workspace(): selects files, looks up what the workspace has of them (hashing meanwhile those that it pushed
 * before), saves several at a time, and writes the manifest when all are there. */
#include <stdio.h>

#include "base/options.h"
#include "base/path.h"
#include "base/str.h"
#include "session/keys.h"
#include "session/links.h"
#include "session/lookup.h"
#include "session/manifest.h"
#include "session/object.h"
#include "session/progress.h"
#include "session/save.h"
#include "session/walk.h"

#define PARALLEL_SAVES 8 /* two descriptors each at most: fits CII_WAITS_MAX */
#define HASHES_A_STEP 16
#define LARGE (UINT64_C(8) << 20)
#define LARGE_SAVES 2 /* a storage may hold parts of each in memory, and send them in parallel itself */

/* A file that was selected, and what became of it. */
typedef struct push_file {
    char *path;
    char *name;
    char *reason; /* skipped or failed */
    char *etag;   /* of its object, for the manifest */
    cii_stamp stamp;
    uint64_t size_bytes;
    int32_t kind;
    int32_t status; /* CI_FILE_OK: not saved yet */
    bool is_hashed;
    char sha256[65];
    struct cii_hashed ahead; /* while what the workspace has was looked up */
} push_file;

typedef struct push_call {
    ci_call call;
    enum { SELECT, LINKS, STAT, WALK, LOOK_UP, SAVE, MANIFEST } stage;
    bool everything; /* no folder is skipped by its name */
    char **paths;    /* as given; NULL-ended */
    size_t path_at;
    char *path; /* the one being selected, normalized */
    cii_links links;
    ci_op *op;
    ci_entry entry; /* of path, by stat */
    cii_walk walk;
    ci_status walk_status;
    uint64_t activity;
    uint64_t writes;
    push_file *files;
    size_t file_count;
    size_t file_capacity;
    size_t file_at; /* next to be saved */
    uint64_t bytes_max;
    uint64_t bytes;     /* saved */
    uint64_t bytes_now; /* being saved, or found unchanged */
    cii_lookup lookup;
    cii_ahead ahead; /* of the file whose turn it is to be hashed meanwhile */
    size_t ahead_at;
    cii_save saves[PARALLEL_SAVES];
    push_file *saved[PARALLEL_SAVES]; /* NULL: the place is free */
    cii_progress progress;
    char *manifest_name; /* NULL: no manifest is wanted */
    char *manifest_key;
    cii_manifest manifest;
    size_t manifest_at; /* file that is told next */
} push_call;

/* --- selecting ----------------------------------------------------------------------------------------------------- */

/* Consumes path. reason NULL: to be saved. */
static push_file *add_file(push_call *self, char *path, const ci_entry *entry, int32_t status, const char *reason) {
    if (path && self->file_count == self->file_capacity) {
        size_t capacity = self->file_capacity ? self->file_capacity * 2 : 64;
        push_file *files = realloc(self->files, capacity * sizeof *files);
        if (!files) {
            free(path);
            return NULL;
        }
        self->files = files;
        self->file_capacity = capacity;
    }
    char *copy = reason ? strdup(reason) : NULL;
    if (!path || (reason && !copy)) {
        free(path);
        free(copy);
        return NULL;
    }
    push_file *file = &self->files[self->file_count++];
    *file = (push_file){.path = path, .reason = copy, .status = status, .kind = CI_KIND_REGULAR};
    if (!entry)
        return file;
    file->kind = entry->kind;
    file->size_bytes = entry->size_bytes;
    file->stamp = (cii_stamp){
        .activity = self->activity,
        .writes = self->writes,
        .size_bytes = entry->size_bytes,
        .version = entry->version,
        .modified_ns = entry->modified_ns,
    };
    return file;
}

/* Why a push leaves it out; NULL: it does not. */
static const char *why_skipped(const push_call *self, const ci_entry *entry) {
    switch (entry->kind) {
    case CI_KIND_REGULAR:
        return NULL;
    case CI_KIND_DIRECTORY:
        if (self->everything)
            return NULL;
        return cii_walk_is_litter(cii_path_base(entry->path)) ? "a folder of that name is not saved" : NULL;
    case CI_KIND_SYMLINK:
        return "a link";
    default:
        return "neither a file nor a folder";
    }
}

static int32_t on_walked(void *user, const ci_entry *entry) {
    push_call *self = user;
    const char *reason = why_skipped(self, entry);
    if (!reason && entry->kind == CI_KIND_DIRECTORY)
        return 0;
    int32_t status = reason ? CI_FILE_SKIPPED : CI_FILE_OK;
    if (!add_file(self, cii_walk_join(self->path, entry->path), entry, status, reason)) {
        self->walk_status = CI_ERR_NOMEM;
        return -1;
    }
    return reason && entry->kind == CI_KIND_DIRECTORY;
}

static int32_t on_stat(void *user, const ci_entry *entry) {
    push_call *self = user;
    memcpy(&self->entry, entry, CII_MIN(sizeof self->entry, entry->struct_size));
    return 0;
}

static ci_status fail_path(push_call *self, const char *path, ci_error *error, ci_error **ret_error) {
    push_file *file = add_file(self, strdup(path), NULL, CI_FILE_FAILED, ci_error_message(error));
    ci_error_free(error);
    return file ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status refuse_file(push_file *file, const char *why) {
    file->status = CI_FILE_FAILED;
    file->reason = strdup(why);
    return file->reason ? CI_OK : CI_ERR_NOMEM;
}

/* All files are known. */
static ci_status end_selection(push_call *self, ci_error **ret_error) {
    ci_status status = CI_OK;
    self->stage = LOOK_UP;
    cii_progress_start(&self->progress, "push");
    for (size_t i = 0; i < self->file_count && status == CI_OK; i++) {
        push_file *file = &self->files[i];
        if (file->status != CI_FILE_OK)
            continue;
        if (self->manifest_name && strcmp(file->path, self->manifest_name) == 0) {
            status = refuse_file(file, "not saved: the manifest of this push has that name");
            continue;
        }
        cii_progress_add(&self->progress, file->size_bytes);
        status = cii_lookup_add(&self->lookup, file->path);
    }
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

/* Begins with the next path. */
static ci_status select_next(push_call *self, ci_error **ret_error) {
    free(TAKE_PTR(self->path));
    if (!self->paths && self->path_at++ == 0) {
        cii_lookup_guess(&self->lookup);
        self->path = strdup(".");
        self->stage = WALK;
        return self->path ? CI_OK : cii_error_nomem(ret_error);
    }
    if (!self->paths || !self->paths[self->path_at])
        return end_selection(self, ret_error);
    const char *given = self->paths[self->path_at++];
    ci_error *error = NULL;
    if (cii_keys_sandbox_path(given, &self->path, &error) < 0)
        return fail_path(self, given, error, ret_error);
    self->stage = LINKS;
    self->entry = (ci_entry){0};
    return CI_OK;
}

static int step_links(push_call *self, cii_waits *waits, ci_error **ret_error) {
    int r = self->links.session ? 0 : cii_links_start(&self->links, self->call.session, self->path, ret_error);
    if (r == 0)
        r = cii_links_step(&self->links, waits, ret_error);
    if (r <= 0)
        return r;
    const ci_entry entry = {.struct_size = sizeof entry, .path = self->path, .kind = self->links.kind};
    const char *reason = self->path[self->links.at] ? "leads through a link" : why_skipped(self, &entry);
    bool is_link = entry.kind == CI_KIND_SYMLINK;
    cii_links_free(&self->links);
    self->stage = is_link ? SELECT : STAT;
    if (is_link && !add_file(self, strdup(self->path), &entry, CI_FILE_SKIPPED, reason))
        return cii_error_nomem(ret_error);
    return 0;
}

static int step_stat(push_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_session *session = self->call.session;
    _cleanup_error_ ci_error *error = NULL;
    int r = 0;
    if (!self->op)
        r = session->ops->file_stat(session->backend, self->path, on_stat, self, &self->op, &error);
    if (r == 0)
        r = cii_op_step(&self->op, waits, &error);
    if (r == 0)
        return 0;
    if (cii_is_fatal(r)) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return r;
    }
    self->stage = SELECT;
    if (r < 0)
        return fail_path(self, self->path, TAKE_PTR(error), ret_error);
    if (self->entry.kind == CI_KIND_DIRECTORY) {
        self->stage = WALK;
        return 0;
    }
    self->entry.path = self->path;
    const char *reason = why_skipped(self, &self->entry);
    if (!add_file(self, strdup(self->path), &self->entry, reason ? CI_FILE_SKIPPED : CI_FILE_OK, reason))
        return cii_error_nomem(ret_error);
    return 0;
}

static int step_walk(push_call *self, cii_waits *waits, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int r = 0;
    if (!self->walk.session)
        r = cii_walk_start(&self->walk, self->call.session, self->path, on_walked, self, &error);
    if (r == 0)
        r = cii_walk_step(&self->walk, waits, &error);
    if (r == 0)
        return 0;
    cii_walk_free(&self->walk);
    if (self->walk_status < 0)
        return cii_error_nomem(ret_error);
    self->stage = SELECT;
    if (r > 0)
        return 0;
    if (cii_is_fatal(r)) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return r;
    }
    return fail_path(self, self->path, TAKE_PTR(error), ret_error);
}

/* --- looking up ---------------------------------------------------------------------------------------------------- */

/* What was pushed before has to be hashed in any case: the time that the storage takes is enough for much of it. */
static int hash_ahead(push_call *self, cii_waits *waits, ci_error **ret_error) {
    for (int i = 0; i < HASHES_A_STEP && self->ahead_at < self->file_count; i++) {
        push_file *file = &self->files[self->ahead_at];
        int r = 1;
        if (file->status == CI_FILE_OK)
            r = cii_ahead_step(&self->ahead, self->call.session, file->path, &file->stamp, waits, ret_error);
        if (r <= 0)
            return r;
        file->ahead = self->ahead.found;
        cii_ahead_free(&self->ahead);
        self->ahead_at++;
    }
    waits->again |= self->ahead_at < self->file_count;
    return 0;
}

static int step_look_up(push_call *self, cii_waits *waits, ci_error **ret_error) {
    int r = cii_lookup_step(&self->lookup, waits, ret_error);
    if (r == 0)
        return hash_ahead(self, waits, ret_error);
    cii_ahead_free(&self->ahead);
    self->stage = SAVE;
    return CII_MIN(r, 0);
}

/* --- saving -------------------------------------------------------------------------------------------------------- */

static ci_status take_over(push_call *self, push_file *file, cii_save *save) {
    ci_file_info info = cii_save_info(save, file->sha256);
    cii_progress_done(&self->progress, file->size_bytes, save->status == CI_FILE_SAVED, save->moved_bytes);
    self->bytes_now -= file->size_bytes;
    if (save->status == CI_FILE_SAVED)
        self->bytes += save->size_bytes;
    file->status = save->status;
    file->is_hashed = save->is_hashed;
    if (save->is_hashed)
        file->size_bytes = save->size_bytes;
    if (info.key)
        file->name = TAKE_PTR(save->name);
    if (self->manifest_name)
        file->etag = TAKE_PTR(save->etag);
    if (info.error && !(file->reason = strdup(info.error)))
        return CI_ERR_NOMEM;
    return CI_OK;
}

static bool is_too_large_now(const push_call *self, const push_file *file) {
    int large = 0;
    for (size_t i = 0; i < PARALLEL_SAVES; i++)
        large += self->saved[i] && self->saved[i]->size_bytes > LARGE;
    return file->size_bytes > LARGE && large >= LARGE_SAVES;
}

/* Puts the next file into a free place; false: there is none left. */
static bool fill_place(push_call *self, size_t place, ci_status *ret_status, ci_error **ret_error) {
    for (; self->file_at < self->file_count; self->file_at++) {
        push_file *file = &self->files[self->file_at];
        if (file->status != CI_FILE_OK)
            continue;
        uint64_t left = self->bytes_max - CII_MIN(self->bytes, self->bytes_max);
        if (file->size_bytes <= left - CII_MIN(self->bytes_now, left))
            break;
        if (self->bytes_now > 0)
            return false; /* those may take less */
        /* Sparse files can claim more together than the sandbox root can hold: saved, they would fill the workspace. */
        if (refuse_file(file, "not saved: the files of this push claim to hold more than the sandbox root can") < 0) {
            *ret_status = cii_error_nomem(ret_error);
            return true;
        }
        cii_progress_done(&self->progress, file->size_bytes, false, 0);
    }
    if (self->file_at == self->file_count || is_too_large_now(self, &self->files[self->file_at]))
        return false;
    push_file *file = &self->files[self->file_at++];
    self->bytes_now += file->size_bytes;
    cii_save *save = &self->saves[place];
    *ret_status = cii_save_start(save, self->call.session, file->path, ret_error);
    save->is_walked = true;
    save->stamp = file->stamp;
    save->listed = cii_lookup_find(&self->lookup, file->path);
    cii_save_take_ahead(save, &file->ahead);
    self->saved[place] = file;
    return true;
}

static void tell_progress(push_call *self, bool is_end) {
    uint64_t moving = 0, expected = 0;
    for (size_t i = 0; i < PARALLEL_SAVES; i++)
        if (self->saved[i]) {
            moving += self->saves[i].moved_bytes;
            expected += CII_MIN(self->saves[i].moved_bytes, self->saved[i]->size_bytes);
        }
    cii_progress_tell(self->call.session, &self->progress, moving, expected, is_end);
}

static int step_saves(push_call *self, cii_waits *waits, ci_error **ret_error) {
    bool busy = false;
    for (size_t i = 0; i < PARALLEL_SAVES; i++) {
        ci_status status = CI_OK;
        if (!self->saved[i] && !fill_place(self, i, &status, ret_error))
            continue;
        if (status < 0)
            return status;
        busy = true;
        int r = cii_save_step(&self->saves[i], waits, ret_error);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        status = take_over(self, self->saved[i], &self->saves[i]);
        cii_save_free(&self->saves[i]);
        self->saved[i] = NULL;
        waits->again = true;
        if (status < 0)
            return cii_error_nomem(ret_error);
    }
    tell_progress(self, false);
    return busy ? 0 : 1;
}

/* --- the manifest -------------------------------------------------------------------------------------------------- */

/* The next file that the workspace has. */
static cii_manifest_file next_of_manifest(void *user) {
    push_call *self = user;
    while (self->manifest_at < self->file_count) {
        const push_file *file = &self->files[self->manifest_at++];
        if (file->name && (file->status == CI_FILE_SAVED || file->status == CI_FILE_UNCHANGED))
            return (cii_manifest_file){file->name + strlen(CII_OUTPUTS), file->sha256, file->etag, file->size_bytes};
    }
    return (cii_manifest_file){0};
}

/* Its own entry is the last; not written where a file failed. 1: there is nothing to write. */
static int start_manifest(push_call *self, ci_error **ret_error) {
    size_t failed = 0;
    for (size_t i = 0; i < self->file_count; i++)
        failed += self->files[i].status == CI_FILE_FAILED;
    char reason[64];
    snprintf(reason, sizeof reason, "not written: %zu %s failed", failed, failed == 1 ? "file has" : "files have");
    if (!add_file(self, strdup(self->manifest_name), NULL, failed ? CI_FILE_SKIPPED : CI_FILE_OK,
                  failed ? reason : NULL))
        return cii_error_nomem(ret_error);
    self->stage = MANIFEST;
    return failed > 0;
}

static int step_manifest(push_call *self, cii_waits *waits, ci_error **ret_error) {
    push_file *file = &self->files[self->file_count - 1];
    _cleanup_error_ ci_error *error = NULL;
    int r = 0;
    if (!self->manifest.op)
        r = cii_manifest_start(&self->manifest, self->call.session, self->manifest_key, next_of_manifest, self, &error);
    if (r == 0)
        r = cii_manifest_step(&self->manifest, waits, &error);
    if (r == 0)
        return 0;
    if (cii_is_fatal(r)) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return r;
    }
    if (r < 0)
        return refuse_file(file, ci_error_message(error)) < 0 ? cii_error_nomem(ret_error) : 1;
    file->status = CI_FILE_SAVED;
    file->size_bytes = self->manifest.size_bytes;
    file->is_hashed = true;
    cii_hex(self->manifest.sha256, sizeof self->manifest.sha256, file->sha256);
    file->name = cii_str_printf("%s%s", CII_OUTPUTS, self->manifest_name);
    return file->name ? 1 : cii_error_nomem(ret_error);
}

/* --- the call ------------------------------------------------------------------------------------------------------ */

static ci_status make_result(push_call *self, int32_t outcome, const char *why, ci_error **ret_error) {
    tell_progress(self, true);
    _cleanup_result_ ci_result *result = NULL;
    ci_status status = cii_result_new(CII_RESULT_PUSH, NULL, &result);
    for (size_t i = 0; i < self->file_count && status == CI_OK; i++) {
        const push_file *file = &self->files[i];
        bool undone = file->status == CI_FILE_OK;
        const ci_file_info info = {
            .struct_size = sizeof info,
            .path = file->path,
            .key = file->name,
            .sha256 = file->is_hashed ? file->sha256 : NULL,
            .error = undone ? why : file->reason,
            .size_bytes = file->size_bytes,
            .modified_ms = file->stamp.modified_ns / 1000000,
            .kind = file->kind,
            .status = undone ? CI_FILE_FAILED : file->status,
        };
        status = cii_result_add_file(result, CI_FILES_MAIN, &info, NULL);
    }
    if (status == CI_OK)
        status = cii_result_settle(result);
    if (status == CI_OK && outcome == CI_OUTCOME_TIMEOUT)
        status = cii_result_override_timeout(result, self->call.timeout_ms);
    else if (status == CI_OK && outcome != CI_OUTCOME_OK)
        status = cii_result_override(result, outcome, NULL);
    if (status < 0)
        return cii_error_nomem(ret_error);
    self->call.result = TAKE_PTR(result);
    return CI_OK;
}

static int push_stage(push_call *self, cii_waits *waits, ci_error **ret_error) {
    int r;
    switch (self->stage) {
    case SELECT:
        return select_next(self, ret_error);
    case LINKS:
        return step_links(self, waits, ret_error);
    case STAT:
        return step_stat(self, waits, ret_error);
    case WALK:
        return step_walk(self, waits, ret_error);
    case LOOK_UP:
        return step_look_up(self, waits, ret_error);
    case SAVE:
        r = step_saves(self, waits, ret_error);
        return r > 0 && self->manifest_name ? start_manifest(self, ret_error) : r;
    case MANIFEST:
        return step_manifest(self, waits, ret_error);
    }
    return CI_ERR_INTERNAL;
}

static int push_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    push_call *self = (push_call *)call;
    int r = push_stage(self, waits, ret_error);
    if (r == 0 && waits->count == 0)
        waits->again = true; /* between two stages */
    if (r <= 0)
        return r;
    ci_status status = make_result(self, CI_OUTCOME_OK, NULL, ret_error);
    return status < 0 ? status : 1;
}

static ci_status push_cut(ci_call *call, int32_t outcome, ci_error **ret_error) {
    const char *why = outcome == CI_OUTCOME_TIMEOUT ? "not saved: time-out" : "not saved: interrupted";
    return make_result((push_call *)call, outcome, why, ret_error);
}

static void push_drop(ci_call *call) {
    push_call *self = (push_call *)call;
    cii_links_free(&self->links);
    cii_op_drop(&self->op);
    cii_walk_free(&self->walk);
    for (size_t i = 0; i < PARALLEL_SAVES; i++)
        cii_save_free(&self->saves[i]);
    cii_ahead_free(&self->ahead);
    cii_lookup_free(&self->lookup);
    cii_manifest_free(&self->manifest);
    free(self->manifest_name);
    free(self->manifest_key);
    for (size_t i = 0; i < self->file_count; i++) {
        free(self->files[i].path);
        free(self->files[i].name);
        free(self->files[i].reason);
        free(self->files[i].etag);
    }
    free(self->files);
    free(self->path);
    cii_strv_free(self->paths);
}

static const cii_call_ops push_ops = {.name = "push", .step = push_step, .drop = push_drop, .cut = push_cut};

static char **copy_paths(const char *const *paths, size_t count) {
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = strdup(paths[i]))) {
            cii_strv_free(copy);
            return NULL;
        }
    return copy;
}

static ci_status check_options(const ci_push_options *o, ci_error **ret_error) {
    if (o->flags & ~(uint32_t)CI_PUSH_EVERYTHING)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "flags: 0x%x has bits that are no CI_PUSH_ flags",
                             o->flags);
    return cii_reserved_check(o->reserved, "ci_push_options", ret_error);
}

static ci_status take_manifest(push_call *self, const char *name, ci_error **ret_error) {
    if (!name || !*name)
        return CI_OK;
    _cleanup_free_ char *logical = NULL;
    ci_status status = cii_key_check(name, false, "manifest", ret_error);
    if (status == CI_OK)
        status = cii_keys_of_path(self->call.session, name, &self->manifest_key, &logical, ret_error);
    if (status == CI_OK && !(self->manifest_name = strdup(name)))
        status = cii_error_nomem(ret_error);
    return status;
}

ci_status ci_push_to_workspace_start(ci_session *session, const char *const *paths, size_t path_count,
                                     const ci_push_options *options, ci_call **ret_call, ci_error **ret_error) {
    ci_push_options o;
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK)
        status = cii_options_copy(&o, sizeof o, options, "ci_push_options", ret_error);
    if (status == CI_OK)
        status = check_options(&o, ret_error);
    if (status == CI_OK)
        status = cii_session_need_workspace(session, ret_error);
    if (status < 0)
        return status;
    for (size_t i = 0; paths && i < path_count; i++)
        if (!paths[i])
            return cii_error_set(ret_error, CI_ERR_INVALID, "session", "paths[%zu]: NULL", i);
    ci_call *call = NULL;
    status = cii_call_new(sizeof(push_call), &push_ops, session, cii_session_timeout(session, o.timeout_ms), &call,
                          ret_error);
    if (status < 0)
        return status;
    push_call *self = (push_call *)call;
    call->outcome_kind = CII_OUTCOME_RESULT;
    self->everything = (o.flags & CI_PUSH_EVERYTHING) || (session->options.flags & CI_SESSION_PUSH_EVERYTHING);
    cii_lookup_init(&self->lookup, session);
    self->activity = session->ops->activity(session->backend);
    self->writes = atomic_load(&session->write_count);
    bool has_limit = (session->capabilities & CI_CAP_LIMIT_DISK) && !session->options.host_dir;
    self->bytes_max = has_limit ? session->options.workspace_bytes : UINT64_MAX;
    status = take_manifest(self, o.manifest ? o.manifest : session->options.manifest, ret_error);
    if (status == CI_OK && paths && !(self->paths = copy_paths(paths, path_count)))
        status = cii_error_nomem(ret_error);
    if (status < 0)
        ci_call_free(call);
    else
        *ret_call = call;
    return status;
}

ci_status ci_push_to_workspace(ci_session *session, const char *const *paths, size_t path_count,
                               const ci_push_options *options, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_push_to_workspace_start(session, paths, path_count, options, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}
