/* The workspace as a session uses it: names and keys, what a preload and a push cost in requests, manifest and progress. */
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/common.h"
#include "base/json.h"
#include "fixture.h"
#include "sandbox/sandbox.h"

static int set_up(void **state) {
    (void)state;
    return fixture_set_up(1);
}

static void open_with(const ci_session_options *options) {
    ci_error *error = NULL;
    if (ci_session_open(options, &session, &error) < 0)
        fail_msg("%s", ci_error_message(error));
}

/* With a storage that makes no step as long as there is anything else to do. */
static void open_held(const ci_session_options *options) {
    ci_call *call = NULL;
    hold();
    assert_int_equal(ci_session_open_start(options, &call, NULL), CI_OK);
    beat_until_done(call);
    assert_int_equal(ci_call_take_session(call, &session, NULL), CI_OK);
    ci_call_free(call);
    hold_no_more();
}

/* In the folder of the workspace. */
static void shell(const char *command) {
    char text[1024];
    snprintf(text, sizeof text, "cd %s && { %s; }", folder, command);
    assert_int_equal(system(text), 0);
}

static void run_quietly(const char *command) {
    assert_prints(command, "");
}

static ci_result *push(const ci_push_options *options) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_push_to_workspace(session, NULL, 0, options, &result, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    return result;
}

static void assert_requests(int lists, int gets, int puts, int stats) {
    assert_int_equal(logged.lists, lists);
    assert_int_equal(logged.gets, gets);
    assert_int_equal(logged.puts, puts);
    assert_int_equal(logged.stats, stats);
    logged.lists = logged.gets = logged.puts = logged.stats = logged.most_ops = 0;
}

static int count(const ci_result *result, int32_t list, int32_t status) {
    int found = 0;
    for (size_t i = 0; i < ci_result_file_count(result, list); i++) {
        ci_file_info info = CI_FILE_INFO_INIT;
        ci_result_file(result, list, i, &info);
        found += info.status == status;
    }
    return found;
}

static ci_file_info find(const ci_result *result, int32_t list, const char *path) {
    ci_file_info info = CI_FILE_INFO_INIT;
    for (size_t i = 0; i < ci_result_file_count(result, list); i++) {
        ci_result_file(result, list, i, &info);
        if (strcmp(info.path, path) == 0)
            return info;
    }
    fail_msg("%s is not listed", path);
    return info;
}

/* All there is: how many were saved and how many were there already. */
static void assert_push(const ci_push_options *options, int saved, int unchanged) {
    ci_result *result = push(options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_SAVED), saved);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_UNCHANGED), unchanged);
    ci_result_free(result);
}

/* --- names and keys ------------------------------------------------------------------------------------------------ */

static void a_host_adds_prefixes_of_its_own(void **state) {
    (void)state;
    shell("mkdir -p office/ann/q1 shared uploads secret && echo 1 > office/ann/q1/plan.txt && echo 2 > shared/s.txt &&"
          "echo 3 > uploads/u.txt && echo 4 > secret/x && echo 5 > office/other");
    const char *prefixes[] = {"documents/=office/{user}/", "a/b/=shared", NULL};
    ci_session_options options = usual();
    options.user = "ann";
    options.prefixes = prefixes;
    open_with(&options);
    assert_prints("ls", "u.txt\n"); /* only uploads are brought */
    run_quietly("echo 6 > out.txt");
    ci_result_free(push(NULL));

    static const char *const names[] = {"a/b/s.txt", "code-interpreter/out.txt", "documents/q1/plan.txt",
                                        "uploads/u.txt"};
    ci_result *result = NULL;
    assert_int_equal(ci_workspace_list(session, "", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), CII_ELEMENTS(names));
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        ci_file_info info = CI_FILE_INFO_INIT;
        assert_int_equal(ci_result_file(result, CI_FILES_MAIN, i, &info), CI_OK);
        assert_string_equal(info.path, names[i]);
    }
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "doc", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "documents/q2", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 0);
    ci_result_free(result);
    assert_int_equal(ci_workspace_stat(session, "documents/q1/plan.txt", &result, NULL), CI_OK);
    ci_result_free(result);
    assert_int_equal(ci_workspace_remove(session, "documents/q1/plan.txt", NULL), CI_OK);
    assert_false(is_here("office/ann/q1/plan.txt"));
    result = NULL;
    FAILS(CI_ERR_INVALID, "begins with none of \"a/b/\"", ci_workspace_stat(session, "secret/x", &result, &error));
    FAILS(CI_ERR_INVALID, "", ci_workspace_stat(session, "documents/../other", &result, &error));
    char *json = NULL;
    assert_int_equal(ci_session_info(session, &json, NULL), CI_OK);
    assert_non_null(strstr(json, "\"documents/\":\"office/ann/\""));
    ci_free(json);
}

