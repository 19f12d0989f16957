/* The regular files below a folder of the host's that nobody else writes to. */
#ifndef CII_SESSION_TREE_H
#define CII_SESSION_TREE_H

#include "base/error.h"

typedef struct cii_tree {
    char **files; /* relative paths */
    size_t file_count;
    size_t file_capacity;
    char **folders; /* still to be read */
    size_t folder_count;
    size_t folder_capacity;
    uint64_t left_out_count; /* links and other things */
} cii_tree;

/* Reads the whole tree; one descriptor at a time, no link followed. */
ci_status cii_tree_read(cii_tree *tree, int root_fd, ci_error **ret_error);
void cii_tree_free(cii_tree *tree);

#endif
