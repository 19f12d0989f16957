/* SHA-256 (FIPS 180-4) by OpenSSL, in steps. */
#ifndef CII_BASE_HASH_H
#define CII_BASE_HASH_H

#include "base/common.h"

typedef struct cii_sha256 cii_sha256;

cii_sha256 *cii_sha256_new(void); /* NULL without memory */
bool cii_sha256_update(cii_sha256 *hash, const void *data, size_t size);
/* Writes the hash and starts afresh, so that one object serves many files. */
bool cii_sha256_final(cii_sha256 *hash, uint8_t ret_digest[32]);
void cii_sha256_free(cii_sha256 *hash);

static inline void cii_sha256_free_p(cii_sha256 **hash) {
    cii_sha256_free(*hash);
}
#define _cleanup_sha256_ _cleanup_(cii_sha256_free_p)

#endif