static void prefixes_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *prefixes[3];
        const char *why;
    } cases[] = {
        {{"documents=x/"}, "\"documents=x/\" is not allowed: entries have the form NAME/=KEY PREFIX/"},
        {{"=x/"}, "entries have the form"},
        {{"documents/"}, "entries have the form"},
        {{"../=x/"}, "prefixes \"../\""},
        {{"a//=x/"}, "prefixes \"a//\""},
        {{"d/=../x/"}, "prefixes \"../x/\""},
        {{"d/={user}/"}, "has {user}, but user is not set"},
        {{"d/={other}/"}, "only {user} and {session} are replaced"},
        {{"uploads/=x/"}, "\"uploads/\" is there already"},
        {{"d/=x/", "d/=y/"}, "\"d/\" is there already"},
        {{"d/=x/", "d/e/=y/"}, "\"d/e/\" lies below \"d/\""},
        {{"uploads/e/=y/"}, "\"uploads/e/\" lies below \"uploads/\""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        ci_session_options options = usual();
        options.prefixes = cases[i].prefixes;
        ci_session *opened = NULL;
        FAILS(CI_ERR_INVALID, cases[i].why, ci_session_open(&options, &opened, &error));
    }
}

/* --- preload ------------------------------------------------------------------------------------------------------- */

static void uploads_come_eight_at_a_time_and_are_told_in_order(void **state) {
    (void)state;
    make_uploads(40);
    ci_session_options options = usual();
    open_held(&options);
    assert_int_equal(logged.most_ops, 8);
    assert_requests(1, 40, 0, 0);
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_int_equal(count(report, CI_FILES_PRELOAD, CI_FILE_PRELOADED), 40);
    for (int i = 0; i < 40; i++) {
        char name[16];
        ci_file_info info = CI_FILE_INFO_INIT;
        snprintf(name, sizeof name, "%02d.txt", i);
        ci_result_file(report, CI_FILES_PRELOAD, (size_t)i, &info);
        assert_string_equal(info.path, name);
    }
    ci_result_free(report);
}

static void what_is_not_new_costs_a_list_a_thousand(void **state) {
    (void)state;
    shell("for i in $(seq 1200); do echo $i > uploads/$i; done");
    open_session();
    assert_requests(2, 1200, 0, 0);
    assert_prints("ls | wc -l | tr -d ' '", "1200\n");
    assert_requests(2, 0, 0, 0);
    write_here("uploads/7", "seven");
    assert_prints("cat 7", "seven");
    assert_requests(2, 1, 0, 0);
}

static void options_save_the_list(void **state) {
    (void)state;
    make_uploads(3);
    ci_session_options options = usual();
    options.flags = CI_SESSION_PRELOAD_ONCE;
    open_with(&options);
    assert_requests(1, 3, 0, 0);
    assert_prints("ls | wc -l | tr -d ' '", "3\n");
    assert_requests(0, 0, 0, 0);
    ci_session_close(session);
    options.flags = CI_SESSION_NO_PRELOAD;
    open_with(&options);
    assert_prints("ls", "");
    assert_requests(0, 0, 0, 0);
}

static void one_upload_that_fails_does_not_stop_the_rest(void **state) {
    (void)state;
    make_uploads(20);
    strcpy(logged.refused, "07");
    open_session();
    assert_requests(1, 20, 0, 0);
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_int_equal(count(report, CI_FILES_PRELOAD, CI_FILE_PRELOADED), 19);
    assert_string_equal(find(report, CI_FILES_PRELOAD, "07.txt").error, "refused");
    ci_result_free(report);
    assert_prints("ls | wc -l | tr -d ' '", "19\n");
}

