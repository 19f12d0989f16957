/* The objects of a storage without a session: by blocking functions and by calls, on the template storage. */
#include <ci/ci.h>
#include <poll.h>
#include <stdio.h>

#include "../unit.h"
#include "slow.h"
#include "storage/storage.h"
#include "template_storage.h"

typedef struct text {
    char data[4096];
    size_t size;
    size_t at;
    size_t stop_at; /* callbacks answer -1 from there on; 0: never */
    unsigned objects;
    uint64_t object_size;
} text;

static int32_t take(void *user, const void *data, size_t size) {
    text *t = user;
    if (t->stop_at && t->size + size > t->stop_at)
        return 1;
    memcpy(t->data + t->size, data, size);
    t->size += size;
    return 0;
}

static int64_t give(void *user, void *buffer, size_t size) {
    text *t = user;
    size_t n = size < t->size - t->at ? size : t->size - t->at;
    if (t->stop_at && t->at + n >= t->stop_at)
        return -1;
    memcpy(buffer, t->data + t->at, n);
    t->at += n;
    return (int64_t)n;
}

static int32_t on_object(void *user, const ci_object *object) {
    text *t = user;
    t->objects++;
    t->object_size = object->size_bytes;
    return 0;
}

static int32_t add_key(void *user, const ci_object *object) {
    text *t = user;
    t->objects++;
    t->size += (size_t)snprintf(t->data + t->size, sizeof t->data - t->size, "%s ", object->key);
    return t->stop_at && t->objects == t->stop_at ? -1 : 0;
}

static int32_t add_removed(void *user, const char *key, ci_status status, const ci_error *error) {
    text *t = user;
    t->objects++;
    assert_true((status == CI_OK) == (error == NULL));
    t->size += (size_t)snprintf(t->data + t->size, sizeof t->data - t->size, "%s:%s ", key, ci_status_name(status));
    return t->stop_at && t->objects == t->stop_at ? -1 : 0;
}

static text of(const char *content) {
    text t = {.size = strlen(content)};
    memcpy(t.data, content, t.size);
    return t;
}

static void put(ci_storage *storage, const char *key, const char *content) {
    text from = of(content);
    assert_int_equal(ci_storage_write(storage, key, NULL, give, NULL, &from, NULL), CI_OK);
}

static const char *content_of(ci_storage *storage, const char *key, const ci_storage_read_options *options) {
    static text to;
    to = (text){0};
    assert_int_equal(ci_storage_read(storage, key, options, take, on_object, &to, NULL), CI_OK);
    assert_int_equal(to.objects, 1);
    return to.data;
}

static const char *keys(ci_storage *storage, const char *prefix, const ci_storage_list_options *options) {
    static text seen;
    seen = (text){0};
    assert_int_equal(ci_storage_list(storage, prefix, options, add_key, &seen, NULL), CI_OK);
    return seen.data;
}

static int setup(void **state) {
    return template_storage_new((ci_storage **)state, NULL);
}

static int teardown(void **state) {
    ci_storage_free(*state);
    return 0;
}

static void an_object_is_written_read_told_of_and_removed(void **state) {
    text from = of("hello"), seen = {0};
    ci_storage_write_options options = CI_STORAGE_WRITE_OPTIONS_INIT;
    options.size_bytes = 5;
    assert_int_equal(ci_storage_write(*state, "a/b.txt", &options, give, on_object, &from, NULL), CI_OK);
    assert_int_equal(from.objects, 1);
    assert_string_equal(content_of(*state, "a/b.txt", NULL), "hello");
    assert_int_equal(ci_storage_stat(*state, "a/b.txt", 0, on_object, &seen, NULL), CI_OK);
    assert_int_equal(seen.object_size, 5);
    assert_int_equal(ci_storage_remove(*state, (const char *[]){"a/b.txt"}, 1, 0, NULL, NULL, NULL), CI_OK);
    assert_int_equal(ci_storage_stat(*state, "a/b.txt", 0, on_object, &seen, NULL), CI_ERR_NOTFOUND);
}

