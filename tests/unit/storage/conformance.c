/* The conformance suite of storages. One test a promise of the contract; each runs on a storage of its own. */
#include "conformance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/str.h"
#include "drive.h"

typedef struct fixture {
    const storage_factory *factory;
    void *state;
    ci_storage *storage;
} fixture;

static int set_up(void **state) {
    const storage_factory *factory = *state;
    fixture *f = calloc(1, sizeof *f);
    ci_error *error = NULL;
    f->factory = factory;
    if (factory->make(&f->state, &f->storage, &error) < 0) {
        print_error("%s: %s\n", factory->name, ci_error_message(error));
        return -1;
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ci_storage_free(f->storage);
    f->factory->destroy(f->state);
    free(f);
    return 0;
}

#define STORAGE(state) (((fixture *)*(state))->storage)

static void assert_content(ci_storage *s, const char *key, const char *text) {
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(get(s, key, &data), CI_OK);
    assert_string_equal(data.data, text);
}

static void assert_listed(ci_storage *s, const char *prefix, const char *keys) {
    _cleanup_buf_ cii_buf got = {0};
    assert_int_equal(list(s, prefix, NULL, 1000, &got, NULL), CI_OK);
    assert_string_equal(got.data, keys);
}

static char *noise(size_t size) {
    char *data = malloc(size + 1);
    uint32_t x = 1;
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
    }
    return data;
}

static void hash_of(const void *data, size_t size, uint8_t ret_digest[32]) {
    _cleanup_sha256_ cii_sha256 *hash = cii_sha256_new();
    assert_true(cii_sha256_update(hash, data, size) && cii_sha256_final(hash, ret_digest));
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void bytes_come_back_as_they_went(void **state) {
    static const size_t sizes[] = {0, 1, 4095, 65536, 262144, 262145, 1048579, 8 << 20};
    _cleanup_free_ char *data = noise(8 << 20);
    for (size_t i = 0; i < CII_ELEMENTS(sizes); i++) {
        _cleanup_buf_ cii_buf back = {0};
        assert_int_equal(put(STORAGE(state), "folder/object", data, sizes[i], NULL), CI_OK);
        assert_int_equal(get(STORAGE(state), "folder/object", &back), CI_OK);
        assert_int_equal(back.size, sizes[i]);
        assert_memory_equal(back.data, data, sizes[i]);
    }
}

static void put_get_and_stat_tell_the_object(void **state) {
    seen by_put, by_get, by_stat;
    uint8_t digest[32];
    _cleanup_buf_ cii_buf data = {0};
    int64_t now = (int64_t)time(NULL) * 1000;
    hash_of("hello", 5, digest);
    assert_int_equal(put(STORAGE(state), "a/b", "hello", 5, &by_put), CI_OK);
    assert_int_equal(get_range(STORAGE(state), "a/b", NULL, 0, UINT64_MAX, &data, &by_get), CI_OK);
    assert_int_equal(stat_object(STORAGE(state), "a/b", &by_stat), CI_OK);
    const seen *all[] = {&by_put, &by_get, &by_stat};
    for (size_t i = 0; i < CII_ELEMENTS(all); i++) {
        assert_int_equal(all[i]->count, 1);
        assert_string_equal(all[i]->key, "a/b");
        assert_string_equal(all[i]->etag, by_put.etag);
        assert_int_equal(all[i]->size_bytes, 5);
        assert_in_range(all[i]->modified_ms, now - 600000, now + 600000);
        if (all[i]->has_sha256)
            assert_memory_equal(all[i]->sha256, digest, sizeof digest);
    }
    assert_true(by_put.has_sha256);
}

static void get_tells_the_object_even_when_it_is_empty(void **state) {
    seen object;
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(put(STORAGE(state), "empty", "", 0, NULL), CI_OK);
    assert_int_equal(get_range(STORAGE(state), "empty", NULL, 0, UINT64_MAX, &data, &object), CI_OK);
    assert_int_equal(object.count, 1);
    assert_int_equal(data.size, 0);
}

static void get_reads_a_range(void **state) {
    static const struct {
        uint64_t offset;
        uint64_t length;
        const char *text;
    } ranges[] = {{0, 3, "012"},
                  {3, 4, "3456"},
                  {8, 100, "89"},
                  {8, UINT64_MAX, "89"},
                  {10, 1, ""},
                  {11, 5, ""},
                  {UINT64_MAX, 1, ""},
                  {0, 0, ""},
                  {4, 0, ""},
                  {9, 1, "9"},
                  {0, UINT64_MAX, "0123456789"}};
    assert_int_equal(put_text(STORAGE(state), "digits", "0123456789"), CI_OK);
    for (size_t i = 0; i < CII_ELEMENTS(ranges); i++) {
        _cleanup_buf_ cii_buf data = {0};
        assert_int_equal(get_range(STORAGE(state), "digits", NULL, ranges[i].offset, ranges[i].length, &data, NULL),
                         CI_OK);
        assert_string_equal(data.data, ranges[i].text);
    }
}

static void missing_objects_are_not_found(void **state) {
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(put_text(STORAGE(state), "here/object", "x"), CI_OK);
    static const char *const keys[] = {"missing", "here", "here/missing", "here/object/below", "no/such/folder"};
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++) {
        assert_int_equal(get(STORAGE(state), keys[i], &data), CI_ERR_NOTFOUND);
        assert_int_equal(stat_object(STORAGE(state), keys[i], NULL), CI_ERR_NOTFOUND);
        assert_int_equal(remove_object(STORAGE(state), keys[i]), CI_ERR_NOTFOUND);
    }
    assert_content(STORAGE(state), "here/object", "x");
}

