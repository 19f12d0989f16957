/* The sink: what is kept, what is handed to the callback, and that memory stays bounded. */
#include "support.h"

#include <malloc.h>
#include <stdio.h>

#include "base/buf.h"

static const cii_result_limits ten = {.stream_bytes = 10};

static void assert_stdout(const ci_result *result, const char *expected) {
    size_t size;
    const char *data = ci_result_stdout(result, &size);
    assert_string_equal(data, expected);
    assert_int_equal(size, strlen(expected));
}

/* --- what is kept ------------------------------------------------------------------------------------------------- */

static void feed_nothing(const ci_sink *sink) {
    end_ok(sink);
}

static void a_run_that_prints_nothing_has_empty_streams(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_nothing);
    assert_stdout(result, "");
    assert_int_equal(ci_result_stream_total(result, CI_STREAM_STDOUT), 0);
    assert_null(ci_result_background(result, NULL));
    assert_null(ci_result_value(result, NULL));
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
}

static void feed_ten(const ci_sink *sink) {
    put(sink, "0123");
    put(sink, "456789");
    end_ok(sink);
}

static void output_of_exactly_the_limit_is_whole(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(&ten, NULL, feed_ten);
    assert_stdout(result, "0123456789");
    assert_int_equal(ci_result_stream_kept(result, CI_STREAM_STDOUT), 10);
}

static void feed_eleven(const ci_sink *sink) {
    put(sink, "0123456789");
    put(sink, "a");
    end_ok(sink);
}

static void one_byte_beyond_the_limit_keeps_head_and_tail(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(&ten, NULL, feed_eleven);
    assert_stdout(result, "01234\n[... 1 bytes omitted; 10 of 11 kept ...]\n6789a");
    assert_int_equal(ci_result_stream_total(result, CI_STREAM_STDOUT), 11);
    assert_int_equal(ci_result_stream_kept(result, CI_STREAM_STDOUT), 10);
}

/* Every way to cut "the alphabet three times" into two writes, and byte by byte, must give the same. */
static void how_output_is_cut_into_writes_does_not_matter(void **state) {
    (void)state;
    const char *text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    size_t size = strlen(text);
    for (size_t piece = 1; piece <= size; piece++) {
        ci_result *result = NULL;
        cii_collector *collector = NULL;
        assert_int_equal(cii_result_new(CII_RESULT_RUN, &ten, &result), CI_OK);
        assert_int_equal(cii_collector_new(result, NULL, &collector), CI_OK);
        const ci_sink *sink = cii_collector_sink(collector);
        for (size_t at = 0; at < size; at += piece)
            sink->output(sink->user, CI_STREAM_STDOUT, text + at, CII_MIN(piece, size - at));
        assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
        assert_stdout(result, "abcde\n[... 68 bytes omitted; 10 of 78 kept ...]\nvwxyz");
        ci_result_free(result);
        cii_collector_free(collector);
    }
}

static void feed_euros(const ci_sink *sink) {
    put(sink, "€€€€€€€€"); /* 24 bytes: the head of 5 ends, the tail of 5 begins, inside a character */
    end_ok(sink);
}

static void the_cut_never_falls_into_a_character(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(&ten, NULL, feed_euros);
    assert_stdout(result, "€\n[... 18 bytes omitted; 6 of 24 kept ...]\n€");
    assert_int_equal(ci_result_stream_kept(result, CI_STREAM_STDOUT), 6);
}

static void feed_one_byte_limit(const ci_sink *sink) {
    put(sink, "abc");
    end_ok(sink);
}

static void a_limit_of_one_byte_works(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(&(cii_result_limits){.stream_bytes = 1}, NULL, feed_one_byte_limit);
    assert_stdout(result, "\n[... 2 bytes omitted; 1 of 3 kept ...]\nc");
}

static void feed_three_streams(const ci_sink *sink) {
    put(sink, "out\0put");
    sink->output(sink->user, CI_STREAM_STDOUT, "\0\xff", 2);
    sink->output(sink->user, CI_STREAM_STDERR, "err", 3);
    sink->output(sink->user, 77, "no stream", 9);
    sink->background(sink->user, "late", 4);
    end_ok(sink);
}

static void streams_are_kept_apart_and_byte_for_byte(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_three_streams);
    size_t size;
    assert_memory_equal(ci_result_stdout(result, &size), "out\0\xff", 6);
    assert_int_equal(size, 5);
    assert_string_equal(ci_result_stderr(result, NULL), "err");
    assert_string_equal(ci_result_background(result, &size), "late");
    assert_int_equal(size, 4);
    assert_string_equal(ci_result_stream(result, 77, &size), "");
    assert_int_equal(size, 0);
}

#define HUGE_CHUNK (1u << 20)
#define HUGE_CHUNKS 64

