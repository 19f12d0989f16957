/* A workspace as it is named on a command line: DIR or s3://BUCKET/PREFIX. */
#ifndef EXAMPLES_WORKSPACE_H
#define EXAMPLES_WORKSPACE_H

#include <ci/objects.h>

/** How a server of S3 is reached; NULL: as AWS's own clients find it. */
struct server {
    const char *endpoint;
    const char *region;
    const char *profile;
    const char *ca_file;
};

/** Whether a name is an s3:// one. */
int workspace_is_s3(const char *name);

/**
 * What is wrong with a workspace named so, or with a server named beside it: a sentence; NULL: nothing that can be seen
 * without opening it.
 */
const char *workspace_wrong(const char *name, const struct server *server);

/** Opens it. A folder that is not there is made when `create`. Returns NULL and an error when it cannot. */
ci_storage *workspace_open(const char *name, const struct server *server, int create, ci_error **ret_error);

/** A paragraph for a page of help. */
extern const char workspace_help[];

#endif
