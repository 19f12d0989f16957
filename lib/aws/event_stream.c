/* A message is collected in one buffer, which asks for its prelude first and for the rest once the prelude is sound; then
 * it is checked and told where it lies. */
#include "aws/event_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/utf8.h"

#define DOMAIN "aws"
#define PRELUDE_SIZE 12u
#define CRC_SIZE 4u
#define DATA_MAX 32767u      /* of one header's bytes or text */
#define KEPT_MAX (64u << 10) /* of the buffer, from one message to the next */

struct cii_event_stream {
    cii_event_limits limits;
    cii_event_message_cb callback;
    void *user;
    cii_event_message next; /* the one that is coming */
    cii_buf buf;            /* what there is of it */
    size_t wanted;          /* what there must be before anything can be done: its prelude, or all */
    ci_status failed;
};

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static uint64_t read_uint(const char *data, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (uint8_t)data[i];
    return value;
}

static int64_t read_int(const char *data, size_t size) {
    unsigned unused = 64 - 8 * (unsigned)size;
    return (int64_t)(read_uint(data, size) << unused) >> unused;
}

static bool crc_is_right(const char *data, size_t size) {
    return crc32(0, (const Bytef *)data, (uInt)size) == read_uint(data + size, CRC_SIZE);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

/* What a value takes, by its type; bytes and texts say so themselves. */
static const uint8_t value_sizes[] = {
    [CII_EVENT_TRUE] = 0,  [CII_EVENT_FALSE] = 0, [CII_EVENT_INT8] = 1, [CII_EVENT_INT16] = 2, [CII_EVENT_INT32] = 4,
    [CII_EVENT_INT64] = 8, [CII_EVENT_BYTES] = 2, [CII_EVENT_TEXT] = 2, [CII_EVENT_TIME] = 8,  [CII_EVENT_UUID] = 16};

/* So many bytes of what is left, which moves on; NULL when there are not so many. */
static const char *take(const char **data, size_t *left, size_t size) {
    const char *taken = *data;
    if (size > *left)
        return NULL;
    *data += size;
    *left -= size;
    return taken;
}

/* The bytes that a header takes; 0: it is none. */
static size_t read_header(const char *data, size_t size, cii_event_header *ret_header) {
    const char *at = data, *part, *value;
    cii_event_header h = {0};
    if (!(part = take(&at, &size, 1)))
        return 0;
    h.name_size = (uint8_t)*part;
    if (!(h.name = take(&at, &size, h.name_size)) || !(part = take(&at, &size, 1)))
        return 0;
    if ((uint8_t)*part >= CII_ELEMENTS(value_sizes))
        return 0;
    h.type = (cii_event_type)*part;
    if (!(value = take(&at, &size, value_sizes[h.type])))
        return 0;
    if (h.type == CII_EVENT_UUID) {
        h.data = value;
        h.data_size = value_sizes[h.type];
    } else if (h.type == CII_EVENT_BYTES || h.type == CII_EVENT_TEXT) {
        h.data_size = read_uint(value, 2);
        if (h.data_size > DATA_MAX || !(h.data = take(&at, &size, h.data_size)))
            return 0;
    } else if (h.type != CII_EVENT_FALSE) {
        h.number = h.type == CII_EVENT_TRUE ? 1 : read_int(value, value_sizes[h.type]);
    }
    *ret_header = h;
    return (size_t)(at - data);
}

bool cii_event_header_next(const cii_event_message *message, size_t *at, cii_event_header *ret_header) {
    size_t size = read_header(message->headers + *at, message->headers_size - *at, ret_header);
    *at += size;
    return size > 0;
}

static bool find(const cii_event_message *message, const char *name, size_t size, cii_event_header *ret_header) {
    cii_event_header h;
    for (size_t at = 0; cii_event_header_next(message, &at, &h);)
        if (h.name_size == size && memcmp(h.name, name, size) == 0) {
            *ret_header = h;
            return true;
        }
    return false;
}

bool cii_event_header_find(const cii_event_message *message, const char *name, cii_event_header *ret_header) {
    return find(message, name, strlen(name), ret_header);
}

/* --- what a message is -------------------------------------------------------------------------------------------- */

_printf_(4, 5) static ci_status
    refuse(const cii_event_message *m, ci_status status, ci_error **ret_error, const char *format, ...) {
    char why[160];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return cii_error_set(ret_error, status, DOMAIN, "event stream: message %" PRIu64 " at byte %" PRIu64 ": %s",
                         m->number, m->offset, why);
}

/* False: there is no text of that name. */
static bool find_text(const cii_event_message *message, const char *name, cii_event_header *ret_header) {
    return cii_event_header_find(message, name, ret_header) && ret_header->type == CII_EVENT_TEXT;
}

ci_status cii_event_read(const cii_event_message *message, cii_event *ret_event, ci_error **ret_error) {
    static const struct {
        const char *type, *name_header;
        bool needs_name;
    } kinds[] = {[CII_EVENT_EVENT] = {"event", ":event-type", true},
                 [CII_EVENT_EXCEPTION] = {"exception", ":exception-type", true},
                 [CII_EVENT_ERROR] = {"error", ":error-code", false}};
    cii_event_header type, name = {0}, words = {0};
    size_t kind = 0;
    if (!find_text(message, ":message-type", &type))
        return refuse(message, CI_ERR_PROTOCOL, ret_error, "no :message-type");
    while (kind < CII_ELEMENTS(kinds) &&
           (strlen(kinds[kind].type) != type.data_size || memcmp(kinds[kind].type, type.data, type.data_size) != 0))
        kind++;
    if (kind == CII_ELEMENTS(kinds))
        return refuse(message, CI_ERR_PROTOCOL, ret_error, "an unknown :message-type");
    if (!find_text(message, kinds[kind].name_header, &name) && kinds[kind].needs_name)
        return refuse(message, CI_ERR_PROTOCOL, ret_error, "no %s", kinds[kind].name_header);
    cii_event event = {
        .kind = (cii_event_kind)kind, .payload = message->payload, .payload_size = message->payload_size};
    if (name.data)
        memcpy(event.name, name.data, CII_MIN(name.data_size, sizeof event.name - 1));
    if (event.kind == CII_EVENT_ERROR) {
        event.payload = find_text(message, ":error-message", &words) ? words.data : "";
        event.payload_size = words.data_size;
    }
    *ret_event = event;
    return CI_OK;
}

/* --- stream ------------------------------------------------------------------------------------------------------- */

ci_status cii_event_stream_new(const cii_event_limits *limits, cii_event_message_cb callback, void *user,
                               cii_event_stream **ret_stream, ci_error **ret_error) {
    cii_event_stream *s = calloc(1, sizeof *s);
    if (!s)
        return cii_error_nomem(ret_error);
    *s = (cii_event_stream){.callback = callback, .user = user, .wanted = PRELUDE_SIZE, .next.number = 1};
    if (limits)
        s->limits = *limits;
    if (s->limits.message_size == 0)
        s->limits.message_size = 128u << 20;
    if (s->limits.headers_size == 0)
        s->limits.headers_size = 128u << 10;
    if (s->limits.header_count == 0)
        s->limits.header_count = 64;
    *ret_stream = s;
    return CI_OK;
}

void cii_event_stream_free(cii_event_stream *s) {
    if (!s)
        return;
    cii_buf_free(&s->buf);
    free(s);
}

/* The sizes may be trusted, and so be waited for, when their checksum is right; they need not make sense. */
static ci_status read_prelude(cii_event_stream *s, ci_error **ret_error) {
    const char *data = s->buf.data;
    if (!crc_is_right(data, PRELUDE_SIZE - CRC_SIZE))
        return refuse(&s->next, CI_ERR_PROTOCOL, ret_error, "the checksum of its sizes is wrong");
    uint64_t size = read_uint(data, 4), headers_size = read_uint(data + 4, 4);
    if (size < PRELUDE_SIZE + headers_size + CRC_SIZE)
        return refuse(&s->next, CI_ERR_PROTOCOL, ret_error, "%" PRIu64 " bytes cannot hold %" PRIu64 " of headers",
                      size, headers_size);
    if (size > s->limits.message_size)
        return refuse(&s->next, CI_ERR_LIMIT, ret_error, "%" PRIu64 " bytes, at most %zu", size,
                      s->limits.message_size);
    if (headers_size > s->limits.headers_size)
        return refuse(&s->next, CI_ERR_LIMIT, ret_error, "%" PRIu64 " bytes of headers, at most %zu", headers_size,
                      s->limits.headers_size);
    s->next.headers_size = headers_size;
    s->buf.max = s->wanted = size; /* the maximum: so that no room beyond it is asked for */
    return CI_OK;
}

static ci_status check_headers(const cii_event_stream *s, ci_error **ret_error) {
    const cii_event_message *m = &s->next;
    cii_event_message before = *m;
    cii_event_header h, twin;
    size_t at = 0, count = 0;
    while (at < m->headers_size) {
        before.headers_size = at;
        if (!cii_event_header_next(m, &at, &h))
            return refuse(m, CI_ERR_PROTOCOL, ret_error, "header %zu is not one", count + 1);
        if (!cii_utf8_valid(h.name, h.name_size) || (h.type == CII_EVENT_TEXT && !cii_utf8_valid(h.data, h.data_size)))
            return refuse(m, CI_ERR_PROTOCOL, ret_error, "header %zu is not UTF-8", count + 1);
        if (find(&before, h.name, h.name_size, &twin))
            return refuse(m, CI_ERR_PROTOCOL, ret_error, "header %zu is there already", count + 1);
        if (++count > s->limits.header_count)
            return refuse(m, CI_ERR_LIMIT, ret_error, "more than %zu headers", s->limits.header_count);
    }
    return CI_OK;
}

static ci_status tell_message(cii_event_stream *s, ci_error **ret_error) {
    cii_event_message *m = &s->next;
    size_t end = s->wanted - CRC_SIZE;
    if (!crc_is_right(s->buf.data, end))
        return refuse(m, CI_ERR_PROTOCOL, ret_error, "its checksum is wrong");
    m->headers = s->buf.data + PRELUDE_SIZE;
    m->payload = s->buf.data + PRELUDE_SIZE + m->headers_size;
    m->payload_size = end - PRELUDE_SIZE - m->headers_size;
    ci_status status = check_headers(s, ret_error);
    return status == CI_OK ? s->callback(s->user, m, ret_error) : status;
}

static void await_next(cii_event_stream *s) {
    s->next = (cii_event_message){.number = s->next.number + 1, .offset = s->next.offset + s->wanted};
    s->wanted = PRELUDE_SIZE;
    s->buf.max = 0;
    if (s->buf.capacity > KEPT_MAX)
        cii_buf_free(&s->buf);
    else
        cii_buf_clear(&s->buf);
}

/* What can be done once all that is wanted is there. */
static ci_status go_on(cii_event_stream *s, ci_error **ret_error) {
    if (s->wanted == PRELUDE_SIZE)
        return read_prelude(s, ret_error);
    ci_status status = tell_message(s, ret_error);
    if (status == CI_OK)
        await_next(s);
    return status;
}

ci_status cii_event_stream_feed(cii_event_stream *s, const void *data, size_t size, ci_error **ret_error) {
    const char *at = data;
    if (s->failed != CI_OK)
        return cii_error_set(ret_error, s->failed, DOMAIN, "event stream: it has failed already");
    while (size > 0 && s->failed == CI_OK) {
        size_t taken = CII_MIN(size, s->wanted - s->buf.size);
        if (cii_buf_append(&s->buf, at, taken) < 0)
            return s->failed = cii_error_nomem(ret_error);
        at += taken;
        size -= taken;
        if (s->buf.size == s->wanted)
            s->failed = go_on(s, ret_error);
    }
    return s->failed;
}

ci_status cii_event_stream_end(cii_event_stream *s, ci_error **ret_error) {
    if (s->failed == CI_OK && s->buf.size > 0)
        s->failed = refuse(&s->next, CI_ERR_PROTOCOL, ret_error, "the stream ends within it");
    else if (s->failed != CI_OK)
        cii_error_set(ret_error, s->failed, DOMAIN, "event stream: it has failed already");
    return s->failed;
}
