/* SHA-256 by OpenSSL's EVP interface, which uses the processor's own instructions. A cii_sha256 is an EVP_MD_CTX. */
#include "base/hash.h"

#include <openssl/evp.h>

static EVP_MD_CTX *context_of(cii_sha256 *hash) {
    return (EVP_MD_CTX *)hash;
}

cii_sha256 *cii_sha256_new(void) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(context);
        context = NULL;
    }
    return (cii_sha256 *)context;
}

bool cii_sha256_update(cii_sha256 *hash, const void *data, size_t size) {
    return EVP_DigestUpdate(context_of(hash), data, size) == 1;
}

bool cii_sha256_final(cii_sha256 *hash, uint8_t ret_digest[32]) {
    EVP_MD_CTX *context = context_of(hash);
    return EVP_DigestFinal_ex(context, ret_digest, NULL) == 1 && EVP_DigestInit_ex(context, NULL, NULL) == 1;
}

void cii_sha256_free(cii_sha256 *hash) {
    EVP_MD_CTX_free(context_of(hash));
}
