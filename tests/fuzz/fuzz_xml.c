/* Any bytes as S3's answer, whole and in pieces: both say the same, and what is told is text. */
#include <string.h>

#include "aws/xml.h"
#include "fuzz.h"

typedef struct told {
    size_t rows, bytes;
} told;

static ci_status tell(void *user, const cii_xml_row *row, ci_error **ret_error) {
    told *t = user;
    (void)ret_error;
    FUZZ_CHECK(row->name != NULL && row->count <= CII_XML_LEAVES_MAX);
    for (size_t i = 0; i < row->count; i++) {
        t->bytes += strlen(row->leaves[i].name) + strlen(row->leaves[i].text);
        FUZZ_CHECK(cii_xml_row_text(row, row->leaves[i].name) == row->leaves[i].text);
    }
    FUZZ_CHECK(t->bytes <= (t->rows + 1) * CII_XML_ROW_BYTES_MAX);
    t->rows++;
    return CI_OK;
}

static ci_status parse(const uint8_t *data, size_t size, size_t piece, told *t) {
    _cleanup_xml_ cii_xml *x = NULL;
    _cleanup_error_ ci_error *error = NULL;
    FUZZ_CHECK(cii_xml_new(tell, t, &x, &error) == CI_OK);
    ci_status status = CI_OK;
    for (size_t at = 0; at < size && status == CI_OK; at += piece)
        status = cii_xml_feed(x, data + at, CII_MIN(piece, size - at), &error);
    if (status == CI_OK)
        status = cii_xml_end(x, &error);
    FUZZ_CHECK((status == CI_OK) == (error == NULL));
    FUZZ_CHECK(status != CI_OK || cii_xml_root(x) != NULL);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    told whole = {0}, parts = {0};
    if (size > CII_XML_TOKEN_MAX) /* where a tag is too long is seen sooner or later */
        return 0;
    ci_status status = parse(data, size, size + 1, &whole);
    ci_status again = parse(data, size, 7, &parts);
    FUZZ_CHECK((status == CI_OK) == (again == CI_OK));
    FUZZ_CHECK(status != CI_OK || (whole.rows == parts.rows && whole.bytes == parts.bytes));
    return 0;
}
