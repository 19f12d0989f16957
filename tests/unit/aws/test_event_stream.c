/* Event streams: as botocore reads them (data/event_stream.json), however the bytes come, and what is none. */
#include "aws/event_stream.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <zlib.h>

#include "../unit.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "failmalloc.h"
#include "os/fd.h"

/* --- what is told, as text ---------------------------------------------------------------------------------------- */

/* "#NUMBER@OFFSET NAME:TYPE=VALUE …|PAYLOAD" a line: numbers in decimals, all else in hex. */
typedef struct told {
    cii_buf text;
    ci_status answer;
} told;

static ci_status put_hex(cii_buf *to, const char *data, size_t size) {
    char *room;
    ci_status status = cii_buf_reserve(to, 2 * size + 1, &room);
    if (status < 0)
        return status;
    cii_hex(data, size, room);
    cii_buf_commit(to, 2 * size);
    return CI_OK;
}

static ci_status tell_header(cii_buf *to, const cii_event_header *h) {
    ci_status status = cii_buf_append_str(to, " ");
    if (status == CI_OK)
        status = put_hex(to, h->name, h->name_size);
    if (status == CI_OK)
        status = cii_buf_printf(to, ":%d=", (int)h->type);
    if (status < 0)
        return status;
    return h->data ? put_hex(to, h->data, h->data_size) : cii_buf_printf(to, "%" PRId64, h->number);
}

static ci_status tell(void *user, const cii_event_message *message, ci_error **ret_error) {
    told *t = user;
    cii_event_header h;
    ci_status status = cii_buf_printf(&t->text, "#%" PRIu64 "@%" PRIu64, message->number, message->offset);
    for (size_t at = 0; status == CI_OK && cii_event_header_next(message, &at, &h);)
        status = tell_header(&t->text, &h);
    if (status == CI_OK)
        status = cii_buf_append_str(&t->text, "|");
    if (status == CI_OK)
        status = put_hex(&t->text, message->payload, message->payload_size);
    if (status == CI_OK)
        status = cii_buf_append_str(&t->text, "\n");
    if (status < 0)
        return cii_error_nomem(ret_error);
    return t->answer == CI_OK ? CI_OK : cii_error_set(ret_error, t->answer, "test", "enough");
}

/* The first bytes, then the rest in pieces; the status of all. */
static ci_status decode(const char *data, size_t size, size_t first, size_t piece, told *t, ci_error **ret_error) {
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    cii_buf_clear(&t->text);
    ci_status status = cii_event_stream_new(NULL, tell, t, &s, ret_error);
    if (status == CI_OK)
        status = cii_event_stream_feed(s, data, first, ret_error);
    for (size_t at = first; at < size && status == CI_OK; at += piece)
        status = cii_event_stream_feed(s, data + at, CII_MIN(piece, size - at), ret_error);
    return status == CI_OK ? cii_event_stream_end(s, ret_error) : status;
}

/* --- another decoder's answers ------------------------------------------------------------------------------------ */

typedef struct vector {
    const char *name, *told;
    cii_buf stream;
    bool is_refused;
} vector;

static cii_json *root;
static vector vectors[100];
static size_t vector_count;

static void read_hex(const char *hex, cii_buf *to) {
    for (; *hex; hex += 2) {
        const char digits[3] = {hex[0], hex[1], '\0'};
        char byte = (char)strtoul(digits, NULL, 16);
        assert_int_equal(cii_buf_append(to, &byte, 1), CI_OK);
    }
}

static int read_vectors(void **state) {
    (void)state;
    size_t size;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, TEST_DATA "/event_stream.json", 1 << 20, &size);
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    const cii_json *cases = cii_json_get(root, "cases");
    vector_count = cii_json_count(cases);
    assert_true(vector_count > 60 && vector_count <= CII_ELEMENTS(vectors));
    for (size_t i = 0; i < vector_count; i++) {
        const cii_json *c = cii_json_at(cases, i);
        vectors[i] = (vector){.name = cii_json_text_of(cii_json_get(c, "name"), NULL),
                              .told = cii_json_text_of(cii_json_get(c, "told"), NULL),
                              .is_refused = cii_json_text_of(cii_json_get(c, "refused"), NULL) != NULL};
        read_hex(cii_json_text_of(cii_json_get(c, "stream"), NULL), &vectors[i].stream);
    }
    return 0;
}

static int free_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++)
        cii_buf_free(&vectors[i].stream);
    cii_json_free(root);
    return 0;
}

