/* Headers of an answer: pairs of NUL-ended name and value, one after the other. */
#include "net/curl.h"
#include "net/http.h"

bool cii_http_header_next(const cii_http_response *response, size_t *at, cii_http_header *ret_header) {
    if (*at >= response->headers_bytes)
        return false;
    const char *name = response->headers + *at, *value = name + strlen(name) + 1;
    *at += (size_t)(value - name) + strlen(value) + 1;
    *ret_header = (cii_http_header){name, value};
    return true;
}

const char *cii_http_header_value(const cii_http_response *response, const char *name) {
    cii_http_header header;
    for (size_t at = 0; cii_http_header_next(response, &at, &header);)
        if (strcasecmp(header.name, name) == 0)
            return header.value;
    return NULL;
}

int64_t cii_http_date_s(const char *date) {
    return cii_curl.getdate(date, NULL);
}
