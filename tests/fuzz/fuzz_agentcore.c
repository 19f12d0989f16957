/* Any bytes as what AgentCore answers: as a result, whose output is then read as lines of the probe; as such lines, whole and
 * in pieces, which say the same; and as a traceback. */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "sandbox/agentcore/agentcore.h"

#define NONCE "abc"

/* What lines said: a sum of their fields, since callbacks have no order but one. */
typedef struct told {
    uint64_t lines, fields, bytes, numbers, sum;
} told;

static void add(told *t, const char *data, size_t size) {
    t->bytes += size;
    for (size_t i = 0; i < size; i++)
        t->sum = t->sum * 31 + (unsigned char)data[i];
}

static ci_status tell_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    told *t = user;
    int64_t number;
    size_t count = 0;
    FUZZ_CHECK(line->tag != '\0' && line->tag != '.');
    t->lines++;
    while (count < CII_AGENTCORE_FIELDS_MAX && line->fields[count])
        count++;
    t->fields += count;
    for (size_t i = 0; i < CII_AGENTCORE_FIELDS_MAX; i++)
        FUZZ_CHECK((line->fields[i] != NULL) == (i < count));
    for (size_t i = 0; i <= CII_AGENTCORE_FIELDS_MAX; i++) {
        _cleanup_buf_ cii_buf bytes = {0};
        bool is_number = cii_agentcore_field_int(line, i, &number);
        ci_status status = cii_agentcore_field_bytes(line, i, &bytes, NULL);
        FUZZ_CHECK(status == CI_OK || status == CI_ERR_PROTOCOL);
        FUZZ_CHECK(i < count || (!is_number && status == CI_ERR_PROTOCOL));
        FUZZ_CHECK(status < 0 || bytes.size <= strlen(line->fields[i]));
        t->numbers += is_number;
        add(t, bytes.data, bytes.size);
        add(t, i < count ? line->fields[i] : "", i < count ? strlen(line->fields[i]) : 0);
    }
    return line->tag == '#' ? cii_error_set(ret_error, CI_ERR_CANCELLED, "fuzz", "enough") : CI_OK;
}

static ci_status feed(const char *data, size_t size, size_t piece, told *t) {
    static const char begin[] = "ci:" NONCE "\r\n";
    _cleanup_error_ ci_error *error = NULL;
    cii_agentcore_lines lines;
    cii_agentcore_lines_init(&lines, NONCE);
    ci_status status = cii_agentcore_lines_feed(&lines, begin, sizeof begin - 1, tell_line, t, &error);
    FUZZ_CHECK(status == CI_OK && lines.begun && t->lines == 0);
    for (size_t at = 0; at < size && status == CI_OK; at += piece)
        status = cii_agentcore_lines_feed(&lines, data + at, CII_MIN(piece, size - at), tell_line, t, &error);
    FUZZ_CHECK(status == CI_OK || status == CI_ERR_PROTOCOL || status == CI_ERR_CANCELLED);
    FUZZ_CHECK(ci_error_status(error) == status);
    cii_agentcore_lines_free(&lines);
    return status;
}

static void read_lines(const char *data, size_t size) {
    told whole = {0}, parts = {0};
    FUZZ_CHECK(feed(data, size, size + 1, &whole) == feed(data, size, 7, &parts));
    FUZZ_CHECK(memcmp(&whole, &parts, sizeof whole) == 0);
}

static void read_traceback(const char *data, size_t size) {
    char *name, *message;
    FUZZ_CHECK(cii_agentcore_exception(data, size, &name, &message) == CI_OK);
    FUZZ_CHECK(!name == !message);
    FUZZ_CHECK(!name || (*name && strlen(name) + strlen(message) <= size && !strchr(message, '\n')));
    free(name);
    free(message);
}

static void take_item(void *user, const char *mime_type, const void *data, size_t size) {
    size_t *bytes = user;
    FUZZ_CHECK(*mime_type && data != NULL);
    *bytes += size;
}

static void read_result(const char *data, size_t size) {
    cii_agentcore_result r;
    uint32_t dropped = 0;
    size_t bytes = 0;
    _cleanup_free_ char *payload = malloc(size + (size == 0));
    FUZZ_CHECK(payload);
    memcpy(payload, data, size);
    ci_status status = cii_agentcore_result_read(payload, size, &r, NULL);
    FUZZ_CHECK(status == CI_OK || status == CI_ERR_PROTOCOL);
    if (status < 0)
        return;
    FUZZ_CHECK(strlen(r.out) <= r.out_size && strlen(r.err) <= r.err_size && r.out_size + r.err_size <= size);
    FUZZ_CHECK(r.has_streams || r.out_size + r.err_size == 0);
    cii_agentcore_result_items(&r, take_item, &bytes, &dropped);
    FUZZ_CHECK(bytes <= size);
    status = cii_agentcore_tool_check(&r, NULL, NULL);
    FUZZ_CHECK(status == CI_OK ? !r.is_error : status == CI_ERR_INVALID);
    read_lines(r.out, r.out_size);
    read_traceback(r.err, r.err_size);
    cii_agentcore_result_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = size ? (const char *)data : "";
    read_result(text, size);
    read_lines(text, size);
    read_traceback(text, size);
    return 0;
}