static const vector *vector_named(const char *name) {
    for (size_t i = 0; i < vector_count; i++)
        if (strcmp(vectors[i].name, name) == 0)
            return &vectors[i];
    fail_msg("%s: no such vector", name);
    return NULL;
}

static void assert_told(const told *t, const char *wanted) {
    assert_string_equal(t->text.data ? t->text.data : "", wanted);
}

static void another_decoder_says_the_same_wherever_the_bytes_are_cut(void **state) {
    (void)state;
    told t = {0};
    for (size_t i = 0; i < vector_count; i++) {
        const vector *v = &vectors[i];
        ci_status wanted = v->is_refused ? CI_ERR_PROTOCOL : CI_OK;
        for (size_t first = 0; first <= v->stream.size; first++) {
            assert_int_equal(decode(v->stream.data, v->stream.size, first, SIZE_MAX / 2, &t, NULL), wanted);
            assert_told(&t, v->told);
        }
        for (size_t piece = 1; piece < 20; piece++) {
            assert_int_equal(decode(v->stream.data, v->stream.size, 0, piece, &t, NULL), wanted);
            assert_told(&t, v->told);
        }
    }
    cii_buf_free(&t.text);
}

/* At its beginning, or where a message was told and the next begins. */
static bool is_between_messages(const vector *v, size_t size) {
    _cleanup_free_ char *offset = cii_str_printf("@%zu", size);
    const char *at = strstr(v->told, offset);
    return size == 0 || (at && strchr(" |", at[strlen(offset)]));
}

static void a_stream_that_ends_within_a_message_is_not_whole(void **state) {
    (void)state;
    told t = {0};
    for (size_t i = 0; i < vector_count; i++)
        for (size_t size = 0; size < vectors[i].stream.size && !vectors[i].is_refused; size++) {
            _cleanup_error_ ci_error *error = NULL;
            ci_status status = decode(vectors[i].stream.data, size, 0, 100, &t, &error);
            assert_int_equal(status, is_between_messages(&vectors[i], size) ? CI_OK : CI_ERR_PROTOCOL);
            assert_true(cii_str_starts(vectors[i].told, t.text.data ? t.text.data : ""));
            if (status < 0)
                assert_non_null(strstr(ci_error_message(error), "the stream ends within it"));
        }
    cii_buf_free(&t.text);
}

