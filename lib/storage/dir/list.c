/* Listing in byte order of whole keys: a walk through the folders that can hold a wanted key, each read as a whole and
 * sorted with a "/" behind the names of folders, which is where their keys stand ("a-b" < "a/c" < "ab").
 *
 * Each process() reads or tells a bounded number of names. Where a full page ended is kept for a moment: the next page
 * goes on from there instead of reading large folders once a page. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/dir/dir.h"

#define NAMES_READ 4096 /* in one process() */
#define NAMES_TOLD 256
#define CURSOR_MS 1000
#define IS_LINK "a link, and links are not followed"

/* A folder of the walk. */
typedef struct level {
    char *path;    /* "" or "a/b/" */
    DIR *reading;  /* NULL once all names are read */
    cii_buf text;  /* the names, each with its NUL, folders with a "/" */
    cii_buf names; /* size_t: where each begins */
    size_t next;   /* name to be told */
} level;

struct cii_dir_cursor {
    char *prefix;
    char *last; /* the last key told; before the first page, what the caller gave; NULL: from the first */
    level *levels;
    size_t depth;
    size_t capacity;
    int64_t since_ms;
    char *left_out; /* the first thing that is there and no object, and why; NULL: nothing */
    size_t left_out_count;
};

typedef struct list {
    ci_op op;
    cii_dir *dir;
    cii_dir_cursor *cursor;
    uint32_t left;
    ci_object_cb object;
    void *user;
} list;

static size_t name_count(const level *l) {
    return l->names.size / sizeof(size_t);
}

static const char *name_at(const level *l, size_t index) {
    return l->text.data + ((const size_t *)(const void *)l->names.data)[index];
}

static void level_free(level *l) {
    if (l->reading)
        closedir(l->reading);
    cii_buf_free(&l->text);
    cii_buf_free(&l->names);
    free(l->path);
}

void cii_dir_cursor_free(cii_dir_cursor *c) {
    if (!c)
        return;
    while (c->depth > 0)
        level_free(&c->levels[--c->depth]);
    free(c->levels);
    free(c->prefix);
    free(c->last);
    free(c->left_out);
    free(c);
}

static void list_free(ci_op *op) {
    list *l = (list *)op;
    cii_dir_cursor_free(l->cursor);
    free(l);
}

/* --- reading a folder --------------------------------------------------------------------------------------------- */

/* Notes what the list does without. path: as a key would be. */
static ci_status leave_out(list *l, const char *path, const char *why, ci_error **ret_error) {
    cii_dir_cursor *c = l->cursor;
    if (memcmp(path, c->prefix, CII_MIN(strlen(path), strlen(c->prefix))) != 0)
        return CI_OK;
    if (c->left_out_count++ == 0)
        c->left_out = cii_str_printf("\"%s\": %s", path, why);
    return c->left_out ? CI_OK : cii_error_nomem(ret_error);
}

/* Goes into a folder; one that is gone holds no objects. */
static ci_status push(list *l, const char *path, ci_error **ret_error) {
    cii_dir_cursor *c = l->cursor;
    if (c->depth == c->capacity) {
        size_t capacity = CII_MAX(c->capacity * 2, (size_t)8);
        level *levels = reallocarray(c->levels, capacity, sizeof *levels);
        if (!levels)
            return cii_error_nomem(ret_error);
        c->levels = levels;
        c->capacity = capacity;
    }
    int fd = cii_resolve_open(l->dir->root_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return CI_OK;
    if (fd < 0 && (errno == ELOOP || errno == EACCES))
        return leave_out(l, path, errno == ELOOP ? IS_LINK : "the folder cannot be read", ret_error);
    level new = {.reading = fd < 0 ? NULL : fdopendir(fd), .path = strdup(path)};
    if (!new.reading || !new.path) {
        int error = new.reading ? ENOMEM : errno;
        if (!new.reading)
            cii_close(fd);
        level_free(&new);
        return cii_dir_error(ret_error, error, "list", path);
    }
    c->levels[c->depth++] = new;
    return CI_OK;
}

/* Whether a key, or keys in a folder (with its "/"), can be wanted. */
static bool is_wanted(const cii_dir_cursor *c, const char *key, bool folder) {
    size_t size = strlen(key), prefix = strlen(c->prefix);
    if (memcmp(key, c->prefix, CII_MIN(size, prefix)) != 0 || (!folder && size < prefix))
        return false;
    return !c->last || (folder ? strncmp(c->last, key, size) <= 0 : strcmp(key, c->last) > 0);
}

/* A put that is at work has its file locked. */
static void remove_if_dead(int folder_fd, const char *name) {
    _cleanup_close_ int fd = cii_resolve_open(folder_fd, name, O_RDONLY | O_NONBLOCK, 0, CII_RESOLVE_NO_LINKS);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder_fd, name, 0);
}

