/* See changes.h. Folders are not listed, nor what is in folders that cii_walk_is_litter() names. */
#include "session/changes.h"

#include <search.h>

#include "base/path.h"

typedef struct seen_file {
    char *path;
    uint64_t size_bytes;
    uint64_t version;
    int64_t modified_ns;
    int32_t kind;
    bool still_there;
} seen_file;

static int compare(const void *a, const void *b) {
    return strcmp(((const seen_file *)a)->path, ((const seen_file *)b)->path);
}

static void free_seen(void *seen) {
    free(((seen_file *)seen)->path);
    free(seen);
}

static ci_status remember(cii_changes *changes, const ci_entry *entry) {
    seen_file *seen = malloc(sizeof *seen);
    if (!seen)
        return CI_ERR_NOMEM;
    *seen = (seen_file){
        .path = strdup(entry->path),
        .size_bytes = entry->size_bytes,
        .version = entry->version,
        .modified_ns = entry->modified_ns,
        .kind = entry->kind,
    };
    if (!seen->path || !tsearch(seen, &changes->before, compare)) {
        free_seen(seen);
        return CI_ERR_NOMEM;
    }
    return CI_OK;
}

static ci_status report(cii_changes *changes, const seen_file *file, int32_t status) {
    const ci_file_info info = {
        .struct_size = sizeof info,
        .path = file->path,
        .size_bytes = file->size_bytes,
        .modified_ms = file->modified_ns / 1000000,
        .kind = file->kind,
        .status = status,
    };
    return cii_report_add(&changes->report, &info);
}

static ci_status compare_entry(cii_changes *changes, const ci_entry *entry) {
    seen_file now = {
        .path = (char *)(uintptr_t)entry->path,
        .size_bytes = entry->size_bytes,
        .version = entry->version,
        .modified_ns = entry->modified_ns,
        .kind = entry->kind,
    };
    void *found = tfind(&now, &changes->before, compare);
    if (!found)
        return entry->modified_ns >= changes->since_ns ? report(changes, &now, CI_FILE_CREATED) : CI_OK;
    seen_file *before = *(seen_file **)found;
    before->still_there = true;
    bool same = before->size_bytes == now.size_bytes && before->version == now.version &&
                before->modified_ns == now.modified_ns && before->kind == now.kind;
    return same ? CI_OK : report(changes, &now, CI_FILE_CHANGED);
}

static int32_t on_entry(void *user, const ci_entry *entry) {
    cii_changes *changes = user;
    if (entry->kind == CI_KIND_DIRECTORY)
        return cii_walk_is_litter(cii_path_base(entry->path));
    changes->status = changes->comparing ? compare_entry(changes, entry) : remember(changes, entry);
    return changes->status < 0 ? -1 : 0;
}

/* What cannot be walked is told, as the run's own result must not be lost for it. */
static ci_status tell_incomplete(cii_changes *changes, const ci_error *error) {
    const ci_file_info info = {
        .struct_size = sizeof info,
        .path = ".",
        .error = ci_error_message(error),
        .kind = CI_KIND_DIRECTORY,
        .status = CI_FILE_FAILED,
    };
    bool told = changes->incomplete;
    changes->incomplete = true;
    return told ? CI_OK : cii_report_add(&changes->report, &info);
}

static int step(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int r = 0;
    if (!changes->walk.session)
        r = cii_walk_start(&changes->walk, session, ".", on_entry, changes, &error);
    if (r == 0)
        r = cii_walk_step(&changes->walk, waits, &error);
    if (r != 0)
        cii_walk_free(&changes->walk);
    if (changes->status < 0 || r == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (r >= 0)
        return r;
    if (r == CI_ERR_CLOSED || r == CI_ERR_LOST) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return r;
    }
    return tell_incomplete(changes, error) < 0 ? cii_error_nomem(ret_error) : 1;
}

int cii_changes_before(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    return step(changes, session, waits, ret_error);
}

static void on_unseen(const void *node, VISIT visit, void *user) {
    cii_changes *changes = user;
    const seen_file *seen = *(seen_file *const *)node;
    if ((visit == postorder || visit == leaf) && !seen->still_there && changes->status == CI_OK)
        changes->status = report(changes, seen, CI_FILE_DELETED);
}

int cii_changes_after(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    changes->comparing = true;
    int r = step(changes, session, waits, ret_error);
    if (r > 0 && !changes->incomplete) /* else what was not seen may still be there */
        twalk_r(changes->before, on_unseen, changes);
    return changes->status < 0 ? cii_error_nomem(ret_error) : r;
}

int cii_changes_since(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    changes->comparing = true;
    return step(changes, session, waits, ret_error);
}

void cii_changes_free(cii_changes *changes) {
    cii_walk_free(&changes->walk);
    tdestroy(changes->before, free_seen);
    cii_report_free(&changes->report);
    *changes = (cii_changes){0};
}
