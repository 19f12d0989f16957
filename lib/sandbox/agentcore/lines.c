/* See agentcore.h: what probe.py answers, read line by line. Hostile: whoever runs code in the session can answer in its
 * place. */
#include "sandbox/agentcore/agentcore.h"

#include <ctype.h>

#include "base/base64.h"
#include "base/str.h"

#define LINE_MAX_BYTES (256u << 10)   /* the probe's are of a third of that at most */
#define ANSWER_MAX_BYTES (256u << 20) /* twice 64 MiB of output, or a page of entries, in base64, are less */

void cii_agentcore_lines_init(cii_agentcore_lines *lines, const char *nonce) {
    *lines = (cii_agentcore_lines){0};
    cii_buf_init(&lines->rest, LINE_MAX_BYTES);
    memccpy(lines->nonce, nonce, 0, sizeof lines->nonce - 1);
}

void cii_agentcore_lines_free(cii_agentcore_lines *lines) {
    cii_buf_free(&lines->rest);
}

static ci_status wrong(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN,
                         "what came from within the session is not what was asked for");
}

/* Splits the line, which is NUL-ended, in place. */
static ci_status take_line(cii_agentcore_lines *lines, char *text, cii_agentcore_line_cb callback, void *user,
                           ci_error **ret_error) {
    if (!lines->begun) {
        lines->begun = cii_str_starts(text, "ci:") && strcmp(text + 3, lines->nonce) == 0;
        return CI_OK;
    }
    cii_agentcore_line line = {.tag = text[0]};
    if (!line.tag || (text[1] && text[1] != ' '))
        return wrong(ret_error);
    size_t count = 0;
    for (char *at = text + 1; *at == ' ';) {
        if (count == CII_AGENTCORE_FIELDS_MAX)
            return wrong(ret_error);
        *at++ = '\0';
        line.fields[count++] = at;
        at += strcspn(at, " ");
    }
    lines->ended = line.tag == '.';
    return lines->ended ? CI_OK : callback(user, &line, ret_error);
}

ci_status cii_agentcore_lines_feed(cii_agentcore_lines *lines, const char *data, size_t size,
                                   cii_agentcore_line_cb line, void *user, ci_error **ret_error) {
    lines->bytes += size;
    if (lines->bytes > ANSWER_MAX_BYTES)
        return wrong(ret_error);
    while (size > 0 && !lines->ended) {
        const char *end = memchr(data, '\n', size);
        size_t part = end ? (size_t)(end - data) : size;
        ci_status status = cii_buf_append(&lines->rest, data, part);
        if (status == CI_ERR_LIMIT)
            return wrong(ret_error);
        if (status == CI_OK && end)
            status = cii_buf_append(&lines->rest, "", 1); /* also of an empty one */
        if (status < 0)
            return cii_error_nomem(ret_error);
        if (!end)
            return CI_OK;
        data += part + 1;
        size -= part + 1;
        size_t last = lines->rest.size - 1;
        while (last > 0 && lines->rest.data[last - 1] == '\r')
            lines->rest.data[--last] = '\0';
        status = take_line(lines, lines->rest.data, line, user, ret_error);
        cii_buf_clear(&lines->rest);
        if (status < 0)
            return status;
    }
    return CI_OK;
}

bool cii_agentcore_field_int(const cii_agentcore_line *line, size_t at, int64_t *ret_number) {
    const char *text = at < CII_AGENTCORE_FIELDS_MAX ? line->fields[at] : NULL;
    char *end = NULL;
    if (!text || !(isdigit((unsigned char)*text) || *text == '-'))
        return false;
    errno = 0;
    *ret_number = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

ci_status cii_agentcore_field_bytes(const cii_agentcore_line *line, size_t at, cii_buf *to, ci_error **ret_error) {
    const char *text = at < CII_AGENTCORE_FIELDS_MAX ? line->fields[at] : NULL;
    if (!text)
        return wrong(ret_error);
    if (strcmp(text, "=") == 0) /* no bytes */
        return CI_OK;
    ci_status status = cii_base64_decode(to, text, strlen(text), NULL);
    return status == CI_OK ? CI_OK : status == CI_ERR_NOMEM ? cii_error_nomem(ret_error) : wrong(ret_error);
}