static void a_range_is_read(void **state) {
    put(*state, "k", "0123456789");
    ci_storage_read_options options = CI_STORAGE_READ_OPTIONS_INIT;
    options.offset_bytes = 3;
    assert_string_equal(content_of(*state, "k", &options), "3456789");
    options.length_bytes = 2;
    assert_string_equal(content_of(*state, "k", &options), "34");
}

static void conditions_hold(void **state) {
    text from = of("new"), to = {0};
    put(*state, "k", "old");
    ci_storage_write_options options = CI_STORAGE_WRITE_OPTIONS_INIT;
    options.if_absent = 1;
    assert_int_equal(ci_storage_write(*state, "k", &options, give, NULL, &from, NULL), CI_ERR_CONDITION);
    options.if_etag = "x";
    assert_int_equal(ci_storage_write(*state, "k", &options, give, NULL, &from, NULL), CI_ERR_INVALID);
    options.if_absent = 0;
    assert_int_equal(ci_storage_write(*state, "k", &options, give, NULL, &from, NULL), CI_ERR_CONDITION);
    const ci_storage_read_options read = {.struct_size = sizeof read, .if_etag = "x"};
    assert_int_equal(ci_storage_read(*state, "k", &read, take, NULL, &to, NULL), CI_ERR_CONDITION);
    uint8_t wrong[32] = {1};
    options = (ci_storage_write_options){.struct_size = sizeof options, .sha256 = wrong};
    assert_int_equal(ci_storage_write(*state, "k", &options, give, NULL, &from, NULL), CI_ERR_INVALID);
    options = (ci_storage_write_options){.struct_size = sizeof options, .reserved = 1};
    assert_int_equal(ci_storage_write(*state, "k", &options, give, NULL, &from, NULL), CI_ERR_INVALID);
    assert_string_equal(content_of(*state, "k", NULL), "old");
}

static void a_callback_stops_its_call_and_leaves_the_object_as_it_was(void **state) {
    put(*state, "k", "old");
    text from = of("new"), to = {.stop_at = 1}, seen = {.stop_at = 1};
    from.stop_at = 1;
    assert_int_equal(ci_storage_write(*state, "k", NULL, give, NULL, &from, NULL), CI_ERR_CANCELLED);
    assert_int_equal(ci_storage_read(*state, "k", NULL, take, NULL, &to, NULL), CI_ERR_CANCELLED);
    assert_int_equal(ci_storage_list(*state, "", NULL, add_key, &seen, NULL), CI_ERR_CANCELLED);
    assert_string_equal(content_of(*state, "k", NULL), "old");
}

static void a_list_has_the_keys_of_a_prefix_after_one_and_no_more_than_asked_for(void **state) {
    static const char *const made[] = {"a", "b/1", "b/2", "b/3", "c"};
    for (size_t i = 0; i < CII_ELEMENTS(made); i++)
        put(*state, made[i], "");
    assert_string_equal(keys(*state, NULL, NULL), "a b/1 b/2 b/3 c ");
    ci_storage_list_options options = CI_STORAGE_LIST_OPTIONS_INIT;
    options.after = "b/1";
    assert_string_equal(keys(*state, "b/", &options), "b/2 b/3 ");
    options.max_count = 1;
    assert_string_equal(keys(*state, "b/", &options), "b/2 ");
}

static void a_list_goes_on_from_page_to_page(void **state) {
    char key[16];
    for (int i = 0; i < 2001; i++) {
        snprintf(key, sizeof key, "%04d", i);
        put(*state, key, "");
    }
    text seen = {0};
    assert_int_equal(ci_storage_list(*state, "", NULL, on_object, &seen, NULL), CI_OK);
    assert_int_equal(seen.objects, 2001);
    ci_storage_list_options options = CI_STORAGE_LIST_OPTIONS_INIT;
    options.max_count = 1001;
    seen.objects = 0;
    assert_int_equal(ci_storage_list(*state, "", &options, on_object, &seen, NULL), CI_OK);
    assert_int_equal(seen.objects, 1001);
}