/* DT_REG, DT_DIR, DT_LNK, or anything else. */
static int kind_of(int folder_fd, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(folder_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return DT_UNKNOWN;
    return IFTODT(st.st_mode);
}

static ci_status add_name(list *l, level *top, const struct dirent *entry, ci_error **ret_error) {
    char key[1100];
    size_t size = strlen(entry->d_name);
    int kind = kind_of(dirfd(top->reading), entry);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return CI_OK;
    if (cii_dir_part_reserved(entry->d_name, size, top->path[0] == '\0')) {
        if (kind == DT_REG)
            remove_if_dead(dirfd(top->reading), entry->d_name);
        return CI_OK;
    }
    int length = snprintf(key, sizeof key, "%s%s", top->path, entry->d_name);
    if (kind != DT_REG && kind != DT_DIR)
        return leave_out(l, key, kind == DT_LNK ? IS_LINK : "neither a file nor a folder", ret_error);
    if ((size_t)length >= sizeof key - 1 || cii_key_check(key, false, "key", NULL) < 0)
        return leave_out(l, key, "the name is not UTF-8, too long, or has control characters", ret_error);
    if (kind == DT_DIR)
        memcpy(key + length, "/", 2);
    if (!is_wanted(l->cursor, key, kind == DT_DIR))
        return CI_OK;
    size_t at = top->text.size;
    ci_status status = cii_buf_append(&top->text, key + strlen(top->path), strlen(key + strlen(top->path)) + 1);
    if (status == CI_OK)
        status = cii_buf_append(&top->names, &at, sizeof at);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

static int by_text(const void *a, const void *b, void *text) {
    return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

static ci_status read_some(list *l, level *top, ci_error **ret_error) {
    for (int i = 0; i < NAMES_READ; i++) {
        errno = 0;
        const struct dirent *entry = readdir(top->reading);
        if (!entry && errno != 0)
            return cii_dir_error(ret_error, errno, "list", top->path);
        if (!entry) {
            closedir(TAKE_PTR(top->reading));
            if (name_count(top) > 1)
                qsort_r(top->names.data, name_count(top), sizeof(size_t), by_text, top->text.data);
            return CI_OK;
        }
        ci_status status = add_name(l, top, entry, ret_error);
        if (status < 0)
            return status;
    }
    return CI_OK;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static ci_status tell(list *l, const level *top, int folder_fd, const char *name, ci_error **ret_error) {
    struct stat st;
    if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return CI_OK;
    char *key = cii_str_printf("%s%s", top->path, name);
    if (!key)
        return cii_error_nomem(ret_error);
    free(l->cursor->last);
    l->cursor->last = key;
    l->left--;
    return cii_dir_tell(l->object, l->user, key, &st, NULL, ret_error);
}

/* Tells names of the current folder until one of them is a folder, and goes into that. */
static ci_status tell_some(list *l, level *top, ci_error **ret_error) {
    _cleanup_close_ int fd = cii_resolve_open(l->dir->root_fd, top->path[0] ? top->path : ".", O_PATH | O_DIRECTORY, 0,
                                              CII_RESOLVE_NO_LINKS);
    if (fd < 0) {
        top->next = name_count(top); /* it went meanwhile */
        return CI_OK;
    }
    for (int i = 0; i < NAMES_TOLD && l->left > 0 && top->next < name_count(top); i++) {
        const char *name = name_at(top, top->next++);
        if (cii_str_ends(name, "/")) {
            _cleanup_free_ char *path = cii_str_printf("%s%s", top->path, name);
            return path ? push(l, path, ret_error) : cii_error_nomem(ret_error);
        }
        ci_status status = tell(l, top, fd, name, ret_error);
        if (status < 0)
            return status;
    }
    return CI_OK;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static void keep(list *l) {
    l->cursor->since_ms = cii_clock_ms();
    pthread_mutex_lock(&l->dir->lock);
    cii_dir_cursor *old = l->dir->cursor;
    l->dir->cursor = TAKE_PTR(l->cursor);
    pthread_mutex_unlock(&l->dir->lock);
    cii_dir_cursor_free(old);
}

/* Where the page before this one ended, if that is known; NULL otherwise. */
static cii_dir_cursor *take_kept(cii_dir *dir, const char *prefix, const char *after) {
    pthread_mutex_lock(&dir->lock);
    cii_dir_cursor *c = dir->cursor;
    bool fits = c && after && strcmp(c->prefix, prefix) == 0 && strcmp(c->last, after) == 0;
    if (fits)
        dir->cursor = NULL;
    pthread_mutex_unlock(&dir->lock);
    if (!fits || cii_clock_ms() - c->since_ms <= CURSOR_MS)
        return fits ? c : NULL;
    cii_dir_cursor_free(c);
    return NULL;
}

/* Everything is told; what was left out is told now. */
static int32_t end(const cii_dir_cursor *c, ci_error **ret_error) {
    char more[48] = "";
    if (c->left_out_count == 0)
        return 1;
    if (c->left_out_count > 1)
        snprintf(more, sizeof more, "; %zu more are left out", c->left_out_count - 1);
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "storage", "%s%s", c->left_out, more);
}

static int32_t list_process(ci_op *op, ci_error **ret_error) {
    list *l = (list *)op;
    cii_dir_cursor *c = l->cursor;
    if (l->left == 0) {
        if (c->last)
            keep(l);
        return 1;
    }
    if (c->depth == 0)
        return end(c, ret_error);
    level *top = &c->levels[c->depth - 1];
    if (top->reading)
        return read_some(l, top, ret_error);
    if (top->next < name_count(top))
        return tell_some(l, top, ret_error);
    level_free(top);
    c->depth--;
    return 0;
}

/* Begins at the folder that the prefix names. */
static ci_status begin(list *l, const char *prefix, const char *after, ci_error **ret_error) {
    const char *slash = strrchr(prefix, '/');
    _cleanup_free_ char *folder = strndup(prefix, slash ? (size_t)(slash + 1 - prefix) : 0);
    cii_dir_cursor *c = l->cursor = calloc(1, sizeof *c);
    if (!c || !folder || !(c->prefix = strdup(prefix)) || (after && !(c->last = strdup(after))))
        return cii_error_nomem(ret_error);
    ci_status status = cii_key_check(folder, true, "prefix", ret_error);
    if (status < 0 || cii_str_starts(prefix, CII_DIR_PRIVATE "/"))
        return status;
    return push(l, folder, ret_error);
}

ci_status cii_dir_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                       ci_op **ret_op, ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, cii_dir_op_fd, list_process, NULL, NULL, list_free};
    list *l = calloc(1, sizeof *l);
    if (!l)
        return cii_error_nomem(ret_error);
    *l = (list){.op = {&ops}, .dir = impl, .left = max, .object = object, .user = user};
    l->cursor = take_kept(impl, prefix, after);
    ci_status status = l->cursor ? CI_OK : begin(l, prefix, after, ret_error);
    if (status < 0) {
        list_free(&l->op);
        return status;
    }
    *ret_op = &l->op;
    return CI_OK;
}