static void a_flipped_bit_is_seen(void **state) {
    (void)state;
    static const char *const names[] = {"EMPTY_MESSAGE", "ALL_HEADERS_TYPES", "result", "exception", "error"};
    told t = {0};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        const cii_buf *stream = &vector_named(names[i])->stream;
        for (size_t bit = 0; bit < 8 * stream->size; bit++) {
            stream->data[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(decode(stream->data, stream->size, 0, 50, &t, NULL), CI_ERR_PROTOCOL);
            assert_told(&t, "");
            stream->data[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
    cii_buf_free(&t.text);
}

/* --- what events are ---------------------------------------------------------------------------------------------- */

typedef struct read_event {
    cii_event event;
    char payload[300];
} read_event;

static ci_status read_one(void *user, const cii_event_message *message, ci_error **ret_error) {
    read_event *r = user;
    ci_status status = cii_event_read(message, &r->event, ret_error);
    if (status == CI_OK)
        snprintf(r->payload, sizeof r->payload, "%.*s", (int)r->event.payload_size, r->event.payload);
    return status;
}

static ci_status read_stream(const cii_buf *stream, read_event *r, ci_error **ret_error) {
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    assert_int_equal(cii_event_stream_new(NULL, read_one, r, &s, NULL), CI_OK);
    return cii_event_stream_feed(s, stream->data, stream->size, ret_error);
}

static void an_event_is_told_by_its_headers(void **state) {
    (void)state;
    read_event r;
    assert_int_equal(read_stream(&vector_named("result")->stream, &r, NULL), CI_OK);
    assert_int_equal(r.event.kind, CII_EVENT_EVENT);
    assert_string_equal(r.event.name, "result");
    assert_string_equal(r.payload,
                        "{\"content\":[{\"type\":\"text\",\"text\":\"1\"}],\"structuredContent\":{\"stdout\":\"1\","
                        "\"stderr\":\"\",\"exitCode\":0,\"executionTime\":0.01},\"isError\":false}");
    assert_int_equal(read_stream(&vector_named("exception")->stream, &r, NULL), CI_OK);
    assert_int_equal(r.event.kind, CII_EVENT_EXCEPTION);
    assert_string_equal(r.event.name, "throttlingException");
    assert_string_equal(r.payload, "{\"message\":\"slow down\"}");
    assert_int_equal(read_stream(&vector_named("error")->stream, &r, NULL), CI_OK);
    assert_int_equal(r.event.kind, CII_EVENT_ERROR);
    assert_string_equal(r.event.name, "InternalFailure");
    assert_string_equal(r.payload, "boom");
}

/* --- streams of our own ------------------------------------------------------------------------------------------- */

static void put_uint(cii_buf *to, uint32_t value) {
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    assert_int_equal(cii_buf_append(to, bytes, sizeof bytes), CI_OK);
}

static void put_crc(cii_buf *to, size_t start) {
    put_uint(to, (uint32_t)crc32(0, (const Bytef *)to->data + start, (uInt)(to->size - start)));
}

static void put_prelude(cii_buf *to, uint32_t size, uint32_t headers_size) {
    size_t start = to->size;
    put_uint(to, size);
    put_uint(to, headers_size);
    put_crc(to, start);
}

/* A whole message with right checksums. */
static void put_message(cii_buf *to, const void *headers, size_t headers_size, const void *payload,
                        size_t payload_size) {
    size_t start = to->size;
    put_prelude(to, (uint32_t)(16 + headers_size + payload_size), (uint32_t)headers_size);
    assert_int_equal(cii_buf_append(to, headers, headers_size), CI_OK);
    assert_int_equal(cii_buf_append(to, payload, payload_size), CI_OK);
    put_crc(to, start);
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void what_is_no_header_is_refused_though_the_checksums_are_right(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        size_t size;
        const char *why;
    } cases[] = {
        {BYTES("\1"), "header 1 is not one"},                  /* no name */
        {BYTES("\1a"), "header 1 is not one"},                 /* no type */
        {BYTES("\1a\12"), "header 1 is not one"},              /* no such type */
        {BYTES("\1a\377"), "header 1 is not one"},             /* … */
        {BYTES("\1a\2"), "header 1 is not one"},               /* no value */
        {BYTES("\1a\5\0\0\0\0\0\0\0"), "header 1 is not one"}, /* a value cut */
        {BYTES("\1a\0\1b\11"
               "123456789012345"),
         "header 2 is not one"},                          /* a UUID cut */
        {BYTES("\1a\7\0"), "header 1 is not one"},        /* a length cut */
        {BYTES("\1a\7\0\2b"), "header 1 is not one"},     /* a text cut */
        {BYTES("\1a\6\377\377b"), "header 1 is not one"}, /* … */
        {BYTES("\1a\0\0"), "header 2 is not one"},        /* a byte more */
        {BYTES("\1\377\0"), "header 1 is not UTF-8"},
        {BYTES("\1a\7\0\1\300"), "header 1 is not UTF-8"},
        {BYTES("\1a\0\1b\0\1a\1"), "header 3 is there already"},
    };
    told t = {0};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_buf_ cii_buf stream = {0};
        _cleanup_error_ ci_error *error = NULL;
        put_message(&stream, BYTES(""), BYTES("first"));
        put_message(&stream, cases[i].headers, cases[i].size, BYTES(""));
        _cleanup_free_ char *wanted = cii_str_printf("event stream: message 2 at byte 21: %s", cases[i].why);
        assert_int_equal(decode(stream.data, stream.size, 0, 1000, &t, &error), CI_ERR_PROTOCOL);
        assert_string_equal(ci_error_message(error), wanted);
        assert_told(&t, "#1@0|6669727374\n");
    }
    cii_buf_free(&t.text);
}

static void a_header_has_32767_bytes_at_most(void **state) {
    (void)state;
    static char headers[5 + 32768] = "\1a\6\177\377";
    _cleanup_buf_ cii_buf good = {0}, bad = {0};
    told t = {0};
    put_message(&good, headers, sizeof headers - 1, BYTES(""));
    assert_int_equal(decode(good.data, good.size, 0, 1000, &t, NULL), CI_OK);
    memcpy(headers, "\1a\6\200\0", 5);
    put_message(&bad, headers, sizeof headers, BYTES(""));
    FAILS(CI_ERR_PROTOCOL, "header 1 is not one", decode(bad.data, bad.size, 0, 1000, &t, &error));
    cii_buf_free(&t.text);
}

static void sizes_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const uint32_t sizes[][2] = {
        {0, 0}, {12, 0}, {15, 0}, {16, 1}, {100, 85}, {100, UINT32_MAX}, {16, UINT32_MAX - 15}};
    told t = {0};
    for (size_t i = 0; i < CII_ELEMENTS(sizes); i++) {
        _cleanup_buf_ cii_buf stream = {0};
        put_prelude(&stream, sizes[i][0], sizes[i][1]);
        FAILS(CI_ERR_PROTOCOL, "cannot hold", decode(stream.data, stream.size, 0, 1000, &t, &error));
    }
}

static void what_a_message_is_must_be_said(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        size_t size;
        const char *why;
    } cases[] = {
        {BYTES(""), "no :message-type"},
        {BYTES("\15:message-type\0"), "no :message-type"},
        {BYTES("\15:message-type\6\0\5event\13:event-type\7\0\6result"), "no :message-type"},
        {BYTES("\15:message-type\7\0\4even\13:event-type\7\0\6result"), "an unknown :message-type"},
        {BYTES("\15:message-type\7\0\6events\13:event-type\7\0\6result"), "an unknown :message-type"},
        {BYTES("\15:message-type\7\0\5Event\13:event-type\7\0\6result"), "an unknown :message-type"},
        {BYTES("\15:message-type\7\0\5event"), "no :event-type"},
        {BYTES("\15:message-type\7\0\5event\13:event-type\0"), "no :event-type"},
        {BYTES("\15:message-type\7\0\11exception\13:event-type\7\0\6result"), "no :exception-type"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_buf_ cii_buf stream = {0};
        read_event r = {0};
        put_message(&stream, cases[i].headers, cases[i].size, BYTES("{}"));
        FAILS(CI_ERR_PROTOCOL, cases[i].why, read_stream(&stream, &r, &error));
    }
}

static void an_error_need_not_say_more_and_a_long_name_is_cut(void **state) {
    (void)state;
    static const char bare[] = "\15:message-type\7\0\5error";
    static char named[200] = "\15:message-type\7\0\5event\13:event-type\7\0\144";
    _cleanup_buf_ cii_buf one = {0}, other = {0};
    read_event r = {0};
    put_message(&one, BYTES(bare), BYTES("ignored"));
    assert_int_equal(read_stream(&one, &r, NULL), CI_OK);
    assert_int_equal(r.event.kind, CII_EVENT_ERROR);
    assert_string_equal(r.event.name, "");
    assert_string_equal(r.payload, "");
    memset(named + 37, 'n', 100);
    put_message(&other, named, 137, BYTES(""));
    assert_int_equal(read_stream(&other, &r, NULL), CI_OK);
    assert_int_equal(strlen(r.event.name), CII_EVENT_NAME_MAX - 1);
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static ci_status decode_within(const cii_event_limits *limits, const cii_buf *stream, ci_error **ret_error) {
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    told t = {0};
    assert_int_equal(cii_event_stream_new(limits, tell, &t, &s, NULL), CI_OK);
    ci_status status = cii_event_stream_feed(s, stream->data, stream->size, ret_error);
    cii_buf_free(&t.text);
    return status;
}

static void bounds_hold_and_can_be_set(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf large = {0}, many = {0}, message = {0}, headers = {0};
    put_prelude(&large, (128u << 20) + 1, 0);
    FAILS(CI_ERR_LIMIT, "message 1 at byte 0: 134217729 bytes, at most 134217728", decode_within(NULL, &large, &error));
    put_prelude(&headers, 1 << 20, (128 << 10) + 1);
    FAILS(CI_ERR_LIMIT, "131073 bytes of headers, at most 131072", decode_within(NULL, &headers, &error));
    for (char i = 0; i < 65; i++)
        assert_int_equal(cii_buf_append(&many, ((const char[]){1, (char)(i + 1), 0}), 3), CI_OK);
    put_message(&message, many.data, 3 * 64, BYTES("12345"));
    assert_int_equal(decode_within(NULL, &message, NULL), CI_OK);
    assert_int_equal(decode_within(&(cii_event_limits){213, 192, 64}, &message, NULL), CI_OK);
    FAILS(CI_ERR_LIMIT, "at most 212", decode_within(&(cii_event_limits){212, 0, 0}, &message, &error));
    FAILS(CI_ERR_LIMIT, "at most 191", decode_within(&(cii_event_limits){0, 191, 0}, &message, &error));
    FAILS(CI_ERR_LIMIT, "more than 63 headers", decode_within(&(cii_event_limits){0, 0, 63}, &message, &error));
    put_message(&message, many.data, many.size, BYTES(""));
    FAILS(CI_ERR_LIMIT, "message 2 at byte 213: more than 64", decode_within(NULL, &message, &error));
}

static void an_announced_size_takes_no_memory(void **state) {
    (void)state;
    static char some[1000];
    const cii_event_limits limits = {.message_size = SIZE_MAX};
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    _cleanup_buf_ cii_buf stream = {0};
    told t = {0};
    put_prelude(&stream, UINT32_MAX, 0);
    assert_int_equal(cii_event_stream_new(&limits, tell, &t, &s, NULL), CI_OK);
    struct mallinfo2 before = mallinfo2();
    assert_int_equal(cii_event_stream_feed(s, stream.data, stream.size, NULL), CI_OK);
    assert_int_equal(cii_event_stream_feed(s, some, sizeof some, NULL), CI_OK);
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 4096);
    FAILS(CI_ERR_PROTOCOL, "the stream ends within it", cii_event_stream_end(s, &error));
}

static void large_messages_are_read_and_leave_no_memory_behind(void **state) {
    (void)state;
    const size_t size = 20u << 20;
    _cleanup_free_ char *payload = malloc(size);
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    _cleanup_buf_ cii_buf stream = {0};
    read_event r = {0};
    memset(payload, 'x', size);
    for (int i = 0; i < 3; i++)
        put_message(&stream, BYTES("\15:message-type\7\0\5event\13:event-type\7\0\6result"), payload, size);
    assert_int_equal(cii_event_stream_new(NULL, read_one, &r, &s, NULL), CI_OK);
    struct mallinfo2 before = mallinfo2();
    for (size_t at = 0; at < stream.size; at += 16384) {
        assert_int_equal(cii_event_stream_feed(s, stream.data + at, CII_MIN(stream.size - at, (size_t)16384), NULL),
                         CI_OK);
        struct mallinfo2 now = mallinfo2();
        assert_true(now.uordblks + now.hblkhd <= before.uordblks + before.hblkhd + size + 8192);
    }
    assert_int_equal(cii_event_stream_end(s, NULL), CI_OK);
    assert_int_equal(r.event.payload_size, size);
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + (65u << 10));
}

