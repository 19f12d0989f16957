/* Uploads that nobody ends, and the records of them, on a server that does as it is told (tests/http): hostile records are not
 * believed, and what was given up unanswered is found. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "../net/server.h"
#include "base/str.h"
#include "drive.h"
#include "os/fd.h"

#define MIB ((size_t)1 << 20)

static char records[128];

static ci_storage *new_storage(const char *bucket) {
    ci_storage *storage = NULL;
    char url[64];
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.endpoint = http;
    options.access_key_id = "AKIDEXAMPLE";
    options.secret_access_key = "a-secret-of-some-length";
    options.part_bytes = 5 * MIB;
    options.no_environment = 1;
    snprintf(url, sizeof url, "s3://%s", bucket);
    assert_int_equal(ci_storage_s3_new(url, &options, &storage, NULL), CI_OK);
    return storage;
}

static unsigned count_records(void) {
    unsigned count = 0;
    DIR *folder = opendir(records);
    for (const struct dirent *e; folder && (e = readdir(folder));)
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    if (folder)
        closedir(folder);
    return count;
}

static void clear_records(void) {
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", records);
    assert_int_equal(system(command), 0); /* NOLINT: a name of our own */
}

static const char *path_of(char c) {
    static char path[256];
    char name[27] = {0};
    memset(name, c, 26);
    snprintf(path, sizeof path, "%s/%s", records, name);
    return path;
}

static void write_file(const char *path, const char *text, int mode) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, (mode_t)mode), 0);
}

/* The record of an upload to the bucket that a process left, with what follows its key. */
static void leave(char c, const char *bucket, const char *key, const char *rest, int mode) {
    _cleanup_free_ char *text = cii_str_printf("s3://%s/ at %s\n%s\n%s", bucket, http, key, rest);
    mkdir(records, 0700);
    write_file(path_of(c), text, mode);
}