static void remove_some(ci_storage *storage) {
    char names[40][8];
    const char *many[40];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        many[i] = names[i];
        put(storage, names[i], "");
    }
    many[3] = "missing";
    many[5] = "../x";
    text told = {0};
    ci_error *error = NULL;
    assert_int_equal(ci_storage_remove(storage, many, 40, 0, add_removed, &told, &error), CI_ERR_NOTFOUND);
    assert_non_null(strstr(ci_error_message(error), "missing")); /* the first of the two in their order */
    ci_error_free(error);
    assert_int_equal(told.objects, 40);
    assert_non_null(strstr(told.data, "../x:"));
    assert_string_equal(keys(storage, "", NULL), "k3 k5 ");
    told = (text){.stop_at = 1};
    assert_int_equal(ci_storage_remove(storage, (const char *[]){"k3", "k5"}, 2, 0, add_removed, &told, NULL),
                     CI_ERR_CANCELLED);
    assert_int_equal(told.objects, 1);
    assert_int_equal(ci_storage_remove(storage, NULL, 0, 0, NULL, NULL, NULL), CI_OK);
}

static void one_that_cannot_be_removed_does_not_keep_the_others_from_it(void **state) {
    remove_some(*state);
}

static unsigned refused;

static ci_status refuse_many(void *impl, const char *const *names, size_t count, ci_removed_cb removed, void *user,
                             ci_op **ret_op, ci_error **ret_error) {
    (void)impl, (void)names, (void)count, (void)removed, (void)user, (void)ret_op, (void)ret_error;
    refused++;
    return CI_ERR_NOTSUP;
}

static void nothing(void *impl) {
    (void)impl;
}

/* The template storage's table with another remove_many. */
static ci_storage *with_remove_many(ci_storage *storage, const ci_storage_ops *changed) {
    ci_storage_ops ops = *cii_storage_ops(storage);
    ci_storage *made = NULL;
    ops.free = nothing;
    ops.remove_many = changed->remove_many;
    assert_int_equal(ci_storage_new(&ops, cii_storage_impl(storage), &made, NULL), CI_OK);
    return made;
}

static void a_storage_that_cannot_remove_many_removes_one_by_one(void **state) {
    ci_storage *without = with_remove_many(*state, &(ci_storage_ops){0});
    remove_some(without);
    ci_storage_free(without);
    ci_storage *refusing = with_remove_many(*state, &(ci_storage_ops){.remove_many = refuse_many});
    refused = 0;
    remove_some(refusing);
    assert_int_equal(refused, 2); /* once a call */
    ci_storage_free(refusing);
}