static void keys_of_every_kind_are_kept_apart(void **state) {
    static const char *const keys[] = {"a b",
                                       "a+b",
                                       "a%20b",
                                       "a\\b",
                                       "\xc3\xbc/\xe4\xb8\xad\xe6\x96\x87",
                                       "u\xcc\x88/nfd",
                                       "A",
                                       "a",
                                       ".hidden",
                                       "x/.hidden",
                                       "-rf",
                                       "~",
                                       "quote\"'`$(x)",
                                       "#?&=;:@!",
                                       "*",
                                       "x/.ci/file",
                                       "x/..double",
                                       "trailing.",
                                       "d/...",
                                       "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++)
        assert_int_equal(put_text(STORAGE(state), keys[i], keys[i]), CI_OK);
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++)
        assert_content(STORAGE(state), keys[i], keys[i]);
    _cleanup_buf_ cii_buf got = {0};
    unsigned count;
    assert_int_equal(list(STORAGE(state), "", NULL, 1000, &got, &count), CI_OK);
    assert_int_equal(count, CII_ELEMENTS(keys));
}

static void keys_may_be_long(void **state) {
    char key[1025];
    const size_t taken = ((fixture *)*state)->factory->key_bytes_taken, size = sizeof key - 1 - taken;
    memset(key, 'k', size);
    for (size_t i = 200; i < size; i += 201)
        key[i] = '/';
    key[size] = '\0';
    assert_int_equal(put_text(STORAGE(state), key, "deep"), CI_OK);
    assert_content(STORAGE(state), key, "deep");
    _cleanup_buf_ cii_buf expected = {0};
    cii_buf_printf(&expected, "%s ", key);
    assert_listed(STORAGE(state), "kk", expected.data);
    assert_int_equal(remove_object(STORAGE(state), key), CI_OK);
    assert_listed(STORAGE(state), "", "");
}

/* --- replacing and conditions ------------------------------------------------------------------------------------- */

static void put_replaces_and_the_etag_changes(void **state) {
    seen first, second, third;
    assert_int_equal(put(STORAGE(state), "k", "1", 1, &first), CI_OK);
    assert_int_equal(put(STORAGE(state), "k", "2", 1, &second), CI_OK);
    assert_int_equal(put(STORAGE(state), "k", "3", 1, &third), CI_OK);
    assert_string_not_equal(first.etag, second.etag);
    assert_string_not_equal(second.etag, third.etag);
    assert_string_not_equal(first.etag, third.etag);
    assert_content(STORAGE(state), "k", "3");
}

static void get_keeps_to_its_etag(void **state) {
    seen first;
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(put(STORAGE(state), "k", "1", 1, &first), CI_OK);
    assert_int_equal(get_range(STORAGE(state), "k", first.etag, 0, UINT64_MAX, &data, NULL), CI_OK);
    assert_string_equal(data.data, "1");
    assert_int_equal(put_text(STORAGE(state), "k", "2"), CI_OK);
    assert_int_equal(get_range(STORAGE(state), "k", first.etag, 0, UINT64_MAX, &data, NULL), CI_ERR_CONDITION);
    assert_int_equal(data.size, 0);
}

static void put_if_absent_never_replaces(void **state) {
    ci_put_request request = PUT_REQUEST("f/k");
    request.if_absent = 1;
    assert_int_equal(put_if(STORAGE(state), &request, "1", 1, NULL), CI_OK);
    assert_int_equal(put_if(STORAGE(state), &request, "2", 1, NULL), CI_ERR_CONDITION);
    assert_content(STORAGE(state), "f/k", "1");
    assert_int_equal(remove_object(STORAGE(state), "f/k"), CI_OK);
    assert_int_equal(put_if(STORAGE(state), &request, "3", 1, NULL), CI_OK);
    assert_content(STORAGE(state), "f/k", "3");
}