static void write_newer(const char *key) {
    if (strcmp(key, "uploads/02.txt") != 0)
        return;
    logged.on_get = NULL;
    write_here(key, "newer than the list");
}

static void an_upload_that_changed_since_the_list_is_fetched_once_and_as_it_is(void **state) {
    (void)state;
    make_uploads(4);
    logged.on_get = write_newer;
    open_session();
    assert_requests(1, 4, 0, 0);
    assert_prints("cat 02.txt", "newer than the list");
    assert_requests(1, 0, 0, 0);
    write_here("uploads/02.txt", "newest");
    assert_prints("cat 02.txt", "newest");
    assert_requests(1, 1, 0, 0);
}

/* One that comes in many steps. */
static void make_upload(const char *name, off_t size) {
    char path[256];
    write_here(name, "");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(truncate(path, size), 0);
}

static void archives_are_unpacked_while_others_come(void **state) {
    (void)state;
    open_session();
    ci_result *result = end(start("pwd", 0));
    char root[256], unpacked[300], large[300];
    assert_int_equal(sscanf(ci_result_stdout(result, NULL), "%255s", root), 1);
    ci_result_free(result);
    snprintf(unpacked, sizeof unpacked, "%s/early/x", root);
    snprintf(large, sizeof large, "%s/large", root);
    shell("echo x > x && tar cf uploads/early.tar x");
    make_upload("uploads/large", 40 << 20);
    ci_call *call = start("cat early/x", 0);
    while (access(unpacked, F_OK) < 0)
        assert_int_equal(ci_call_wait(call, 1), CI_CALL_RUNNING);
    assert_int_not_equal(access(large, F_OK), 0);
    ci_result_free(end(call));
    assert_int_equal(access(large, F_OK), 0);
}

static void names_of_unpacked_folders_do_not_hang_on_what_comes_first(void **state) {
    (void)state;
    shell(
        "echo x > x && tar cf uploads/data.tar x && tar cf uploads/data.zip.tar x && mkdir 'uploads/data (2)' uploads/data");
    make_upload("uploads/data (2)/y", 4 << 20);
    for (int i = 1; i <= 8; i++) { /* take all places when the archive has come and the last has not begun to */
        char name[32];
        snprintf(name, sizeof name, "uploads/data.z%d", i);
        make_upload(name, 4 << 20);
    }
    make_upload("uploads/data/y", 4 << 20);
    open_session();
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_string_equal(find(report, CI_FILES_PRELOAD, "data.tar").target, "data (3)");
    assert_string_equal(find(report, CI_FILES_PRELOAD, "data.zip.tar").target, "data.zip");
    ci_result_free(report);
    assert_prints("ls -d data*/*", "data (2)/y\ndata (3)/x\ndata.zip/x\ndata/y\n");
}

static int64_t give_zeros(void *user, void *buffer, size_t size) {
    size_t *left = user, n = CII_MIN(size, *left);
    memset(buffer, 0, n);
    *left -= n;
    return (int64_t)n;
}

static void put_zeros(ci_storage *to, const char *key, size_t size) {
    assert_int_equal(ci_storage_write(to, key, NULL, give_zeros, NULL, &size, NULL), CI_OK);
}

static void an_upload_waits_for_one_that_is_a_folder_on_its_way(void **state) {
    (void)state;
    ci_session_options options = usual();
    options.storage = slow_storage(NULL, 1, &logged); /* a folder cannot hold both, a bucket can */
    put_zeros(options.storage, "uploads/a", 4 << 20); /* what is below it would be there first */
    put_zeros(options.storage, "uploads/a/b", 1);
    put_zeros(options.storage, "uploads/a/b/c", 1);
    put_zeros(options.storage, "uploads/ab", 1);
    open_with(&options);
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_int_equal(find(report, CI_FILES_PRELOAD, "a").status, CI_FILE_PRELOADED);
    assert_int_equal(find(report, CI_FILES_PRELOAD, "a/b").status, CI_FILE_FAILED);
    assert_int_equal(find(report, CI_FILES_PRELOAD, "a/b/c").status, CI_FILE_FAILED);
    assert_int_equal(find(report, CI_FILES_PRELOAD, "ab").status, CI_FILE_PRELOADED);
    ci_result_free(report);
    assert_prints("wc -c < a | tr -d ' '", "4194304\n");
    ci_storage_free(options.storage);
}

