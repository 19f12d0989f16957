/* A tree by path, so that no choice of names by the guest makes it slow. */
#include "session/known.h"

#include <search.h>

static int compare(const void *a, const void *b) {
    return strcmp(((const cii_known_file *)a)->path, ((const cii_known_file *)b)->path);
}

static void free_file(void *file) {
    cii_known_file *f = file;
    free(f->path);
    free(f->etag);
    free(f);
}

cii_known_file *cii_known_find(cii_known *known, const char *path) {
    cii_known_file key = {.path = (char *)(uintptr_t)path};
    void *found = tfind(&key, &known->root, compare);
    return found ? *(cii_known_file **)found : NULL;
}

cii_known_file *cii_known_add(cii_known *known, const char *path) {
    cii_known_file *file = cii_known_find(known, path);
    if (file)
        return file;
    file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->path = strdup(path);
    if (!file->path || !tsearch(file, &known->root, compare)) {
        free_file(file);
        return NULL;
    }
    return file;
}

void cii_known_free(cii_known *known) {
    tdestroy(known->root, free_file);
    known->root = NULL;
}