static void bad_arguments_are_refused_by_name(void **state) {
    text t = {0};
    assert_int_equal(ci_storage_stat(NULL, "k", 0, on_object, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_stat(*state, NULL, 0, on_object, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_stat(*state, "k", 0, NULL, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_list(*state, "", NULL, NULL, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_read(*state, "k", NULL, NULL, NULL, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_write(*state, "k", NULL, NULL, NULL, &t, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_remove(*state, (const char *[]){NULL}, 1, 0, NULL, NULL, NULL), CI_ERR_INVALID);
    static const char *const keys_that_cannot_be[] = {"", "/a", "a//b", "../a", "a/.", "a\x01", "a/"};
    for (size_t i = 0; i < CII_ELEMENTS(keys_that_cannot_be); i++)
        assert_int_equal(ci_storage_read(*state, keys_that_cannot_be[i], NULL, take, NULL, &t, NULL), CI_ERR_INVALID);
}

static void calls_are_polled_and_hold_their_storage(void **state) {
    put(*state, "k", "content");
    static text to[8];
    ci_call *calls[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(ci_storage_read_start(*state, "k", NULL, take, NULL, &to[i], &calls[i], NULL), CI_OK);
    ci_storage_free(*state); /* the calls go on all the same */
    *state = NULL;
    for (int i = 0; i < 8; i++) {
        while (ci_call_process(calls[i]) == CI_CALL_RUNNING)
            assert_int_equal(poll(&(struct pollfd){.fd = ci_call_fd(calls[i]), .events = POLLIN}, 1, 10000), 1);
        assert_int_equal(ci_call_take_status(calls[i], NULL), CI_OK);
        assert_string_equal(to[i].data, "content");
        ci_call_free(calls[i]);
    }
}

typedef struct slow_source {
    text from;
    bool ready;
} slow_source;

static int64_t give_when_ready(void *user, void *buffer, size_t size) {
    slow_source *s = user;
    if (!s->ready)
        return CI_IO_PAUSE;
    s->ready = false;
    return give(&s->from, buffer, size < 2 ? size : 2);
}

static void a_reader_that_pauses_is_asked_again_when_its_call_is_processed(void **state) {
    slow_source source = {.from = of("abcd")};
    ci_call *call = NULL;
    assert_int_equal(ci_storage_write_start(*state, "k", NULL, give_when_ready, NULL, &source, &call, NULL), CI_OK);
    for (int i = 0; i < 3; i++) { /* two pieces and the end */
        assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
        assert_int_equal(poll(&(struct pollfd){.fd = ci_call_fd(call), .events = POLLIN}, 1, 0), 0); /* no busy loop */
        source.ready = true;
        ci_call_process(call);
    }
    assert_int_equal(ci_call_process(call), CI_CALL_DONE);
    assert_int_equal(ci_call_take_status(call, NULL), CI_OK);
    ci_call_free(call);
    assert_string_equal(content_of(*state, "k", NULL), "abcd");
    source = (slow_source){.from = of("new")};
    assert_int_equal(ci_storage_write(*state, "k", NULL, give_when_ready, NULL, &source, NULL), CI_ERR_CANCELLED);
}

typedef struct fitful_source {
    text from;
    unsigned asked;
} fitful_source;

static int64_t give_every_other_time(void *user, void *buffer, size_t size) {
    fitful_source *s = user;
    return ++s->asked % 2 ? CI_IO_PAUSE : give(&s->from, buffer, size < 2 ? size : 2);
}

static void bytes_that_come_in_the_step_of_a_pause_are_not_lost(void **state) {
    (void)state;
    slow_log log = {.steps = 2};
    fitful_source source = {.from = of("abcdef")};
    ci_storage *storage = slow_storage(NULL, 0, &log);
    ci_call *call = NULL;
    assert_int_equal(ci_storage_write_start(storage, "k", NULL, give_every_other_time, NULL, &source, &call, NULL),
                     CI_OK);
    assert_int_equal(ci_call_wait(call, 10000), CI_CALL_DONE);
    assert_int_equal(ci_call_take_status(call, NULL), CI_OK);
    ci_call_free(call);
    assert_int_equal(source.asked, 8); /* three pieces and the end, each after a pause */
    assert_string_equal(content_of(storage, "k", NULL), "abcdef");
    ci_storage_free(storage);
}

static void a_cancelled_call_ends_so(void **state) {
    put(*state, "k", "old");
    text from = of("new");
    ci_call *call = NULL;
    assert_int_equal(ci_storage_write_start(*state, "k", NULL, give, NULL, &from, &call, NULL), CI_OK);
    ci_call_cancel(call);
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    assert_int_equal(ci_call_take_status(call, NULL), CI_ERR_CANCELLED);
    ci_call_free(call);
    assert_string_equal(content_of(*state, "k", NULL), "old");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_written_read_told_of_and_removed),
        TEST(a_range_is_read),
        TEST(conditions_hold),
        TEST(a_callback_stops_its_call_and_leaves_the_object_as_it_was),
        TEST(a_list_has_the_keys_of_a_prefix_after_one_and_no_more_than_asked_for),
        TEST(a_list_goes_on_from_page_to_page),
        TEST(one_that_cannot_be_removed_does_not_keep_the_others_from_it),
        TEST(a_storage_that_cannot_remove_many_removes_one_by_one),
        TEST(bad_arguments_are_refused_by_name),
        TEST(calls_are_polled_and_hold_their_storage),
        TEST(a_reader_that_pauses_is_asked_again_when_its_call_is_processed),
        TEST(bytes_that_come_in_the_step_of_a_pause_are_not_lost),
        TEST(a_cancelled_call_ends_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