static ci_status (*inner_put)(void *, const char *, ci_op_read_cb, void *, ci_op **, ci_error **);
static int refusals;

static ci_status crowded_put(void *state, const char *path, ci_op_read_cb read_bytes, void *user, ci_op **ret_op,
                             ci_error **ret_error) {
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "crowded", .message = "no room", .status = CI_ERR_LIMIT};
    if (strcmp(path, "03.txt") == 0 && refusals-- > 0)
        return ci_error_make(&fields, ret_error);
    return inner_put(state, path, read_bytes, user, ret_op, ret_error);
}

static void an_upload_without_room_beside_others_is_tried_again_alone(void **state) {
    (void)state;
    make_uploads(12);
    ci_sandbox_ops ops = *cii_sandbox_ops(sandbox);
    inner_put = ops.file_put;
    ops.file_put = crowded_put;
    for (int times = 1; times <= 2; times++) {
        refusals = times;
        ci_session_options options = usual();
        options.sandbox = disguised(&ops);
        open_held(&options);
        ci_sandbox_free(options.sandbox);
        assert_requests(1, 13, 0, 0);
        ci_result *report = NULL;
        assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
        assert_int_equal(find(report, CI_FILES_PRELOAD, "03.txt").status,
                         times == 1 ? CI_FILE_PRELOADED : CI_FILE_FAILED);
        assert_int_equal(ci_result_file_count(report, CI_FILES_PRELOAD), 12);
        ci_result_free(report);
        ci_session_close(TAKE_PTR(session));
    }
}

/* --- push ---------------------------------------------------------------------------------------------------------- */

static void what_is_unchanged_costs_a_list_a_thousand(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 1200); do echo $i > f$i; done");
    logged.lists = 0;
    assert_push(NULL, 1200, 0);
    assert_requests(1, 0, 1200, 0);
    assert_push(NULL, 0, 1200);
    assert_requests(2, 0, 0, 0);
    run_quietly("echo other > f7; echo 9 > f8");
    logged.lists = 0;
    assert_push(NULL, 2, 1198); /* another size, and another content of the same size */
    assert_requests(2, 0, 2, 0);
}

static void few_files_are_asked_for_one_by_one(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 20); do echo $i > f$i; done");
    logged.lists = 0;
    const char *paths[] = {"f7", "f8"};
    ci_result *result = NULL;
    assert_int_equal(ci_push_to_workspace(session, paths, 2, NULL, &result, NULL), CI_OK);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_SAVED), 2);
    ci_result_free(result);
    assert_requests(0, 0, 2, 2);
}

/* S3 tells those alone who may list that an object is not there; to others it is forbidden. */
static void what_cannot_be_asked_for_is_written(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in 1 2 3; do echo $i > f$i; done");
    logged.forbids_stat = true;
    assert_push(NULL, 3, 0);
    logged.forbids_stat = false;
}

static void few_files_after_many_cost_one_list_in_vain(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 20); do echo $i > f$i; done");
    assert_push(NULL, 20, 0);
    run_quietly("rm f?; rm f1[0-8]");
    logged.lists = 0;
    assert_push(NULL, 0, 2);
    assert_requests(1, 0, 20, 2);
    assert_push(NULL, 0, 2);
    assert_requests(0, 0, 0, 2);
}

static void a_list_begun_early_that_fails_is_begun_anew(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 20); do echo $i > f$i; done");
    assert_push(NULL, 20, 0);
    logged.lists = logged.puts = 0;
    logged.fail_next_list = true;
    assert_push(NULL, 0, 20);
    assert_requests(2, 0, 0, 0);
}

static void a_list_is_read_no_further_than_it_pays(void **state) {
    (void)state;
    shell("mkdir -p code-interpreter/d && cd code-interpreter && for i in $(seq 2500); do : > m$i; done");
    open_session();
    run_quietly("mkdir x; for i in 1 2 3 4 5; do echo $i > a$i; echo $i > z$i; done");
    logged.lists = 0;
    assert_push(NULL, 10, 0);
    assert_requests(2, 0, 10, 5); /* the five behind the second page are asked for */
    run_quietly("rm *[0-9]; for i in $(seq 20); do echo $i > x/f$i; done");
    logged.lists = 0;
    assert_push(NULL, 20, 0);
    assert_requests(2, 0, 20, 0); /* only x/f… was listed, and a page in vain of what the last push looked for */
    run_quietly("rm x/*; for i in 1 2 3 4 5 6 7 8 9; do echo $i > a$i; done; echo b > b");
    logged.lists = 0;
    assert_push(NULL, 5, 5);
    assert_requests(2, 0, 5, 0); /* x/f… in vain; nothing is looked for behind the first page */
}

