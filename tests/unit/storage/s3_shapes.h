/* Shapes of requests to S3, each a row of a table (s3_shapes.c), and what a server must answer. test_storage_s3_shapes.c
 * sends them. */
#ifndef TEST_STORAGE_S3_SHAPES_H
#define TEST_STORAGE_S3_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/sigv4.h"

/* A key that must come back as the very bytes it is, whole, as a prefix and as a source of a copy. */
typedef struct shape_key {
    const char *name;
    const char *key;
} shape_key;

/* How a request is spoilt or signed otherwise. */
typedef enum shape_way {
    SHAPE_PLAIN,
    SHAPE_UNSIGNED_BODY,   /* UNSIGNED-PAYLOAD */
    SHAPE_TOKEN,           /* a session token is sent and signed */
    SHAPE_PRESIGNED,       /* all in the query */
    SHAPE_PRESIGNED_TOKEN, /* the same with a token */
    SHAPE_NOBODY,          /* without any signature */
    SHAPE_WRONG_SECRET,
    SHAPE_WRONG_ID,
    SHAPE_WRONG_BODY,   /* another body than was hashed */
    SHAPE_WRONG_METHOD, /* POST was signed */
    SHAPE_WRONG_KEY,    /* a byte more in the path than was signed */
    SHAPE_WRONG_QUERY,  /* a parameter more */
    SHAPE_WRONG_HEADER, /* another value of the first header */
    SHAPE_EARLY,        /* 20 minutes */
    SHAPE_LATE,
    SHAPE_WRONG_REGION,
    SHAPE_PRESIGNED_WRONG_SECRET,
    SHAPE_PRESIGNED_WRONG_KEY,
    SHAPE_PRESIGNED_LATE, /* 20 minutes after a minute's signature */
} shape_way;

typedef struct shape_answer {
    int status; /* 0: as of the other server */
    /* "=TEXT": the body is TEXT; "~NAME: VALUE": a header; "keys A|B|": a listing has these, common prefixes last; else: it is in
     * the body. NULL: any. */
    const char *has;
} shape_answer;

/* Rows run in their order. In values and bodies {NAME} is what an earlier answer had: the text of that element of its XML
 * or of that header; {bucket} is the bucket, {md5} the body's MD5 in base64. */
typedef struct shape {
    const char *name;
    const char *method;
    const char *key; /* NULL: the bucket */
    cii_aws_pair query[6];
    cii_aws_pair headers[6];
    const char *body; /* NULL: none */
    shape_way way;
    const char *keep; /* a NAME to be kept of the answer */
    shape_answer rgw, swift;
} shape;

extern const shape_key shape_keys[];
extern const size_t shape_key_count;
extern const shape shapes[];
extern const size_t shape_count;

#endif
