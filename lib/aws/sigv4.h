/* Signing requests to AWS and to what speaks its protocol (Signature Version 4), without I/O.
 *
 * A signer belongs to one region and service and is used by any number of threads at once; it keeps the signing key of the
 * day. A signed request belongs to one thread and may be signed again and again, which costs no allocation but where it
 * has to grow. What is sent must be what was signed, byte for byte: the target with nothing resolved in it (curl:
 * PATH_AS_IS), the headers that are handed back, and those that were given.
 *
 * Nothing is sent that was not checked: a byte that could end a header or a line is CI_ERR_INVALID, more than the maxima
 * below CI_ERR_LIMIT; messages name the header or the parameter and never its value. After a failure the signed request is
 * empty. */
#ifndef CII_AWS_SIGV4_H
#define CII_AWS_SIGV4_H

#include "base/buf.h"

#define CII_SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define CII_SIGV4_EMPTY_PAYLOAD "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define CII_SIGV4_PATH_MAX 8192u
#define CII_SIGV4_PAIRS_MAX 64u   /* parameters, and headers */
#define CII_SIGV4_TEXT_MAX 65536u /* names and values of parameters and headers, token included, together */
#define CII_SIGV4_NAME_MAX 128u   /* region, service, id of the key; the secret: twice that */
#define CII_SIGV4_EXPIRES_MAX_S 604800

/* How services differ. */
enum {
    CII_SIGV4_NORMALIZE = 1,    /* the path that is signed has no dot segments and doubled slashes */
    CII_SIGV4_PATH_ENCODED = 2, /* the path is given as it is sent; what is signed is encoded once more */
    CII_SIGV4_SEND_HASH = 4,    /* x-amz-content-sha256 is sent and signed */
};
#define CII_SIGV4_S3 CII_SIGV4_SEND_HASH
#define CII_SIGV4_OTHERS (CII_SIGV4_NORMALIZE | CII_SIGV4_PATH_ENCODED)

/* What requests are signed with. Borrowed wherever it is an argument. */
typedef struct cii_aws_keys {
    const char *id;
    const char *secret;
    const char *token; /* NULL or "": none */
} cii_aws_keys;

typedef struct cii_aws_pair {
    const char *name;
    const char *value;
} cii_aws_pair;

typedef struct cii_sigv4_request {
    const char *method;
    const char *host; /* with the port when it is not the scheme's own */
    /* Begins with "/"; empty stands for "/". S3: the bytes of bucket and key, each of which is encoded once, "/" kept.
     * With CII_SIGV4_PATH_ENCODED: encoded by the caller, label by label (cii_sigv4_encode()). */
    const char *path;
    size_t path_size;
    const cii_aws_pair *query; /* not encoded; a NULL value is an empty one */
    size_t query_count;
    /* What will be sent besides. Signed, but for what proxies and clients change on the way (user-agent, content-length,
     * expect, accept and the like). Host, authorization and the x-amz-* headers below are not the caller's to give. */
    const cii_aws_pair *headers;
    size_t header_count;
    const char *payload_hash; /* 64 hex digits, CII_SIGV4_UNSIGNED_PAYLOAD; NULL: no body */
} cii_sigv4_request;

/* Its pointers live until it is signed again or freed. Zero it before the first use. */
typedef struct cii_sigv4_signed {
    const char *target;      /* path and query, as they are to be sent */
    cii_aws_pair headers[5]; /* Host, X-Amz-Date, …, Authorization: to be sent too */
    size_t header_count;
    const char *signed_headers; /* "host;x-amz-date": what the signature covers */
    const char *signature;
    cii_buf text, canonical; /* what the pointers point into; room to work in */
} cii_sigv4_signed;

typedef struct cii_sigv4 cii_sigv4;

/* flags: CII_SIGV4_S3 for S3, CII_SIGV4_OTHERS for the rest. */
ci_status cii_sigv4_new(const char *region, const char *service, unsigned flags, cii_sigv4 **ret_signer,
                        ci_error **ret_error);
void cii_sigv4_free(cii_sigv4 *signer);

/* now_s: seconds since 1970, by the server's clock where that is known to differ. */
ci_status cii_sigv4_sign(cii_sigv4 *signer, const cii_sigv4_request *request, const cii_aws_keys *keys, int64_t now_s,
                         cii_sigv4_signed *ret_signed, ci_error **ret_error);
/* A URL that anybody can use until it expires: all is in the target, and of headers only Host and those given are sent.
 * A payload_hash of NULL is CII_SIGV4_UNSIGNED_PAYLOAD where the service is S3. */
ci_status cii_sigv4_presign(cii_sigv4 *signer, const cii_sigv4_request *request, const cii_aws_keys *keys,
                            int64_t now_s, int64_t expires_s, cii_sigv4_signed *ret_signed, ci_error **ret_error);
void cii_sigv4_signed_free(cii_sigv4_signed *request);

/* Appends the bytes with all but A-Z a-z 0-9 - . _ ~, and "/" where it is kept, as %XX. */
ci_status cii_sigv4_encode(cii_buf *to, const char *data, size_t size, bool keep_slash);
/* SHA-256 of a whole body in hex. */
ci_status cii_sigv4_hash(const void *data, size_t size, char ret_hex[65]);

static inline void cii_sigv4_free_p(cii_sigv4 **signer) {
    cii_sigv4_free(*signer);
}
#define _cleanup_sigv4_ _cleanup_(cii_sigv4_free_p)
#define _cleanup_signed_ _cleanup_(cii_sigv4_signed_free)

#endif