static void put_if_etag_replaces_only_that(void **state) {
    seen first, second;
    ci_put_request request = PUT_REQUEST("k");
    request.if_etag = "none";
    assert_int_equal(put_if(STORAGE(state), &request, "0", 1, NULL), CI_ERR_CONDITION);
    assert_int_equal(put(STORAGE(state), "k", "1", 1, &first), CI_OK);
    request.if_etag = first.etag;
    assert_int_equal(put_if(STORAGE(state), &request, "2", 1, &second), CI_OK);
    assert_int_equal(put_if(STORAGE(state), &request, "3", 1, NULL), CI_ERR_CONDITION);
    assert_content(STORAGE(state), "k", "2");
    request.if_etag = second.etag;
    assert_int_equal(remove_object(STORAGE(state), "k"), CI_OK);
    assert_int_equal(put_if(STORAGE(state), &request, "4", 1, NULL), CI_ERR_CONDITION);
    assert_listed(STORAGE(state), "", "");
}

static void announced_size_and_hash_must_hold(void **state) {
    uint8_t digest[32];
    ci_put_request request = PUT_REQUEST("k");
    hash_of("data", 4, digest);
    request.size_bytes = 4;
    assert_int_equal(put_if(STORAGE(state), &request, "dat", 3, NULL), CI_ERR_INVALID);
    assert_int_equal(put_if(STORAGE(state), &request, "data+", 5, NULL), CI_ERR_INVALID);
    request.size_bytes = UINT64_MAX;
    request.sha256 = digest;
    request.mime_type = "text/plain";
    assert_int_equal(put_if(STORAGE(state), &request, "date", 4, NULL), CI_ERR_INVALID);
    request.size_bytes = 4;
    assert_listed(STORAGE(state), "", "");
    assert_int_equal(put_if(STORAGE(state), &request, "data", 4, NULL), CI_OK);
    assert_content(STORAGE(state), "k", "data");
}

/* --- pausing, stopping, giving up --------------------------------------------------------------------------------- */

static void a_reader_may_pause_and_give_little(void **state) {
    _cleanup_free_ char *data = noise(10000);
    _cleanup_buf_ cii_buf back = {0};
    source from = {.data = data, .size = 10000, .piece = 77, .pauses = 1};
    assert_int_equal(drive(start_put(STORAGE(state), &PUT_REQUEST("k"), &from), NULL), CI_OK);
    assert_int_equal(get(STORAGE(state), "k", &back), CI_OK);
    assert_int_equal(back.size, 10000);
    assert_memory_equal(back.data, data, 10000);
}

typedef struct slow_sink {
    cii_buf data;
    unsigned calls;
    int32_t stop; /* what the second piece is answered with */
} slow_sink;

static int32_t write_slowly(void *user, const void *data, size_t size) {
    slow_sink *to = user;
    if (to->calls++ % 2 == 0)
        return drive_pause();
    if (to->stop != 0 && to->calls > 2)
        return to->stop;
    return cii_buf_append(&to->data, data, size);
}

static void a_writer_may_pause(void **state) {
    const size_t size = 3 << 20;
    _cleanup_free_ char *data = noise(size);
    slow_sink to = {0};
    ci_op *op = NULL;
    ci_storage *s = STORAGE(state);
    assert_int_equal(put(s, "k", data, size, NULL), CI_OK);
    assert_int_equal(
        cii_storage_ops(s)->get(cii_storage_impl(s), "k", NULL, 0, UINT64_MAX, write_slowly, NULL, &to, &op, NULL),
        CI_OK);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_int_equal(to.data.size, size);
    assert_memory_equal(to.data.data, data, size);
    cii_buf_free(&to.data);
}

static void a_writer_may_stop(void **state) {
    static const int32_t stops[] = {-1, 1, -77};
    const size_t size = 3 << 20;
    _cleanup_free_ char *data = noise(size);
    ci_storage *s = STORAGE(state);
    assert_int_equal(put(s, "k", data, size, NULL), CI_OK);
    for (size_t i = 0; i < CII_ELEMENTS(stops); i++) {
        slow_sink to = {.stop = stops[i]};
        ci_op *op = NULL;
        assert_int_equal(
            cii_storage_ops(s)->get(cii_storage_impl(s), "k", NULL, 0, UINT64_MAX, write_slowly, NULL, &to, &op, NULL),
            CI_OK);
        assert_int_equal(drive(op, NULL), CI_ERR_CANCELLED);
        cii_buf_free(&to.data);
    }
}

static int32_t refuse_object(void *user, const ci_object *object) {
    (void)user;
    (void)object;
    return -1;
}