static void one_file_that_is_refused_does_not_stop_the_rest(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 10 49); do echo $i > f$i; done");
    logged.lists = 0;
    strcpy(logged.refused, "f30");
    ci_result *result = push(NULL);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_SAVED), 39);
    ci_file_info info = find(result, CI_FILES_MAIN, "f30");
    assert_int_equal(info.status, CI_FILE_FAILED);
    assert_string_equal(info.error, "refused");
    info = find(result, CI_FILES_MAIN, "f31");
    assert_string_equal(info.key, "code-interpreter/f31");
    assert_int_equal(info.size_bytes, 3);
    assert_int_equal(strlen(info.sha256), 64);
    ci_result_free(result);
    assert_requests(1, 0, 40, 0);
    *logged.refused = 0;
    assert_push(NULL, 1, 39);
    assert_requests(1, 0, 1, 0);
}

static void a_push_that_failed_half_way_is_repeated_at_the_cost_of_what_is_missing(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in $(seq 10 49); do echo $i > f$i; done");
    logged.lists = 0;
    logged.dies_after = 15;
    ci_result *result = push(NULL);
    int saved = count(result, CI_FILES_MAIN, CI_FILE_SAVED);
    assert_int_equal(saved, 14);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_FAILED), 26);
    ci_result_free(result);
    assert_requests(1, 0, 40, 0);
    result = push(NULL); /* nor can it be listed or asked now */
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_FAILED), 40);
    ci_result_free(result);
    assert_requests(2, 0, 0, 40);
    logged.dies_after = 0;
    assert_push(NULL, 40 - saved, saved);
    assert_requests(1, 0, 40 - saved, 0);
}

static void a_new_session_asks_for_what_may_be_the_same(void **state) {
    (void)state;
    ci_session_options options = usual();
    options.storage = slow_storage(NULL, 1, &logged);
    const char *make = "for i in $(seq 10 29); do echo $i > f$i; done";
    open_with(&options);
    run_quietly(make);
    assert_push(NULL, 20, 0);
    ci_session_close(TAKE_PTR(session));
    open_with(&options);
    run_quietly(make);
    run_quietly("echo 8 > f12; echo longer > f11");
    logged.lists = logged.puts = 0;
    assert_push(NULL, 2, 18);
    assert_requests(1, 0, 2, 18); /* another size needs no question */
    assert_push(NULL, 0, 20);
    assert_requests(1, 0, 0, 0);
    ci_storage_free(options.storage);
}

static void large_files_go_two_at_a_time(void **state) {
    (void)state;
    open_session();
    run_quietly("for i in 1 2 3 4; do truncate -s 9M large$i; done");
    logged.most_ops = 0;
    hold();
    ci_call *call = NULL;
    assert_int_equal(ci_push_to_workspace_start(session, NULL, 0, NULL, &call, NULL), CI_OK);
    beat_until_done(call);
    hold_no_more();
    ci_result *result = end(call);
    assert_int_equal(count(result, CI_FILES_MAIN, CI_FILE_SAVED), 4);
    ci_result_free(result);
    assert_int_equal(logged.most_ops, 2);
}

