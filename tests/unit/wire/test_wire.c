/* The guest protocol: what is written is read back, in any pieces; what must not be is refused. */
#include "../unit.h"
#include "wire/wire.h"

typedef struct seen {
    cii_buf text; /* "type:size " for each callback */
    cii_buf bytes;
    int answer;
} seen;

static int on_message(void *user, uint8_t type, const uint8_t *data, size_t size) {
    seen *s = user;
    cii_buf_printf(&s->text, "%d:%zu ", type, size);
    cii_buf_append(&s->bytes, data, size);
    return s->answer;
}

static void put_message(cii_buf *to, uint8_t type, const char *text, size_t size) {
    cii_wire_mark mark;
    assert_int_equal(cii_wire_begin(to, type, &mark), CI_OK);
    assert_int_equal(cii_wire_put(to, CII_FIELD_TEXT, text, size), CI_OK);
    assert_int_equal(cii_wire_end(to, &mark), CI_OK);
}

static int read_in_pieces(const cii_buf *stream, size_t piece, size_t message_max, seen *s) {
    cii_wire_reader reader;
    int result = 0;
    *s = (seen){.answer = s->answer};
    cii_wire_reader_init(&reader, message_max, on_message, s);
    for (size_t at = 0; at < stream->size && result == 0; at += piece)
        result = cii_wire_reader_feed(&reader, stream->data + at, CII_MIN(piece, stream->size - at));
    cii_wire_reader_free(&reader);
    return result;
}

static void seen_free(seen *s) {
    cii_buf_free(&s->text);
    cii_buf_free(&s->bytes);
}

static void messages_are_read_in_any_pieces(void **state) {
    _cleanup_buf_ cii_buf stream = {0};
    put_message(&stream, CII_WIRE_EXEC, "print(1)", 8);
    cii_wire_frame(&stream, CII_WIRE_ITEM_ACK, 0, NULL, 0);
    put_message(&stream, CII_WIRE_DONE, "", 0);
    for (size_t piece = 1; piece <= stream.size; piece++) {
        seen s = {0};
        assert_int_equal(read_in_pieces(&stream, piece, 1000, &s), 0);
        assert_string_equal(s.text.data, "1:13 2:0 18:5 ");
        seen_free(&s);
    }
    (void)state;
}

static void a_message_beyond_one_frame_is_split_and_put_together(void **state) {
    const size_t sizes[] = {CII_WIRE_FRAME_MAX - 6, CII_WIRE_FRAME_MAX - 5, CII_WIRE_FRAME_MAX - 4,
                            3 * CII_WIRE_FRAME_MAX + 17};
    for (size_t i = 0; i < CII_ELEMENTS(sizes); i++) {
        _cleanup_free_ char *text = malloc(sizes[i]);
        _cleanup_buf_ cii_buf stream = {0};
        for (size_t k = 0; k < sizes[i]; k++)
            text[k] = (char)(k * 31 + k / 1000);
        put_message(&stream, CII_WIRE_START, text, sizes[i]);
        put_message(&stream, CII_WIRE_DONE, "x", 1);
        seen s = {0};
        assert_int_equal(read_in_pieces(&stream, 65536, CII_WIRE_MESSAGE_MAX, &s), 0);
        char expected[64];
        snprintf(expected, sizeof expected, "32:%zu 18:6 ", sizes[i] + 5);
        assert_string_equal(s.text.data, expected);
        assert_memory_equal(s.bytes.data + 5, text, sizes[i]);
        seen_free(&s);
    }
    (void)state;
}

static void streams_come_in_pieces_without_being_kept(void **state) {
    _cleanup_buf_ cii_buf stream = {0};
    cii_wire_frame(&stream, CII_WIRE_STDOUT, 0, "hello", 5);
    seen s = {0};
    assert_int_equal(read_in_pieces(&stream, 10, 4, &s), 0); /* the maximum of messages does not count for them */
    assert_string_equal(s.text.data, "48:2 48:3 ");
    assert_memory_equal(s.bytes.data, "hello", 5);
    seen_free(&s);
    (void)state;
}