static int32_t write_nothing(void *user, const void *data, size_t size) {
    (void)user;
    (void)data;
    (void)size;
    fail_msg("bytes after the object was refused");
    return -1;
}

static void a_refused_object_cancels(void **state) {
    ci_storage *s = STORAGE(state);
    const ci_storage_ops *ops = cii_storage_ops(s);
    void *impl = cii_storage_impl(s);
    ci_op *op = NULL;
    assert_int_equal(put_text(s, "k", "text"), CI_OK);
    assert_int_equal(ops->get(impl, "k", NULL, 0, UINT64_MAX, write_nothing, refuse_object, NULL, &op, NULL), CI_OK);
    assert_int_equal(drive(op, NULL), CI_ERR_CANCELLED);
    assert_int_equal(ops->stat(impl, "k", refuse_object, NULL, &op, NULL), CI_OK);
    assert_int_equal(drive(op, NULL), CI_ERR_CANCELLED);
    assert_int_equal(ops->list(impl, "", NULL, 10, refuse_object, NULL, &op, NULL), CI_OK);
    assert_int_equal(drive(op, NULL), CI_ERR_CANCELLED);
}

static void a_failed_put_leaves_all_as_it_was(void **state) {
    _cleanup_free_ char *data = noise(1 << 20);
    assert_int_equal(put_text(STORAGE(state), "f/k", "old"), CI_OK);
    static const char *const keys[] = {"f/k", "new/folder/k"};
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++) {
        source from = {.data = data, .size = 1 << 20, .fail_after = 600000};
        assert_int_equal(drive(start_put(STORAGE(state), &PUT_REQUEST(keys[i]), &from), NULL), CI_ERR_CANCELLED);
        assert_int_equal(from.seen.count, 0);
    }
    assert_content(STORAGE(state), "f/k", "old");
    assert_listed(STORAGE(state), "", "f/k ");
}

static void an_operation_may_be_given_up_at_any_step(void **state) {
    _cleanup_free_ char *data = noise(600000);
    ci_storage *s = STORAGE(state);
    assert_int_equal(put(s, "f/k", data, 600000, NULL), CI_OK);
    for (int steps = 0; steps < 6; steps++) {
        source from = {.data = data, .size = 1000, .piece = 500};
        cii_buf got = {0};
        slow_sink to = {0};
        ci_op *ops[3];
        ops[0] = start_put(s, &PUT_REQUEST("new/k"), &from);
        assert_int_equal(cii_storage_ops(s)->get(cii_storage_impl(s), "f/k", NULL, 0, UINT64_MAX, write_slowly, NULL,
                                                 &to, &ops[1], NULL),
                         CI_OK);
        assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), "", NULL, 10, see, NULL, &ops[2], NULL), CI_OK);
        for (size_t i = 0; i < CII_ELEMENTS(ops); i++) {
            for (int step = 0; step < steps && ops[i]->ops->process(ops[i], NULL) == 0; step++)
                ;
            ops[i]->ops->free(ops[i]);
        }
        cii_buf_free(&got);
        cii_buf_free(&to.data);
        remove_object(s, "new/k");
    }
    if (!((fixture *)*state)->factory->acts_late) {
        assert_listed(s, "", "f/k ");
        return;
    }
    /* Even after it was removed, and at any time: but whole. */
    _cleanup_buf_ cii_buf late = {0};
    ci_status status = get(s, "new/k", &late);
    assert_true(status == CI_OK || status == CI_ERR_NOTFOUND);
    if (status == CI_OK) {
        assert_int_equal(late.size, 1000);
        assert_memory_equal(late.data, data, 1000);
    }
}

/* --- listing and removing ----------------------------------------------------------------------------------------- */

static const char *const tree[] = {"a-b",   "a.txt",       "a/b",     "a/c-d", "a/c/d", "a/c/e/f",
                                   "a/c0",  "a0",          "ab",      "b",     "c/",    /* left out */ "c/d",
                                   "c/d.e", "c0/\xc3\xa9", "z/z/z/z", NULL};
static const char tree_keys[] = "a-b a.txt a/b a/c-d a/c/d a/c/e/f a/c0 a0 ab b c/d c/d.e c0/\xc3\xa9 z/z/z/z ";

static void put_tree(ci_storage *s) {
    for (size_t i = 0; tree[i]; i++)
        if (!cii_str_ends(tree[i], "/"))
            assert_int_equal(put_text(s, tree[i], "x"), CI_OK);
}

static void list_is_in_byte_order_of_whole_keys(void **state) {
    put_tree(STORAGE(state));
    assert_listed(STORAGE(state), "", tree_keys);
}

