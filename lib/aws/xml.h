/* Small XML answers, by expat: the texts of the elements that are asked for. */
#ifndef CII_AWS_XML_H
#define CII_AWS_XML_H

#include "base/buf.h"

/* Before reading: the element's name without its namespace, and `text` with its maximum. Of several the first counts. */
typedef struct cii_xml_want {
    const char *name;
    cii_buf text;
    bool is_found;
} cii_xml_want;

/* CI_ERR_PROTOCOL: not XML, deeper than 32, or with a document type, which nobody who answers us has. CI_ERR_LIMIT: a text
 * is longer than its maximum. Errors quote nothing. The texts are the caller's to free, also after a failure. */
ci_status cii_xml_read(const char *xml, size_t size, cii_xml_want *wants, size_t count, ci_error **ret_error);

#endif