static size_t heap_in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void a_huge_output_is_held_in_bounded_memory(void **state) {
    (void)state;
    _cleanup_free_ char *chunk = malloc(HUGE_CHUNK);
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    assert_non_null(chunk);
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    assert_int_equal(cii_collector_new(result, NULL, &collector), CI_OK);
    const ci_sink *sink = cii_collector_sink(collector);
    size_t before = heap_in_use();
    for (unsigned i = 0; i < HUGE_CHUNKS; i++) {
        memset(chunk, 'a' + (int)(i % 26), HUGE_CHUNK);
        sink->output(sink->user, CI_STREAM_STDOUT, chunk, HUGE_CHUNK - i); /* odd sizes: the ring wraps anywhere */
    }
    assert_true(heap_in_use() <= before + (1u << 20) + 4096);
    end_ok(sink);
    assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
    cii_collector_free(collector);

    size_t size;
    const char *data = ci_result_stdout(result, &size);
    uint64_t total = (uint64_t)HUGE_CHUNKS * HUGE_CHUNK - HUGE_CHUNKS * (HUGE_CHUNKS - 1) / 2;
    assert_int_equal(ci_result_stream_total(result, CI_STREAM_STDOUT), total);
    assert_int_equal(ci_result_stream_kept(result, CI_STREAM_STDOUT), 1u << 20);
    assert_true(size > (1u << 20) && size < (1u << 20) + 128);
    assert_int_equal(data[0], 'a');
    assert_int_equal(data[size - 1], 'a' + (HUGE_CHUNKS - 1) % 26);
    ci_result_free(result);
}

/* --- the callback ------------------------------------------------------------------------------------------------- */

typedef struct heard {
    cii_buf text; /* "O<…>" and "E<…>" for each call, "I<mime>" for an item */
    size_t stop_after;
    size_t calls;
} heard;

static int32_t hear(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    heard *h = user;
    h->calls++;
    const char *name = event == CI_EVENT_STDOUT ? "O" : event == CI_EVENT_STDERR ? "E" : "I";
    assert_int_equal(event == CI_EVENT_ITEM, mime_type != NULL);
    assert_int_equal(cii_buf_printf(&h->text, "%s<%s", name, mime_type ? mime_type : ""), CI_OK);
    assert_int_equal(mime_type ? CI_OK : cii_buf_append(&h->text, data, size), CI_OK);
    assert_int_equal(cii_buf_append_str(&h->text, ">"), CI_OK);
    return h->stop_after != 0 && h->calls >= h->stop_after;
}

static void assert_heard(feed_fn feed, size_t stop_after, const char *expected) {
    heard h = {.stop_after = stop_after};
    cii_buf_init(&h.text, 0);
    cii_collector_options options = {.output = hear, .output_user = &h};
    ci_result_free(collect(NULL, &options, feed));
    assert_string_equal(h.text.data ? h.text.data : "", expected);
    cii_buf_free(&h.text);
}

static void feed_split_characters(const ci_sink *sink) {
    put(sink, "a\xe2");
    put(sink, "\x82");
    put(sink, "\xac"
              "b\xf0\x9f");
    sink->output(sink->user, CI_STREAM_STDERR, "e\xc3", 2);
    put(sink, "\x98\x80");
    sink->output(sink->user, CI_STREAM_STDERR, "\xa9", 1);
    end_ok(sink);
}

static void the_callback_gets_whole_characters_of_each_stream(void **state) {
    (void)state;
    assert_heard(feed_split_characters, 0, "O<a>O<€b>E<e>O<😀>E<é>");
}

static void feed_invalid(const ci_sink *sink) {
    put(sink, "\xff\xfe");
    put(sink, "\xe2");
    put(sink, "\xe2\x82");
    put(sink, "x");
    put(sink, "\xe2\x82");
    end_ok(sink);
}

static void bytes_that_are_not_utf8_are_handed_on_as_they_are(void **state) {
    (void)state;
    assert_heard(feed_invalid, 0, "O<\xff\xfe>O<\xe2>O<\xe2\x82x>O<\xe2\x82>");
}

static void feed_without_end(const ci_sink *sink) {
    put(sink, "a\xc3");
}

static void what_was_held_back_is_flushed_when_the_run_never_says_done(void **state) {
    (void)state;
    assert_heard(feed_without_end, 0, "O<a>O<\xc3>");
}

static void feed_item(const ci_sink *sink) {
    put(sink, "plot:");
    sink->item(sink->user, "image/png", "\x89PNG", 4, 5);
    put(sink, "done");
    end_ok(sink);
}

static void items_come_in_their_place(void **state) {
    (void)state;
    assert_heard(feed_item, 0, "O<plot:>I<image/png>O<done>");
}

static void a_callback_that_returns_non_zero_is_not_called_again_but_the_run_goes_on(void **state) {
    (void)state;
    assert_heard(feed_item, 1, "O<plot:>");
    heard h = {.stop_after = 1};
    cii_buf_init(&h.text, 0);
    cii_collector_options options = {.output = hear, .output_user = &h};
    _cleanup_result_ ci_result *result = collect(NULL, &options, feed_item);
    assert_stdout(result, "plot:done");
    assert_int_equal(ci_result_item_count(result), 1);
    cii_buf_free(&h.text);
}

