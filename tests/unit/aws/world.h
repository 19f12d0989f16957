/* What the tests of credentials share: a folder with files, an environment, and a server that answers from a list and
 * remembers what it was asked. It stands where a caller's HTTP would; test_http.c has the real one. */
#ifndef WORLD_H
#define WORLD_H

#include "../unit.h"
#include "aws/credentials.h"
#include "base/buf.h"

typedef struct answer {
    const char *url; /* what the request's begins with; NULL ends the list */
    int32_t status;  /* 0: nobody answers */
    const char *body;
} answer;

typedef struct world {
    char folder[64];
    char texts[16][512];
    const char *env[18];
    size_t env_count;
    int64_t now_s;
    const answer *answers;
    cii_buf asked; /* "GET URL\nname: value\n…\nbody\n\n" for each request */
    size_t asked_count;
    size_t pending; /* operations of the server that are not freed */
    cii_aws_credentials_options options;
} world;

void world_init(world *w);
void world_free(world *w);
void world_set(world *w, const char *name, const char *value);
/* Writes a file of the folder; the text may have "@" for the folder's path. Returns its path, which lives until the next. */
const char *world_write(world *w, const char *name, const char *text);

cii_aws_credentials *world_credentials(world *w);
/* Drives an operation to its end and frees it. */
ci_status world_drive(ci_op *op, ci_error **ret_error);
/* Asks, and drives, until there is an identity. */
ci_status world_get(cii_aws_credentials *c, cii_aws_identity **ret_identity, ci_error **ret_error);
/* The same with an object of its own. */
ci_status world_find(world *w, cii_aws_identity **ret_identity, ci_error **ret_error);
/* That they are found, and are these. */
void world_finds(world *w, const char *id, const char *secret, const char *token, const char *source);

#endif