static void pages_join_without_gap_or_repetition(void **state) {
    put_tree(STORAGE(state));
    for (uint32_t max = 1; max < 17; max++) {
        _cleanup_buf_ cii_buf got = {0};
        unsigned count = max;
        char last[64] = "";
        while (count == max) {
            size_t before = got.size;
            assert_int_equal(list(STORAGE(state), "", last[0] ? last : NULL, max, &got, &count), CI_OK);
            assert_true(count <= max);
            if (got.size == before)
                break;
            const char *end = got.data + got.size - 1, *begin = end;
            while (begin > got.data && begin[-1] != ' ')
                begin--;
            snprintf(last, sizeof last, "%.*s", (int)(end - begin), begin);
        }
        assert_string_equal(got.data, tree_keys);
    }
}

static void list_begins_after_any_key(void **state) {
    static const struct {
        const char *after;
        const char *keys;
    } cases[] = {
        {"", "a/b a/c-d a/c/d a/c/e/f a/c0 "},
        {"a", "a/b a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/", "a/b a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/b", "a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/c", "a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/c/", "a/c/d a/c/e/f a/c0 "},
        {"a/c/d", "a/c/e/f a/c0 "},
        {"a/c/dd", "a/c/e/f a/c0 "},
        {"a/c/e/f", "a/c0 "},
        {"a/c/z", "a/c0 "},
        {"a/c0", ""},
        {"b", ""},
        {"a-", "a/b a/c-d a/c/d a/c/e/f a/c0 "},
        {"\xff", ""},
    };
    put_tree(STORAGE(state));
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_buf_ cii_buf got = {0};
        assert_int_equal(list(STORAGE(state), "a/", cases[i].after, 1000, &got, NULL), CI_OK);
        assert_string_equal(got.data, cases[i].keys);
    }
}

static void a_prefix_may_end_anywhere(void **state) {
    static const struct {
        const char *prefix;
        const char *keys;
    } cases[] = {
        {"a", "a-b a.txt a/b a/c-d a/c/d a/c/e/f a/c0 a0 ab "},
        {"a/", "a/b a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/c", "a/c-d a/c/d a/c/e/f a/c0 "},
        {"a/c/", "a/c/d a/c/e/f "},
        {"a/c/d", "a/c/d "},
        {"a/c/d/", ""},
        {"a-", "a-b "},
        {"c", "c/d c/d.e c0/\xc3\xa9 "},
        {"c0/\xc3", "c0/\xc3\xa9 "},
        {"missing", ""},
        {"missing/", ""},
        {"b/", ""},
        {"z/z/z/", "z/z/z/z "},
        {"z/z/z/z/z", ""},
    };
    put_tree(STORAGE(state));
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++)
        assert_listed(STORAGE(state), cases[i].prefix, cases[i].keys);
}

static void list_tells_what_stat_tells(void **state) {
    ci_storage *s = STORAGE(state);
    seen by_put, by_stat, by_list = {0};
    ci_op *op = NULL;
    assert_int_equal(put(s, "a/b", "hello", 5, &by_put), CI_OK);
    assert_int_equal(stat_object(s, "a/b", &by_stat), CI_OK);
    assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), "", NULL, 10, see, &by_list, &op, NULL), CI_OK);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_int_equal(by_list.count, 1);
    assert_string_equal(by_list.etag, by_put.etag);
    assert_int_equal(by_list.size_bytes, 5);
    assert_true(by_list.modified_ms / 1000 == by_stat.modified_ms / 1000);
}

static void an_object_that_is_put_between_pages_is_not_lost_later(void **state) {
    ci_storage *s = STORAGE(state);
    _cleanup_buf_ cii_buf got = {0};
    put_tree(s);
    assert_int_equal(list(s, "", NULL, 3, &got, NULL), CI_OK);
    assert_int_equal(put_text(s, "zz", "x"), CI_OK);
    assert_int_equal(remove_object(s, "ab"), CI_OK);
    cii_buf_clear(&got);
    assert_int_equal(list(s, "", "a/b", 1000, &got, NULL), CI_OK);
    assert_null(strstr(got.data, " ab "));
    cii_buf_clear(&got);
    assert_int_equal(list(s, "z", NULL, 1000, &got, NULL), CI_OK);
    assert_string_equal(got.data, "z/z/z/z zz ");
}

static void remove_takes_one_object(void **state) {
    ci_storage *s = STORAGE(state);
    put_tree(s);
    assert_int_equal(remove_object(s, "a/c/e/f"), CI_OK);
    assert_int_equal(remove_object(s, "a/c/e/f"), CI_ERR_NOTFOUND);
    assert_int_equal(remove_object(s, "c/d"), CI_OK);
    assert_listed(s, "", "a-b a.txt a/b a/c-d a/c/d a/c0 a0 ab b c/d.e c0/\xc3\xa9 z/z/z/z ");
    assert_int_equal(put_text(s, "a/c/e", "now an object"), CI_OK);
    assert_int_equal(remove_object(s, "a/c/e"), CI_OK);
    assert_int_equal(put_text(s, "a/c/e/f", "again"), CI_OK);
    assert_content(s, "a/c/e/f", "again");
}