static void put_small(const char *bucket) {
    ci_storage *s = new_storage(bucket);
    assert_int_equal(put_text(s, "small", "x"), CI_OK);
    ci_storage_free(s);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void only_puts_look_at_the_records(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf data = {0};
    leave('a', "looks", "k", "1700000000\nu1\n", 0600);
    server_rules("9 GET /looks/k body/header-ETag=%22abc%22/bytes-4\n9 PUT /looks/small body/header-ETag=%22abc%22\n");
    ci_storage *s = new_storage("looks");
    assert_int_equal(get(s, "k", &data), CI_OK);
    ci_storage_free(s);
    assert_int_equal(log_count("/looks/k"), 1);
    assert_int_equal(count_records(), 1);
    put_small("looks");
    assert_true(log_has("/looks/k", "> : /looks/k?uploadId=u1\n"));
    assert_int_equal(access(records, F_OK), -1);
    put_small("looks");
    assert_int_equal(access(records, F_OK), -1); /* it is made for a large one only */
}

static void what_is_no_record_is_not_believed(void **state) {
    (void)state;
    char other[256], huge[20001];
    mkdir(records, 0700);
    leave('b', "hostile", "../k", "1700000000\nu1\n", 0600);
    leave('c', "hostile", "k", "17x\nu1\n", 0600);
    leave('d', "hostile", "k", "1700000000\nu 1\n", 0600);
    leave('e', "hostile", "k", "1700000000\nu1\nnonce 1\n", 0600);
    leave('f', "hostile", "k", "1700000000\nu1\n", 0644);
    leave('g', "elsewhere", "k", "1700000000\nu1\n", 0600);
    assert_int_equal(mkfifo(path_of('h'), 0600), 0);
    memset(huge, '\n', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    write_file(path_of('i'), huge, 0600);
    leave('j', "hostile", "k", "1700000000\nu1\n", 0600);
    snprintf(other, sizeof other, "%s/linked", records);
    assert_int_equal(link(path_of('j'), other), 0);
    assert_int_equal(symlink(other, path_of('k')), 0);
    assert_int_equal(mkdir(path_of('l'), 0700), 0);
    server_rules("9 PUT /hostile/small body/header-ETag=%22abc%22\n");
    put_small("hostile");
    assert_int_equal(log_count("/hostile/k"), 0);
    assert_int_equal(log_count("/elsewhere/k"), 0);
    assert_int_equal(log_count("/hostile"), 0);
    assert_int_equal(count_records(), 12); /* all are there */
    clear_records();
}

static void old_records_go_whoever_they_are_of(void **state) {
    (void)state;
    const struct timespec times[2] = {{.tv_sec = time(NULL) - 8 * 24 * 3600}, {.tv_sec = time(NULL) - 8 * 24 * 3600}};
    char hidden[256];
    leave('m', "gone", "k", "1700000000\nu1\n", 0600);
    assert_int_equal(utimensat(AT_FDCWD, path_of('m'), times, 0), 0);
    leave('n', "old", "k", "1700000000\nu1\n", 0600);
    assert_int_equal(utimensat(AT_FDCWD, path_of('n'), times, 0), 0);
    leave('o', "gone", "k", "1700000000\nu1\n", 0600);
    snprintf(hidden, sizeof hidden, "%s/.%026d", records, 0);
    write_file(hidden, "", 0600);
    assert_int_equal(utimensat(AT_FDCWD, hidden, times, 0), 0);
    server_rules("9 PUT /old/small body/header-ETag=%22abc%22\n9 DELETE /old/k?* status-500\n");
    put_small("old");
    assert_true(log_has("/old/k", "DELETE "));
    assert_int_equal(count_records(), 1);
    assert_int_equal(access(path_of('o'), F_OK), 0);
    clear_records();
}

static void credentials_that_may_not_abort_leave_it_to_others(void **state) {
    (void)state;
    leave('p', "foreign", "k", "1700000000\nu1\n", 0600);
    server_rules("9 PUT /foreign/small body/header-ETag=%22abc%22\n9 DELETE /foreign/k?* status-403\n");
    put_small("foreign");
    assert_int_equal(log_count("/foreign/k"), 1);
    assert_int_equal(count_records(), 1);
    server_rules("9 PUT /foreign/small body/header-ETag=%22abc%22\n9 DELETE /foreign/k?* status-404\n");
    put_small("foreign");
    assert_int_equal(count_records(), 0);
}

static void put_large(ci_storage *s) {
    _cleanup_free_ char *data = calloc(1, 6 * MIB);
    assert_int_equal(put(s, "k", data, 6 * MIB, NULL), CI_OK);
}

/* Another user can make it first, or a link. */
static void a_folder_that_is_not_ours_alone_is_not_used(void **state) {
    (void)state;
    char other[160];
    snprintf(other, sizeof other, "%s-other", records);
    for (int i = 0; i < 3; i++) {
        char *text = NULL;
        assert_int_equal(mkdir(i == 1 ? other : records, i == 0 ? 0750 : 0700), 0);
        assert_int_equal(i == 1 ? symlink(other, records) : 0, 0);
        if (i == 2 && geteuid() == 0)
            assert_int_equal(chown(records, 61234, 61234), 0);
        if (i == 2 && geteuid() != 0)
            assert_int_equal(chmod(records, 0500), 0);
        server_rules("9 POST /unused/k?uploads=* text-<R><UploadId>u1<%2FUploadId><%2FR>\n"
                     "9 PUT /unused/k?* body/header-ETag=%22part%22\n"
                     "9 POST /unused/k?uploadId=* body/text-<R><ETag>%22x-2%22<%2FETag><%2FR>\n");
        ci_storage *s = new_storage("unused");
        put_large(s);
        assert_int_equal(cii_storage_describe(s, &text), CI_OK);
        if (i < 2 || geteuid() == 0)
            assert_non_null(strstr(text, "unrecorded: "));
        free(text);
        ci_storage_free(s);
        assert_int_equal(count_records(), 0);
        clear_records();
    }
    assert_int_equal(rmdir(other), 0);
}

/* --- given up unanswered ------------------------------------------------------------------------------------------ */

static void give_up_while_it_is_created(ci_storage *s, const char *log) {
    _cleanup_free_ char *data = calloc(1, 6 * MIB);
    source from = {.data = data, .size = 6 * MIB};
    ci_op *op = start_put(s, &PUT_REQUEST("k"), &from);
    while (log_count(log) == 0) {
        assert_int_equal(op->ops->process(op, NULL), 0);
        if (op->ops->fd(op) >= 0)
            cii_fd_wait(op->ops->fd(op), POLLIN, 20);
    }
    op->ops->free(op);
}

/* The server makes it after some looks that were in vain. */
static void set_late(const char *bucket, unsigned looks_in_vain) {
    char rules[1024], begun[32];
    time_t now = time(NULL);
    strftime(begun, sizeof begun, "%Y-%m-%dT%H:%M:%S.000Z", gmtime(&now));
    snprintf(rules, sizeof rules,
             "9 PUT /%1$s/small body/header-ETag=%%22abc%%22\n"
             "1 POST /%1$s/k?uploads=* stall\n"
             "1 GET /%1$s?*prefix=&* text-<R><%%2FR>\n"
             "%2$u GET /%1$s?* text-<R><%%2FR>\n"
             "1 GET /%1$s?* text-<R><Upload><Key>k<%%2FKey><UploadId>u9<%%2FUploadId><Initiated>%3$s<%%2FInitiated>"
             "<%%2FUpload><%%2FR>\n",
             bucket, looks_in_vain, begun);
    server_rules(rules);
}

static void an_upload_given_up_unanswered_is_aborted_at_the_storages_end(void **state) {
    (void)state;
    set_late("late", 2);
    ci_storage *s = new_storage("late");
    give_up_while_it_is_created(s, "/late/k");
    ci_storage_free(s);
    assert_true(log_has("/late/k", "> : /late/k?uploadId=u9\n"));
    assert_int_equal(count_records(), 0);
}

static void or_by_the_next_operation(void **state) {
    (void)state;
    set_late("next", 0);
    ci_storage *s = new_storage("next");
    give_up_while_it_is_created(s, "/next/k");
    for (int i = 0; i < 2; i++) /* the first may begin with the search for old ones */
        assert_int_equal(put_text(s, "small", "x"), CI_OK);
    assert_true(log_has("/next/k", "> : /next/k?uploadId=u9\n"));
    ci_storage_free(s);
    assert_int_equal(count_records(), 0);
}

static int set_up(void **state) {
    int result = server_start(state);
    snprintf(records, sizeof records, "%s/ci-uploads-%u", getenv("TMPDIR"), (unsigned)geteuid());
    return result;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_puts_look_at_the_records),
        cmocka_unit_test(what_is_no_record_is_not_believed),
        cmocka_unit_test(old_records_go_whoever_they_are_of),
        cmocka_unit_test(credentials_that_may_not_abort_leave_it_to_others),
        cmocka_unit_test(a_folder_that_is_not_ours_alone_is_not_used),
        cmocka_unit_test(an_upload_given_up_unanswered_is_aborted_at_the_storages_end),
        cmocka_unit_test(or_by_the_next_operation),
    };
    return cmocka_run_group_tests(tests, set_up, server_stop);
}