/* --- spill -------------------------------------------------------------------------------------------------------- */

typedef struct spilled {
    cii_buf text;
    int ended_after;
    int calls;
} spilled;

static int take_spill(void *user, int32_t stream, const void *data, size_t size) {
    spilled *s = user;
    assert_int_equal(stream, CI_STREAM_STDOUT);
    assert_int_equal(cii_buf_append(&s->text, data, size), CI_OK);
    return ++s->calls == s->ended_after;
}

static void feed_to_spill(const ci_sink *sink) {
    put(sink, "0123");
    put(sink, "4567");
    put(sink, "89ab");
    put(sink, "cdefghijklmnopq");
    sink->output(sink->user, CI_STREAM_STDERR, "short", 5);
    end_ok(sink);
}

static void a_truncated_stream_is_spilled_whole(void **state) {
    (void)state;
    spilled s = {.calls = 0};
    cii_buf_init(&s.text, 0);
    cii_collector_options options = {.spill = take_spill, .spill_user = &s};
    ci_result_free(collect(&ten, &options, feed_to_spill));
    assert_string_equal(s.text.data, "0123456789abcdefghijklmnopq");
    cii_buf_free(&s.text);
}

static void a_stream_that_fits_is_not_spilled(void **state) {
    (void)state;
    spilled s = {.calls = 0};
    cii_collector_options options = {.spill = take_spill, .spill_user = &s};
    ci_result_free(collect(&ten, &options, feed_ten));
    assert_int_equal(s.calls, 0);
}

static void a_spill_that_fails_gets_no_more(void **state) {
    (void)state;
    spilled s = {.ended_after = 1};
    cii_buf_init(&s.text, 0);
    cii_collector_options options = {.spill = take_spill, .spill_user = &s};
    ci_result_free(collect(&ten, &options, feed_to_spill));
    assert_string_equal(s.text.data, "01234567");
    cii_buf_free(&s.text);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void feed_end_without_done(const ci_sink *sink) {
    put(sink, "so far");
}

static void without_a_done_message_the_outcome_is_lost_and_the_output_kept(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_end_without_done);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_LOST);
    assert_stdout(result, "so far");
}

static void calls_after_the_result_was_taken_are_ignored(void **state) {
    (void)state;
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    assert_int_equal(cii_collector_new(result, NULL, &collector), CI_OK);
    const ci_sink *sink = cii_collector_sink(collector);
    assert_false(cii_collector_done(collector));
    end_ok(sink);
    assert_true(cii_collector_done(collector));
    assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
    put(sink, "late");
    sink->item(sink->user, "image/png", "x", 1, 0);
    sink->background(sink->user, "x", 1);
    end_ok(sink);
    assert_stdout(result, "");
    ci_error *error = NULL;
    ci_result *again = NULL;
    assert_int_equal(cii_collector_take(collector, &again, &error), CI_ERR_INVALID);
    assert_non_null(error);
    assert_null(again);
    ci_error_free(error);
    ci_result_free(result);
    cii_collector_free(collector);
}

static void feed_two_ends(const ci_sink *sink) {
    end_ok(sink);
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = CI_OUTCOME_EXIT});
}

static void only_the_first_done_counts(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_two_ends);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_prints_nothing_has_empty_streams),
        cmocka_unit_test(output_of_exactly_the_limit_is_whole),
        cmocka_unit_test(one_byte_beyond_the_limit_keeps_head_and_tail),
        cmocka_unit_test(how_output_is_cut_into_writes_does_not_matter),
        cmocka_unit_test(the_cut_never_falls_into_a_character),
        cmocka_unit_test(a_limit_of_one_byte_works),
        cmocka_unit_test(streams_are_kept_apart_and_byte_for_byte),
        cmocka_unit_test(a_huge_output_is_held_in_bounded_memory),
        cmocka_unit_test(the_callback_gets_whole_characters_of_each_stream),
        cmocka_unit_test(bytes_that_are_not_utf8_are_handed_on_as_they_are),
        cmocka_unit_test(what_was_held_back_is_flushed_when_the_run_never_says_done),
        cmocka_unit_test(items_come_in_their_place),
        cmocka_unit_test(a_callback_that_returns_non_zero_is_not_called_again_but_the_run_goes_on),
        cmocka_unit_test(a_truncated_stream_is_spilled_whole),
        cmocka_unit_test(a_stream_that_fits_is_not_spilled),
        cmocka_unit_test(a_spill_that_fails_gets_no_more),
        cmocka_unit_test(without_a_done_message_the_outcome_is_lost_and_the_output_kept),
        cmocka_unit_test(calls_after_the_result_was_taken_are_ignored),
        cmocka_unit_test(only_the_first_done_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