typedef struct removals {
    const char *const *keys;
    size_t told, failed;
} removals;

static int32_t see_removal(void *user, const char *key, ci_status status, const ci_error *error) {
    removals *r = user;
    assert_string_equal(key, r->keys[r->told++]); /* in their order */
    assert_int_equal(ci_error_status(error), status);
    assert_true(status == CI_OK || status == CI_ERR_NOTFOUND);
    r->failed += status < 0;
    return 0;
}

static void remove_many_takes_each_by_itself(void **state) {
    ci_storage *s = STORAGE(state);
    static const char *const keys[] = {"a&b",          "a",         "<Key>b</Key>", " c ", "d\xc3\xa9",
                                       "missing/&lt;", "e%2F+f/%g", "h\"'#?;=",     "a",   "i\xf0\x9f\x98\x80/]]>"};
    removals r = {.keys = keys};
    ci_op *op = NULL;
    ci_status status =
        cii_storage_ops(s)->remove_many(cii_storage_impl(s), keys, CII_ELEMENTS(keys), see_removal, &r, &op, NULL);
    assert_int_equal(status, ((fixture *)*state)->factory->removes_many ? CI_OK : CI_ERR_NOTSUP);
    if (status < 0)
        return;
    op->ops->free(op); /* given up before it began */
    assert_int_equal(r.told, 0);
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++)
        if (strncmp(keys[i], "missing", 7) != 0)
            assert_int_equal(put_text(s, keys[i], "x"), CI_OK);
    static const char *const kept[] = {"a/b", "A", "c", "missing/<", "e/+f/%g"};
    for (size_t i = 0; i < CII_ELEMENTS(kept); i++)
        assert_int_equal(put_text(s, kept[i], "x"), CI_OK);
    assert_int_equal(
        cii_storage_ops(s)->remove_many(cii_storage_impl(s), keys, CII_ELEMENTS(keys), see_removal, &r, &op, NULL),
        CI_OK);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_int_equal(r.told, CII_ELEMENTS(keys));
    assert_true(r.failed <= 2); /* what was missing, and what was named twice */
    assert_listed(s, "", "A a/b c e/+f/%g missing/< ");
}

static int32_t refuse_removal(void *user, const char *key, ci_status status, const ci_error *error) {
    (void)key, (void)status, (void)error;
    ++*(unsigned *)user;
    return -1;
}

static void remove_many_stops_when_it_is_told_to(void **state) {
    ci_storage *s = STORAGE(state);
    static const char *const keys[] = {"a", "b"};
    unsigned told = 0;
    ci_op *op = NULL;
    if (!((fixture *)*state)->factory->removes_many)
        return;
    assert_int_equal(cii_storage_ops(s)->remove_many(cii_storage_impl(s), keys, 2, refuse_removal, &told, &op, NULL),
                     CI_OK);
    assert_int_equal(drive(op, NULL), CI_ERR_CANCELLED);
    assert_int_equal(told, 1);
}

/* --- many at once ------------------------------------------------------------------------------------------------- */

static void of_two_puts_on_one_key_the_last_wins_whole(void **state) {
    _cleanup_free_ char *data = noise(2 << 20);
    _cleanup_buf_ cii_buf back = {0};
    source first = {.data = data, .size = 2 << 20}, second = {.data = data + (1 << 20), .size = 1 << 20};
    ci_op *a = start_put(STORAGE(state), &PUT_REQUEST("k"), &first);
    ci_op *b = start_put(STORAGE(state), &PUT_REQUEST("k"), &second);
    for (int done = 0; done == 0;) {
        assert_true(a->ops->process(a, NULL) >= 0);
        done = b->ops->process(b, NULL);
    }
    b->ops->free(b);
    assert_int_equal(drive(a, NULL), CI_OK);
    assert_int_equal(get(STORAGE(state), "k", &back), CI_OK);
    const source *winner = ((fixture *)*state)->factory->orders_by_start && back.size == second.size ? &second : &first;
    assert_int_equal(back.size, winner->size);
    assert_memory_equal(back.data, winner->data, winner->size);
    assert_listed(STORAGE(state), "", "k ");
}