static void bad_frames_end_it(void **state) {
    static const struct {
        uint8_t head[8];
        int status;
    } cases[] = {
        {{1, 0, 16, 0, 1, 0, 0, 0}, CI_ERR_PROTOCOL}, /* larger than a frame may be */
        {{0, 0, 0, 0, 0, 0, 0, 0}, CI_ERR_PROTOCOL},  /* type 0 */
        {{0, 0, 0, 0, 1, 2, 0, 0}, CI_ERR_PROTOCOL},  /* unknown flag */
        {{0, 0, 0, 0, 1, 0, 1, 0}, CI_ERR_PROTOCOL},  /* reserved bytes */
        {{0, 0, 0, 0, 1, 0, 0, 1}, CI_ERR_PROTOCOL},
        {{0, 4, 0, 0, 1, 0, 0, 0}, CI_ERR_LIMIT}, /* more than the reader takes */
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        seen s = {0};
        cii_wire_reader reader;
        cii_wire_reader_init(&reader, 1000, on_message, &s);
        assert_int_equal(cii_wire_reader_feed(&reader, cases[i].head, 8), cases[i].status);
        static const uint8_t good[8] = {0, 0, 0, 0, 1, 0, 0, 0};
        assert_int_equal(cii_wire_reader_feed(&reader, good, 8), cases[i].status); /* it stays failed */
        assert_null(s.text.data);
        cii_wire_reader_free(&reader);
    }
    (void)state;
}

static void another_message_inside_a_split_one_is_refused(void **state) {
    _cleanup_buf_ cii_buf stream = {0};
    cii_wire_frame(&stream, CII_WIRE_ITEM, CII_WIRE_MORE, "x", 1);
    cii_wire_frame(&stream, CII_WIRE_DONE, 0, "", 0);
    seen s = {0};
    assert_int_equal(read_in_pieces(&stream, 1000, 1000, &s), CI_ERR_PROTOCOL);
    seen_free(&s);
    (void)state;
}

static void the_callbacks_answer_stops_it(void **state) {
    _cleanup_buf_ cii_buf stream = {0};
    put_message(&stream, CII_WIRE_DONE, "", 0);
    put_message(&stream, CII_WIRE_DONE, "", 0);
    seen s = {.answer = -77};
    assert_int_equal(read_in_pieces(&stream, 1000, 1000, &s), -77);
    assert_string_equal(s.text.data, "18:5 ");
    seen_free(&s);
    (void)state;
}

static void fields_are_walked_and_numbers_kept(void **state) {
    static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 0x0123456789abcdef};
    _cleanup_buf_ cii_buf fields = {0};
    for (size_t i = 0; i < CII_ELEMENTS(numbers); i++)
        assert_int_equal(cii_wire_put_int(&fields, CII_FIELD_CALL, numbers[i]), CI_OK);
    assert_int_equal(cii_wire_put_str(&fields, CII_FIELD_TEXT, NULL), CI_OK); /* nothing */
    size_t cursor = 0, count = 0;
    cii_wire_field field;
    while (cii_wire_next((const uint8_t *)fields.data, fields.size, &cursor, &field) == 1)
        assert_true(cii_wire_int(&field) == numbers[count++]);
    assert_int_equal(count, CII_ELEMENTS(numbers));
    (void)state;
}

static void broken_fields_are_told(void **state) {
    static const uint8_t shorter[] = {1, 4, 0, 0, 0, 'a', 'b'}, headless[] = {1, 0, 0},
                         huge[] = {1, 255, 255, 255, 255, 0};
    const struct {
        const uint8_t *data;
        size_t size;
    } cases[] = {{shorter, sizeof shorter}, {headless, sizeof headless}, {huge, sizeof huge}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        size_t cursor = 0;
        cii_wire_field field;
        assert_int_equal(cii_wire_next(cases[i].data, cases[i].size, &cursor, &field), -1);
    }
    cii_wire_field odd = {.data = (const uint8_t *)"abc", .size = 3};
    assert_int_equal(cii_wire_int(&odd), 0);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_in_any_pieces),
        cmocka_unit_test(a_message_beyond_one_frame_is_split_and_put_together),
        cmocka_unit_test(streams_come_in_pieces_without_being_kept),
        cmocka_unit_test(bad_frames_end_it),
        cmocka_unit_test(another_message_inside_a_split_one_is_refused),
        cmocka_unit_test(the_callbacks_answer_stops_it),
        cmocka_unit_test(fields_are_walked_and_numbers_kept),
        cmocka_unit_test(broken_fields_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
