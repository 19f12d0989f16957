/* See walk.h. */
#include "session/walk.h"

#include "base/str.h"

bool cii_walk_is_litter(const char *name) {
    static const char *const names[] = {
        "node_modules", "__pycache__", ".ipynb_checkpoints", ".cache",        ".npm",       ".venv",
        "venv",         ".tox",        ".mypy_cache",        ".pytest_cache", ".ruff_cache"};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

char *cii_walk_join(const char *folder, const char *name) {
    if (!*folder || strcmp(folder, ".") == 0)
        return strdup(name);
    return cii_str_printf("%s/%s", folder, name);
}

static ci_status push_folder(cii_walk *walk, char *folder) {
    if (walk->folder_count == walk->folder_capacity) {
        size_t capacity = walk->folder_capacity ? walk->folder_capacity * 2 : 16;
        char **folders = realloc(walk->folders, capacity * sizeof *folders);
        if (!folders)
            return CI_ERR_NOMEM;
        walk->folders = folders;
        walk->folder_capacity = capacity;
    }
    walk->folders[walk->folder_count++] = folder;
    return CI_OK;
}

static int32_t on_listed(void *user, const ci_entry *listed) {
    cii_walk *walk = user;
    _cleanup_free_ char *path = cii_walk_join(walk->folder, listed->path);
    if (!path) {
        walk->status = CI_ERR_NOMEM;
        return -1;
    }
    ci_entry entry = {0};
    memcpy(&entry, listed, CII_MIN(sizeof entry, listed->struct_size));
    entry.struct_size = sizeof entry;
    entry.path = path;
    int32_t r = walk->entry(walk->user, &entry);
    if (r != 0 || entry.kind != CI_KIND_DIRECTORY)
        return r < 0 ? r : 0;
    walk->status = push_folder(walk, path);
    if (walk->status < 0)
        return -1;
    path = NULL;
    return 0;
}

static ci_status list_next(cii_walk *walk, ci_error **ret_error) {
    free(walk->folder);
    walk->folder = walk->folders[--walk->folder_count];
    _cleanup_free_ char *path = *walk->folder ? cii_walk_join(walk->root, walk->folder) : strdup(walk->root);
    if (!path)
        return cii_error_nomem(ret_error);
    return walk->session->ops->file_list(walk->session->backend, path, on_listed, walk, &walk->op, ret_error);
}

ci_status cii_walk_start(cii_walk *walk, ci_session *session, const char *path, ci_entry_cb entry, void *user,
                         ci_error **ret_error) {
    *walk = (cii_walk){.session = session, .entry = entry, .user = user};
    if (session->capabilities & CI_CAP_WALK)
        return session->ops->walk(session->backend, path, 0, entry, user, &walk->op, ret_error);
    char *first = strdup("");
    walk->root = strdup(path);
    if (!walk->root || !first || push_folder(walk, first) < 0) {
        free(first);
        return cii_error_nomem(ret_error);
    }
    return list_next(walk, ret_error);
}

/* The end, or what was met on the way. */
static int end(cii_walk *walk, ci_error **ret_error) {
    if (walk->left_out < 0 && ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(walk->left_out_error);
    }
    return walk->left_out < 0 ? walk->left_out : 1;
}

int cii_walk_step(cii_walk *walk, cii_waits *waits, ci_error **ret_error) {
    for (;;) {
        _cleanup_error_ ci_error *error = NULL;
        int r = cii_op_step(&walk->op, waits, &error);
        if (walk->status < 0)
            return cii_error_nomem(ret_error);
        bool below = walk->folder && *walk->folder;
        if (r < 0 && below && (r == CI_ERR_NOTFOUND || r == CI_ERR_PERMISSION)) {
            if (r == CI_ERR_PERMISSION && walk->left_out == CI_OK) { /* else it is gone since it was listed */
                walk->left_out = r;
                walk->left_out_error = TAKE_PTR(error);
            }
        } else if (r <= 0) {
            if (ret_error && error) {
                ci_error_free(*ret_error);
                *ret_error = TAKE_PTR(error);
            }
            return r;
        }
        if (walk->folder_count == 0)
            return end(walk, ret_error);
        ci_status status = list_next(walk, ret_error);
        if (status < 0)
            return status;
    }
}

void cii_walk_free(cii_walk *walk) {
    cii_op_drop(&walk->op);
    for (size_t i = 0; i < walk->folder_count; i++)
        free(walk->folders[i]);
    free(walk->folders);
    free(walk->folder);
    free(walk->root);
    ci_error_free(walk->left_out_error);
    *walk = (cii_walk){0};
}