static void of_two_conditional_puts_one_wins(void **state) {
    ci_storage *s = STORAGE(state);
    seen object;
    for (int by_etag = 0; by_etag < 2; by_etag++) {
        ci_put_request request = PUT_REQUEST("k");
        /* Of no content that was there before: an etag may be of the content alone. */
        const char *texts[2] = {by_etag ? "third" : "first", by_etag ? "fourth" : "second"};
        source sources[2] = {{.data = texts[0], .size = strlen(texts[0]), .piece = 1},
                             {.data = texts[1], .size = strlen(texts[1]), .piece = 1}};
        ci_op *ops[2];
        int32_t results[2] = {0, 0};
        request.if_absent = !by_etag;
        request.if_etag = by_etag ? object.etag : NULL;
        for (int i = 0; i < 2; i++)
            ops[i] = start_put(s, &request, &sources[i]);
        while (results[0] == 0 || results[1] == 0)
            for (int i = 0; i < 2; i++)
                if (results[i] == 0)
                    results[i] = ops[i]->ops->process(ops[i], NULL);
        for (int i = 0; i < 2; i++)
            ops[i]->ops->free(ops[i]);
        assert_true((results[0] == 1 && results[1] == CI_ERR_CONDITION) ||
                    (results[1] == 1 && results[0] == CI_ERR_CONDITION));
        assert_content(s, "k", texts[results[0] == 1 ? 0 : 1]);
        assert_int_equal(stat_object(s, "k", &object), CI_OK);
    }
}

static void many_operations_are_in_flight(void **state) {
    enum { COUNT = 50 };
    ci_storage *s = STORAGE(state);
    source sources[COUNT];
    ci_op *ops[COUNT];
    char keys[COUNT][32];
    _cleanup_free_ char *data = noise(700000);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "f%d/k%d", i % 7, i);
        sources[i] = (source){.data = data, .size = 10000 * (size_t)i};
        ops[i] = start_put(s, &PUT_REQUEST(keys[i]), &sources[i]);
    }
    for (int left = COUNT; left > 0;)
        for (int i = 0; i < COUNT; i++) {
            int32_t result = ops[i] ? ops[i]->ops->process(ops[i], NULL) : 0;
            assert_true(result >= 0);
            if (result == 0)
                continue;
            ops[i]->ops->free(ops[i]);
            ops[i] = NULL;
            left--;
        }
    for (int i = 0; i < COUNT; i++) {
        _cleanup_buf_ cii_buf back = {0};
        assert_int_equal(get(s, keys[i], &back), CI_OK);
        assert_int_equal(back.size, sources[i].size);
        assert_memory_equal(back.data, data, back.size);
    }
}

typedef struct worker {
    ci_storage *storage;
    int index;
    ci_status status;
    ci_error *error;
    bool torn;
} worker;

static ci_status forgive(worker *w) {
    ci_error_free(w->error);
    w->error = NULL;
    return CI_OK;
}

/* cmocka's assertions belong to the main thread, so a worker only keeps what it saw. */
static ci_status work_once(worker *w, int round, char *text, size_t size) {
    source from = {.data = text, .size = size};
    ci_op *op = NULL;
    ci_put_request request = PUT_REQUEST("shared/k");
    const ci_storage_ops *ops = cii_storage_ops(w->storage);
    slow_sink to = {.calls = 1};
    memset(text, 'a' + (w->index + round) % 26, size);
    ci_status status = ops->put(cii_storage_impl(w->storage), &request, read_source, NULL, &from, &op, NULL);
    if (status == CI_OK)
        status = drive(op, &w->error);
    if (status == CI_OK)
        status =
            ops->get(cii_storage_impl(w->storage), "shared/k", NULL, 0, UINT64_MAX, write_slowly, NULL, &to, &op, NULL);
    if (status == CI_OK)
        status = drive(op, &w->error);
    if (status == CI_ERR_NOTFOUND)
        status = forgive(w); /* somebody removed it */
    for (size_t i = 1; i < to.data.size; i++)
        w->torn |= to.data.data[i] != to.data.data[0];
    cii_buf_free(&to.data);
    if (status == CI_OK && ops->remove(cii_storage_impl(w->storage), "shared/k", &op, NULL) == CI_OK) {
        status = drive(op, &w->error);
        status = status == CI_ERR_NOTFOUND ? forgive(w) : status;
    }
    return status;
}

static void *work(void *user) {
    worker *w = user;
    const size_t size = 300000;
    _cleanup_free_ char *text = malloc(size);
    for (int round = 0; round < 40 && w->status == CI_OK; round++)
        w->status = work_once(w, round, text, size - (size_t)round);
    return NULL;
}

static void threads_never_see_half_an_object(void **state) {
    worker workers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        workers[i] = (worker){.storage = STORAGE(state), .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        if (workers[i].status < 0)
            fail_msg("%s", ci_error_message(workers[i].error));
        assert_false(workers[i].torn);
    }
}

