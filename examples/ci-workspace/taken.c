/* A file takes its path; the folders on its way are remembered too, since none of them can be a file. */
#include "taken.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct path {
    char *key; /* NULL: a folder */
    char text[];
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct path *)a)->text, ((const struct path *)b)->text);
}

static void path_free(void *item) {
    struct path *path = item;
    if (path)
        free(path->key);
    free(path);
}

static struct path *path_new(const char *text, size_t size, const char *key) {
    struct path *path = malloc(sizeof(*path) + size + 1);
    if (!path)
        return NULL;
    path->key = NULL;
    memcpy(path->text, text, size);
    path->text[size] = 0;
    if (!key || (path->key = strdup(key)))
        return path;
    free(path);
    return NULL;
}

/* The path as it is remembered: as it was before, or as it is given now. NULL: out of memory. */
static const struct path *remember(struct taken *taken, const char *text, size_t size, const char *key, int *ret_new) {
    struct path *path = path_new(text, size, key);
    struct path *const *found = path ? tsearch(path, &taken->paths, compare) : NULL;
    *ret_new = found && *found == path;
    if (!*ret_new)
        path_free(path);
    return found ? *found : NULL;
}

static int refuse(struct taken *taken, char *why, const char **ret_why) {
    free(taken->why);
    taken->why = why;
    *ret_why = why ? why : "out of memory";
    return -1;
}

static char *both(const char *path) {
    char *why = NULL;
    return asprintf(&why, "\"%s\" is both a file and a folder there", path) < 0 ? NULL : why;
}

static char *two_keys(const char *first, const char *second, const char *path) {
    char *why = NULL;
    return asprintf(&why, "%s and %s would both be written to %s", first, second, path) < 0 ? NULL : why;
}

int taken_add(struct taken *taken, const char *path, const char *key, const char **ret_why) {
    const struct path *at;
    int is_new;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        at = remember(taken, path, (size_t)(slash - path), NULL, &is_new);
        if (!at || at->key)
            return refuse(taken, at ? both(at->text) : NULL, ret_why);
    }
    at = remember(taken, path, strlen(path), key, &is_new);
    if (!at || !at->key)
        return refuse(taken, at ? both(path) : NULL, ret_why);
    if (!is_new && strcmp(at->key, key) != 0)
        return refuse(taken, two_keys(at->key, key, path), ret_why);
    return is_new;
}

void taken_clear(struct taken *taken) {
    tdestroy(taken->paths, path_free);
    free(taken->why);
    *taken = (struct taken){0};
}