/* --- manifest ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const cii_json *object, const char *key) {
    return cii_json_text_of(cii_json_get(object, key), NULL);
}

static cii_json *read_manifest(const char *name) {
    char path[256];
    static char text[1 << 20];
    cii_json *root = NULL;
    snprintf(path, sizeof path, "%s/code-interpreter/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    return root;
}

static void a_manifest_is_written_last_and_lists_all(void **state) {
    (void)state;
    write_here("uploads/up.txt", "up");
    ci_session_options options = usual();
    options.manifest = "all/manifest.json";
    open_with(&options);
    run_quietly("mkdir d; for i in $(seq 600); do echo $i > d/f$i; done");
    logged.lists = logged.gets = 0;
    for (int round = 0; round < 2; round++) {
        ci_result *result = push(NULL);
        assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
        assert_string_equal(logged.last_put, "code-interpreter/all/manifest.json");
        assert_requests(1, 0, round == 0 ? 601 : 1, 0);
        ci_file_info info = CI_FILE_INFO_INIT;
        ci_result_file(result, CI_FILES_MAIN, ci_result_file_count(result, CI_FILES_MAIN) - 1, &info);
        assert_string_equal(info.key, "code-interpreter/all/manifest.json");
        assert_int_equal(info.status, CI_FILE_SAVED);

        cii_json *root = read_manifest("all/manifest.json");
        assert_int_equal(cii_json_int_of(cii_json_get(root, "version")), 1);
        assert_string_equal(text_of(root, "session"), ci_session_id(session));
        assert_int_equal(strlen(text_of(root, "time")), strlen("2026-01-31T12:00:00Z"));
        const cii_json *files = cii_json_get(root, "files");
        assert_int_equal(cii_json_count(files), 600); /* not the upload, which was not saved */
        for (size_t i = 0, at = 0; i < 600; i++, at++) {
            const cii_json *file = cii_json_at(files, i);
            do {
                ci_result_file(result, CI_FILES_MAIN, at, &info);
            } while (!info.key && ++at); /* the upload */
            assert_string_equal(text_of(file, "name"), info.path);
            assert_string_equal(text_of(file, "sha256"), info.sha256);
            assert_int_equal(cii_json_int_of(cii_json_get(file, "size")), info.size_bytes);
            assert_non_null(text_of(file, "etag"));
        }
        cii_json_free(root);
        ci_result_free(result);
    }
    ci_push_options none = CI_PUSH_OPTIONS_INIT;
    none.manifest = "";
    assert_push(&none, 0, 601);
}