/* --- failures ----------------------------------------------------------------------------------------------------- */

static void a_failure_stays(void **state) {
    (void)state;
    const cii_buf *result = &vector_named("result")->stream;
    told t = {.answer = CI_ERR_CANCELLED};
    _cleanup_event_stream_ cii_event_stream *s = NULL;
    assert_int_equal(cii_event_stream_new(NULL, tell, &t, &s, NULL), CI_OK);
    FAILS(CI_ERR_CANCELLED, "enough", cii_event_stream_feed(s, result->data, result->size, &error));
    FAILS(CI_ERR_CANCELLED, "failed already", cii_event_stream_feed(s, result->data, result->size, &error));
    FAILS(CI_ERR_CANCELLED, "failed already", cii_event_stream_end(s, &error));
    assert_told(&t, vector_named("result")->told);
    cii_buf_free(&t.text);
}

static ci_status decode_three(void *user) {
    (void)user;
    _cleanup_error_ ci_error *error = NULL;
    told t = {0};
    const cii_buf *three = &vector_named("three in one")->stream;
    ci_status status = decode(three->data, three->size, 0, 30, &t, &error);
    assert_int_equal(ci_error_status(error), status);
    cii_buf_free(&t.text);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(failmalloc_each(decode_three, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_decoder_says_the_same_wherever_the_bytes_are_cut),
        cmocka_unit_test(a_stream_that_ends_within_a_message_is_not_whole),
        cmocka_unit_test(a_flipped_bit_is_seen),
        cmocka_unit_test(an_event_is_told_by_its_headers),
        cmocka_unit_test(what_is_no_header_is_refused_though_the_checksums_are_right),
        cmocka_unit_test(a_header_has_32767_bytes_at_most),
        cmocka_unit_test(sizes_that_make_no_sense_are_refused),
        cmocka_unit_test(what_a_message_is_must_be_said),
        cmocka_unit_test(an_error_need_not_say_more_and_a_long_name_is_cut),
        cmocka_unit_test(bounds_hold_and_can_be_set),
        cmocka_unit_test(an_announced_size_takes_no_memory),
        cmocka_unit_test(large_messages_are_read_and_leave_no_memory_behind),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, read_vectors, free_vectors);
}