static void a_reader_keeps_the_content_it_began_with(void **state) {
    const size_t size = 2 << 20;
    _cleanup_free_ char *data = noise(size);
    ci_storage *s = STORAGE(state);
    slow_sink to = {0};
    ci_op *op = NULL;
    assert_int_equal(put(s, "f/k", data, size, NULL), CI_OK);
    assert_int_equal(
        cii_storage_ops(s)->get(cii_storage_impl(s), "f/k", NULL, 0, UINT64_MAX, write_slowly, NULL, &to, &op, NULL),
        CI_OK);
    while (to.data.size == 0)
        assert_int_equal(op->ops->process(op, NULL), 0);
    assert_int_equal(put_text(s, "f/k", "another"), CI_OK);
    ci_status status = drive(op, NULL);
    if (status == CI_OK) { /* or a storage that cannot says so */
        assert_int_equal(to.data.size, size);
        assert_memory_equal(to.data.data, data, size);
    }
    cii_buf_free(&to.data);
}

/* --- locks and the rest ------------------------------------------------------------------------------------------- */

static void a_lock_has_one_holder(void **state) {
    ci_storage *s = STORAGE(state);
    const ci_storage_ops *ops = cii_storage_ops(s);
    void *impl = cii_storage_impl(s), *first = NULL, *second = NULL, *other = NULL;
    ci_error *error = NULL;
    assert_int_equal(ops->lock(impl, "session-1", &first, NULL), CI_OK);
    assert_int_equal(ops->lock(impl, "session-1", &second, &error), CI_ERR_BUSY);
    assert_int_equal(ci_error_status(error), CI_ERR_BUSY);
    ci_error_free(error);
    assert_int_equal(ops->lock(impl, "session-2", &other, NULL), CI_OK);
    ops->unlock(impl, first);
    assert_int_equal(ops->lock(impl, "session-1", &second, NULL), CI_OK);
    ops->unlock(impl, second);
    ops->unlock(impl, other);
    assert_listed(s, "", "");
}

static void it_says_where_it_is(void **state) {
    _cleanup_free_ char *text = NULL;
    assert_int_equal(cii_storage_describe(STORAGE(state), &text), CI_OK);
    assert_true(strlen(text) > 0);
}

typedef void (*conformance_test)(void **state);

static const struct {
    const char *name;
    conformance_test run;
} tests[] = {
#define TEST(name) \
    { #name, name }
    TEST(bytes_come_back_as_they_went),
    TEST(put_get_and_stat_tell_the_object),
    TEST(get_tells_the_object_even_when_it_is_empty),
    TEST(get_reads_a_range),
    TEST(missing_objects_are_not_found),
    TEST(keys_of_every_kind_are_kept_apart),
    TEST(keys_may_be_long),
    TEST(put_replaces_and_the_etag_changes),
    TEST(get_keeps_to_its_etag),
    TEST(put_if_absent_never_replaces),
    TEST(put_if_etag_replaces_only_that),
    TEST(announced_size_and_hash_must_hold),
    TEST(a_reader_may_pause_and_give_little),
    TEST(a_writer_may_pause),
    TEST(a_writer_may_stop),
    TEST(a_refused_object_cancels),
    TEST(a_failed_put_leaves_all_as_it_was),
    TEST(an_operation_may_be_given_up_at_any_step),
    TEST(list_is_in_byte_order_of_whole_keys),
    TEST(pages_join_without_gap_or_repetition),
    TEST(list_begins_after_any_key),
    TEST(a_prefix_may_end_anywhere),
    TEST(list_tells_what_stat_tells),
    TEST(an_object_that_is_put_between_pages_is_not_lost_later),
    TEST(remove_takes_one_object),
    TEST(remove_many_takes_each_by_itself),
    TEST(remove_many_stops_when_it_is_told_to),
    TEST(of_two_puts_on_one_key_the_last_wins_whole),
    TEST(of_two_conditional_puts_one_wins),
    TEST(many_operations_are_in_flight),
    TEST(threads_never_see_half_an_object),
    TEST(a_reader_keeps_the_content_it_began_with),
    TEST(a_lock_has_one_holder),
    TEST(it_says_where_it_is),
};

int storage_conformance(const storage_factory *factory) {
    struct CMUnitTest all[CII_ELEMENTS(tests)];
    for (size_t i = 0; i < CII_ELEMENTS(tests); i++)
        all[i] = (struct CMUnitTest){tests[i].name, tests[i].run, set_up, tear_down, (void *)(uintptr_t)factory};
    return cmocka_run_group_tests_name(factory->name, all, NULL, NULL);
}