static void no_manifest_is_written_where_a_file_failed(void **state) {
    (void)state;
    ci_push_options options = CI_PUSH_OPTIONS_INIT;
    options.manifest = "m.json";
    open_session();
    run_quietly("echo 1 > f1; echo 2 > f2");
    assert_push(&options, 3, 0);
    run_quietly("echo 3 > f1; echo 4 > f2; echo 5 > m.json");
    strcpy(logged.refused, "f2");
    ci_result *result = push(&options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 4);
    ci_file_info info = CI_FILE_INFO_INIT;
    ci_result_file(result, CI_FILES_MAIN, 3, &info);
    assert_string_equal(info.path, "m.json");
    assert_int_equal(info.status, CI_FILE_SKIPPED);
    assert_string_equal(info.error, "not written: 2 files have failed");
    assert_string_equal(find(result, CI_FILES_MAIN, "m.json").error,
                        "not saved: the manifest of this push has that name");
    ci_result_free(result);
    cii_json *root = read_manifest("m.json"); /* as it was */
    assert_int_equal(cii_json_count(cii_json_get(root, "files")), 2);
    cii_json_free(root);

    strcpy(logged.refused, "m.json");
    run_quietly("rm m.json");
    result = push(&options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    assert_string_equal(find(result, CI_FILES_MAIN, "m.json").error, "refused");
    ci_result_free(result);
    options.manifest = "../m.json";
    FAILS(CI_ERR_INVALID, "manifest \"../m.json\"", ci_push_to_workspace(session, NULL, 0, &options, &result, &error));
    ci_session_options session_options = usual();
    session_options.manifest = "a//b";
    ci_session *opened = NULL;
    FAILS(CI_ERR_INVALID, "manifest \"a//b\"", ci_session_open(&session_options, &opened, &error));
}

/* --- progress ------------------------------------------------------------------------------------------------------ */

static struct {
    ci_progress last;
    int64_t began_us, last_us;
    int count;
    uint64_t least, most; /* bytes that there may be in all */
    pthread_t thread;
} told;

static void on_progress(void *user, const ci_progress *progress) {
    assert_ptr_equal(user, &told);
    assert_true(pthread_equal(told.thread, pthread_self()));
    assert_int_equal(progress->struct_size, sizeof *progress);
    assert_true(progress->files_done >= told.last.files_done && progress->bytes_done >= told.last.bytes_done);
    assert_true(progress->files_done <= progress->files_total && progress->bytes_done <= progress->bytes_total);
    assert_in_range(progress->bytes_total, told.least, told.most);
    told.count++;
    told.last_us = cii_clock_us();
    told.last = *progress;
}

static void assert_told(const char *what, uint64_t files, uint64_t bytes) {
    assert_true(told.count >= 2);
    assert_true(told.count - 2 <= (told.last_us - told.began_us) / 100000); /* but for the first and the last */
    assert_string_equal(told.last.what, what);
    assert_int_equal(told.last.files_done, files);
    assert_int_equal(told.last.files_total, files);
    assert_int_equal(told.last.bytes_done, bytes);
    assert_int_equal(told.last.bytes_total, bytes);
    memset(&told.last, 0, sizeof told.last);
    told.count = 0;
    told.began_us = cii_clock_us();
}

static void progress_is_told_now_and_then_and_at_the_end(void **state) {
    (void)state;
    make_upload("uploads/large1", 40 << 20);
    make_upload("uploads/large2", 40 << 20);
    write_here("uploads/small", "small");
    ci_session_options options = usual();
    options.progress = on_progress;
    options.progress_user = &told;
    told.thread = pthread_self();
    told.began_us = cii_clock_us();
    told.least = told.most = (UINT64_C(80) << 20) + 5;
    open_with(&options);
    assert_told("preload", 3, told.most);
    run_quietly("rm *; for i in 1 2 3 4 5; do truncate -s 20M f$i; done; echo 1 > small; : > empty");
    assert_int_equal(told.count, 0); /* nothing was brought */
    told.least = told.most = (UINT64_C(100) << 20) + 2;
    assert_push(NULL, 7, 0);
    assert_told("push", 7, told.most);
    told.least = 0; /* what is found unchanged counts no more */
    run_quietly("truncate -s 20M f6");
    told.most += 20 << 20;
    assert_push(NULL, 1, 7);
    assert_told("push", 8, 20 << 20);
    run_quietly("rm *; : > empty");
    assert_push(NULL, 0, 1);
    assert_int_equal(told.last.bytes_done, 0); /* it may have been told of, if that took long */
    memset(&told.last, 0, sizeof told.last);
    told.count = 0;
    run_quietly("echo 1 > new");
    assert_push(NULL, 1, 1);
    assert_int_not_equal(told.count, 0);
    assert_int_equal(told.last.bytes_done, 2);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(a_host_adds_prefixes_of_its_own),
        WITH(prefixes_that_cannot_be_are_refused),
        WITH(uploads_come_eight_at_a_time_and_are_told_in_order),
        WITH(what_is_not_new_costs_a_list_a_thousand),
        WITH(options_save_the_list),
        WITH(one_upload_that_fails_does_not_stop_the_rest),
        WITH(an_upload_that_changed_since_the_list_is_fetched_once_and_as_it_is),
        WITH(archives_are_unpacked_while_others_come),
        WITH(names_of_unpacked_folders_do_not_hang_on_what_comes_first),
        WITH(an_upload_waits_for_one_that_is_a_folder_on_its_way),
        WITH(an_upload_without_room_beside_others_is_tried_again_alone),
        WITH(what_is_unchanged_costs_a_list_a_thousand),
        WITH(few_files_are_asked_for_one_by_one),
        WITH(what_cannot_be_asked_for_is_written),
        WITH(few_files_after_many_cost_one_list_in_vain),
        WITH(a_list_begun_early_that_fails_is_begun_anew),
        WITH(a_list_is_read_no_further_than_it_pays),
        WITH(one_file_that_is_refused_does_not_stop_the_rest),
        WITH(a_push_that_failed_half_way_is_repeated_at_the_cost_of_what_is_missing),
        WITH(a_new_session_asks_for_what_may_be_the_same),
        WITH(large_files_go_two_at_a_time),
        WITH(a_manifest_is_written_last_and_lists_all),
        WITH(no_manifest_is_written_where_a_file_failed),
        WITH(progress_is_told_now_and_then_and_at_the_end),
    };
    return cmocka_run_group_tests_name("the workspace of a session", tests, NULL, NULL);
}
