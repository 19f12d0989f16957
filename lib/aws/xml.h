/* The XML that S3 and STS answer in: bytes in, rows out, without I/O.
 *
 *     <ListBucketResult>                 the root
 *       <IsTruncated>true</IsTruncated>  a leaf of the root: cii_xml_text()
 *       <Contents>                       a row: handed to the callback when it ends
 *         <Key>a</Key> <Owner><ID>1</ID></Owner>      its leaves, at whatever depth, by their names: Key, ID
 *       </Contents>
 *
 * Whoever answers is hostile: no document type and so no entities of its own; bounds on depth, on the bytes of a row, of
 * the root's leaves and of a token, and on leaves, of which more than the maximum are left out. Names are without their
 * namespace's prefix, since servers differ in it; of two leaves of a name the first counts. White space before the
 * document is skipped: S3 sends some while it works. One thread. */
#ifndef CII_CII_XML_H
#define CII_CII_XML_H

#include "base/error.h"

#define CII_XML_LEAVES_MAX 32            /* of a row, of the root */
#define CII_XML_ROW_BYTES_MAX (64 << 10) /* names and texts */
#define CII_XML_TOKEN_MAX (32 << 10)
#define CII_XML_DEPTH_MAX 16

typedef struct cii_xml cii_xml;

typedef struct cii_xml_leaf {
    const char *name, *text; /* NUL-ended, until the callback returns */
} cii_xml_leaf;

typedef struct cii_xml_row {
    const char *name;
    const cii_xml_leaf *leaves;
    size_t count;
} cii_xml_row;

/* The text of a leaf; NULL: there is none. */
const char *cii_xml_row_text(const cii_xml_row *row, const char *name);

/* Gets a row. Not CI_OK: parsing stops with it. */
typedef ci_status (*cii_xml_row_cb)(void *user, const cii_xml_row *row, ci_error **ret_error);

/* row NULL: rows are not wanted. */
ci_status cii_xml_new(cii_xml_row_cb row, void *user, cii_xml **ret_xml, ci_error **ret_error);
void cii_xml_free(cii_xml *xml);

/* CI_ERR_PROTOCOL: no XML, or none that an answer may have; CI_ERR_LIMIT: beyond a bound; CI_ERR_NOMEM; what the callback
 * returned. After a failure only free. */
ci_status cii_xml_feed(cii_xml *xml, const void *data, size_t size, ci_error **ret_error);
/* Nothing more comes: CI_ERR_PROTOCOL when the document is not whole. */
ci_status cii_xml_end(cii_xml *xml, ci_error **ret_error);

/* The root's name; NULL: it has not begun. */
const char *cii_xml_root(const cii_xml *xml);
/* Of a leaf that is a child of the root; NULL: there is none so far. */
const char *cii_xml_text(const cii_xml *xml, const char *name);

static inline void cii_xml_free_p(cii_xml **xml) {
    cii_xml_free(*xml);
}
#define _cleanup_xml_ _cleanup_(cii_xml_free_p)

#endif
