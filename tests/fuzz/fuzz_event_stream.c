/* Any bytes as an event stream: as they are, and with checksums put right, so that what is behind them is reached. Whole and
 * in pieces both say the same; what is told lies within its message; failures among it are errors without a secret. */
#include <string.h>
#include <zlib.h>

#include "aws/rest_json.h"
#include "fuzz.h"

#define MESSAGE_MAX 4096u
#define SECRET "hidden"

typedef struct told {
    uint64_t messages, offset, headers, bytes;
    unsigned long sum; /* of all that was told */
} told;

static void add(told *t, const char *data, size_t size) {
    t->bytes += size;
    t->sum = crc32(t->sum, (const Bytef *)data, (uInt)size);
}

static void tell_error(const cii_event *event) {
    static const cii_aws_keys keys = {"id", SECRET, NULL};
    static const cii_rest_json_call call = {.domain = "fuzz", .action = "a:B", .is_of_session = true, .keys = &keys};
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = cii_rest_json_event_error(&call, event, "17", NULL, &error);
    FUZZ_CHECK(status < 0 && ci_error_status(error) == status);
    FUZZ_CHECK(strstr(ci_error_message(error), SECRET) == NULL && strstr(ci_error_hint(error), SECRET) == NULL);
}

static ci_status tell(void *user, const cii_event_message *m, ci_error **ret_error) {
    told *t = user;
    cii_event_header h, same;
    cii_event event;
    _cleanup_error_ ci_error *error = NULL;
    (void)ret_error;
    FUZZ_CHECK(m->number == ++t->messages && m->payload == m->headers + m->headers_size);
    FUZZ_CHECK(m->offset == t->offset);
    t->offset += 16 + m->headers_size + m->payload_size;
    FUZZ_CHECK(t->offset - m->offset <= MESSAGE_MAX);
    for (size_t at = 0; cii_event_header_next(m, &at, &h); t->headers++) {
        FUZZ_CHECK(at <= m->headers_size && h.type <= CII_EVENT_UUID && h.data_size <= 32767);
        add(t, h.name, h.name_size);
        add(t, h.data ? h.data : (const char *)&h.number, h.data ? h.data_size : sizeof h.number);
        if (memchr(h.name, '\0', h.name_size) == NULL) {
            char name[256] = "";
            memcpy(name, h.name, h.name_size);
            FUZZ_CHECK(cii_event_header_find(m, name, &same) && same.name == h.name);
        }
    }
    add(t, m->payload, m->payload_size);
    if (cii_event_read(m, &event, &error) == CI_OK) {
        FUZZ_CHECK(memchr(event.name, '\0', sizeof event.name) != NULL);
        if (event.kind != CII_EVENT_EVENT)
            tell_error(&event);
    } else {
        FUZZ_CHECK(ci_error_status(error) == CI_ERR_PROTOCOL);
    }
    return CI_OK;
}

static ci_status decode(const uint8_t *data, size_t size, size_t piece, told *t) {
    const cii_event_limits limits = {.message_size = MESSAGE_MAX, .headers_size = 1024, .header_count = 16};
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = cii_event_stream_new(&limits, tell, t, &s, &error);
    for (size_t at = 0; at < size && status == CI_OK; at += piece)
        status = cii_event_stream_feed(s, data + at, CII_MIN(piece, size - at), &error);
    if (status == CI_OK)
        status = cii_event_stream_end(s, &error);
    FUZZ_CHECK(status == CI_OK || status == CI_ERR_PROTOCOL || status == CI_ERR_LIMIT);
    FUZZ_CHECK(ci_error_status(error) == status);
    return status;
}

static void decode_twice(const uint8_t *data, size_t size) {
    told whole = {0}, parts = {0};
    FUZZ_CHECK(decode(data, size, size + 1, &whole) == decode(data, size, 7, &parts));
    FUZZ_CHECK(memcmp(&whole, &parts, sizeof whole) == 0);
}

static uint32_t read_uint(const uint8_t *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void put_crc(uint8_t *to, const uint8_t *data, size_t size) {
    uint32_t crc = (uint32_t)crc32(0, data, (uInt)size);
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void put_checksums_right(uint8_t *data, size_t size) {
    for (size_t at = 0, message; size - at >= 16; at += message) {
        message = read_uint(data + at);
        put_crc(data + at + 8, data + at, 8);
        if (message < 16 || message > size - at)
            return;
        put_crc(data + at + message - 4, data + at, message - 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + 1);
    FUZZ_CHECK(copy != NULL);
    decode_twice(data, size);
    if (size > 0)
        memcpy(copy, data, size);
    put_checksums_right(copy, size);
    decode_twice(copy, size);
    free(copy);
    return 0;
}
