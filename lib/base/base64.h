/* Base64 (RFC 4648, section 4), padded. */
#ifndef CII_BASE_BASE64_H
#define CII_BASE_BASE64_H

#include "base/buf.h"

ci_status cii_base64_encode(cii_buf *to, const void *data, size_t size);
/* White space is skipped; everything else that does not belong, missing padding too, is CI_ERR_INVALID. */
ci_status cii_base64_decode(cii_buf *to, const char *text, size_t size, ci_error **ret_error);
/* The same where the text lies, which a failure spoils. */
ci_status cii_base64_decode_in_place(char *text, size_t size, size_t *ret_size);

#endif
