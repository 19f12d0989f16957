/* What every backend has to keep to, seen from the public interface: files, uploads, what is saved, the workspace,
 * commands. */
#include "conformance.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static ci_result *push(const char *const *paths, size_t count) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_push_to_workspace(session, paths, count, NULL, &result, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    return result;
}

/* --- uploads ------------------------------------------------------------------------------------------------------- */

static void uploads_are_there_before_the_first_call(void **state) {
    (void)state;
    shell("mkdir -p uploads/a/b && echo one > uploads/one.txt && echo two > uploads/a/b/two.txt");
    open_usual();
    assert_prints("cat one.txt a/b/two.txt", "one\ntwo\n");
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(report, CI_FILES_PRELOAD), 2);
    const ci_file_info *info = must(report, CI_FILES_PRELOAD, "a/b/two.txt", CI_FILE_PRELOADED);
    assert_string_equal(info->key, "uploads/a/b/two.txt");
    assert_int_equal(info->size_bytes, 4);
    assert_non_null(info->sha256);
    ci_result_free(report);
}

static void new_uploads_are_told_once_and_appear_before_the_next_call(void **state) {
    (void)state;
    write_here("uploads/first.txt", "1");
    open_usual();
    ci_result *result = command("true");
    must(result, CI_FILES_PRELOAD, "first.txt", CI_FILE_PRELOADED);
    ci_result_free(result);
    write_here("uploads/later.txt", "2");
    result = command("cat later.txt");
    assert_string_equal(ci_result_stdout(result, NULL), "2");
    assert_int_equal(ci_result_file_count(result, CI_FILES_PRELOAD), 1);
    must(result, CI_FILES_PRELOAD, "later.txt", CI_FILE_PRELOADED);
    ci_result_free(result);
    result = command("true");
    assert_int_equal(ci_result_file_count(result, CI_FILES_PRELOAD), 0);
    ci_result_free(result);
}

static void changed_uploads_replace_untouched_files_only(void **state) {
    (void)state;
    write_here("uploads/kept.txt", "old");
    write_here("uploads/mine.txt", "old");
    open_usual();
    run_quietly("echo mine > mine.txt");
    write_here("uploads/kept.txt", "newer");
    write_here("uploads/mine.txt", "newer");
    ci_result *result = command("cat kept.txt mine.txt");
    assert_string_equal(ci_result_stdout(result, NULL), "newermine\n");
    must(result, CI_FILES_PRELOAD, "kept.txt", CI_FILE_PRELOADED);
    must(result, CI_FILES_PRELOAD, "mine.txt", CI_FILE_CONFLICT);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
    result = command("true");
    assert_int_equal(ci_result_file_count(result, CI_FILES_PRELOAD), 0);
    ci_result_free(result);
}

static void archives_are_unpacked_beside_themselves(void **state) {
    (void)state;
    shell("mkdir -p t/in && echo x > t/in/x.txt && echo run > t/run.sh && chmod +x t/run.sh &&"
          "tar -C t -czf uploads/data.tar.gz in run.sh && (cd t && zip -q ../uploads/z.zip in/x.txt) && rm -r t");
    open_usual();
    assert_prints("cat data/in/x.txt z/in/x.txt && ls -I log", "x\nx\ndata\ndata.tar.gz\nz\nz.zip\n");
    if (can(CI_CAP_HOST_PATHS))
        assert_prints("test -x data/run.sh && echo yes", "yes\n");
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    const ci_file_info *info = must(report, CI_FILES_PRELOAD, "data.tar.gz", CI_FILE_UNPACKED);
    assert_string_equal(info->target, "data");
    assert_true(info->entry_count >= 2);
    ci_result_free(report);
}

static void a_taken_folder_gets_a_number(void **state) {
    (void)state;
    shell("mkdir -p t uploads/a && echo x > t/x && echo y > uploads/a/y && tar -C t -cf uploads/a.tar x && rm -r t");
    open_usual();
    assert_prints("cat a/y 'a (2)/x'", "y\nx\n");
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    assert_string_equal(must(report, CI_FILES_PRELOAD, "a.tar", CI_FILE_UNPACKED)->target, "a (2)");
    ci_result_free(report);
}

static void hostile_and_damaged_archives_do_no_harm(void **state) {
    (void)state;
    shell("mkdir -p t && echo x > t/x && ln -s /etc/passwd t/link && tar -C t -cf uploads/l.tar x link &&"
          "tar -C t -cPf uploads/up.tar --transform 's,x,../../evil,' x && echo nonsense > uploads/no.zip && rm -r t");
    open_usual();
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    const ci_file_info *info = must(report, CI_FILES_PRELOAD, "l.tar", CI_FILE_UNPACKED);
    assert_int_equal(info->refused_count, 1);
    must(report, CI_FILES_PRELOAD, "link", CI_FILE_SKIPPED);
    info = entry(report, CI_FILES_PRELOAD, "no.zip");
    assert_non_null(info);
    assert_int_equal(info->status, CI_FILE_PRELOADED);
    assert_non_null(info->error);
    ci_result_free(report);
    assert_prints("cat l/x no.zip; find .. -name evil 2>/dev/null", "x\nnonsense\n");
    if (now->network == CI_NETWORK_HOST) /* nothing is isolated */
        assert_prints("ls -A ../stage", "");
}

static void an_archive_over_its_limit_leaves_nothing(void **state) {
    (void)state;
    shell("mkdir t && for i in 1 2 3 4 5 6; do echo $i > t/$i; done && tar -C t -cf uploads/many.tar . && rm -r t");
    ci_session_options options = usual();
    options.archive_entry_count = 3;
    open_with(&options);
    assert_prints("ls -I log", "many.tar\n");
    ci_result *report = NULL;
    assert_int_equal(ci_session_preload_report(session, &report, NULL), CI_OK);
    const ci_file_info *info = must(report, CI_FILES_PRELOAD, "many.tar", CI_FILE_PRELOADED);
    assert_non_null(info->error);
    assert_null(info->target);
    ci_result_free(report);
}

static void flags_switch_the_preload_off(void **state) {
    (void)state;
    write_here("uploads/one.txt", "1");
    ci_session_options options = usual();
    options.flags = CI_SESSION_NO_PRELOAD;
    open_with(&options);
    assert_prints("ls -I log", "");
    ci_session_close(session);
    options.flags = CI_SESSION_PRELOAD_ONCE;
    open_with(&options);
    write_here("uploads/two.txt", "2");
    assert_prints("ls -I log", "one.txt\n");
}

/* --- push ---------------------------------------------------------------------------------------------------------- */

static void push_saves_everything_and_only_what_changed(void **state) {
    (void)state;
    write_here("uploads/up.csv", "1,2");
    open_usual();
    run_quietly("mkdir -p a/b 'sp ace' && echo 1 > a/data.csv && echo 2 > a/b/data.csv && echo ü > 'sp ace/ü.txt' &&"
                ": > empty && head -c 3000000 /dev/zero > large");
    ci_result *result = push(NULL, 0);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    const ci_file_info *info = must(result, CI_FILES_MAIN, "a/b/data.csv", CI_FILE_SAVED);
    assert_string_equal(info->key, "code-interpreter/a/b/data.csv");
    assert_string_equal(info->sha256, "53c234e5e8472b6ac51c1ae1cab3fe06fad053beb8ebfd8977b010655bfdd3c3");
    must(result, CI_FILES_MAIN, "sp ace/ü.txt", CI_FILE_SAVED);
    must(result, CI_FILES_MAIN, "empty", CI_FILE_SAVED);
    assert_int_equal(must(result, CI_FILES_MAIN, "large", CI_FILE_SAVED)->size_bytes, 3000000);
    must(result, CI_FILES_MAIN, "up.csv", CI_FILE_UNCHANGED);
    ci_result_free(result);
    assert_holds("code-interpreter/a/data.csv", "1\n");
    assert_holds("code-interpreter/a/b/data.csv", "2\n");
    assert_absent("code-interpreter/up.csv");

    run_quietly("echo 3 > a/data.csv; rm a/b/data.csv; echo 9 > up.csv");
    result = push(NULL, 0);
    must(result, CI_FILES_MAIN, "a/data.csv", CI_FILE_SAVED);
    must(result, CI_FILES_MAIN, "large", CI_FILE_UNCHANGED);
    must(result, CI_FILES_MAIN, "up.csv", CI_FILE_SAVED);
    ci_result_free(result);
    assert_holds("code-interpreter/a/data.csv", "3\n");
    assert_holds("code-interpreter/a/b/data.csv", "2\n"); /* deleted in the sandbox, kept in the workspace */
}

static void same_size_and_time_do_not_hide_a_change(void **state) {
    (void)state;
    open_usual();
    run_quietly("echo 1 > f && touch -d 2020-01-01 f");
    ci_result_free(push(NULL, 0));
    run_quietly("echo 2 > f && touch -d 2020-01-01 f");
    ci_result *result = push(NULL, 0);
    must(result, CI_FILES_MAIN, "f", CI_FILE_SAVED);
    ci_result_free(result);
    assert_holds("code-interpreter/f", "2\n");
}

static void what_vanished_from_the_workspace_is_saved_again(void **state) {
    (void)state;
    open_usual();
    run_quietly("echo 1 > f");
    ci_result_free(push(NULL, 0));
    shell("rm code-interpreter/f");
    ci_result *result = push(NULL, 0);
    must(result, CI_FILES_MAIN, "f", CI_FILE_SAVED);
    ci_result_free(result);
    assert_holds("code-interpreter/f", "1\n");
}

static void push_skips_what_is_no_file_or_litter(void **state) {
    (void)state;
    open_usual();
    run_quietly("mkdir -p node_modules/x p/__pycache__ && echo 1 > node_modules/x/y && echo 1 > p/__pycache__/z &&"
                "ln -s /etc/passwd link && mkfifo pipe && echo 1 > \"$(printf 'bad\\377')\" && echo 1 > p/good");
    ci_result *result = push(NULL, 0);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    must(result, CI_FILES_MAIN, "node_modules", CI_FILE_SKIPPED);
    must(result, CI_FILES_MAIN, "p/__pycache__", CI_FILE_SKIPPED);
    assert_string_equal(must(result, CI_FILES_MAIN, "link", CI_FILE_SKIPPED)->error, "a link");
    must(result, CI_FILES_MAIN, "pipe", CI_FILE_SKIPPED);
    assert_non_null(must(result, CI_FILES_MAIN, "bad\377", CI_FILE_SKIPPED)->error);
    must(result, CI_FILES_MAIN, "p/good", CI_FILE_SAVED);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 6);
    ci_result_free(result);
}

static void everything_can_be_pushed(void **state) {
    (void)state;
    ci_session_options options = usual();
    options.flags = CI_SESSION_PUSH_EVERYTHING;
    open_with(&options);
    run_quietly("mkdir -p node_modules/x && echo 1 > node_modules/x/y");
    ci_result_free(push(NULL, 0));
    assert_holds("code-interpreter/node_modules/x/y", "1\n");
}

static void one_failure_does_not_stop_the_rest(void **state) {
    (void)state;
    open_usual();
    run_quietly("echo 1 > good && echo 2 > blocked && mkdir d && echo 3 > d/e");
    shell("mkdir -p code-interpreter/blocked/x");
    const char *paths[] = {"missing", "blocked", "/workspace/good", "d", "/etc/passwd", "../../x"};
    ci_result *result = push(paths, 6);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    must(result, CI_FILES_MAIN, "missing", CI_FILE_FAILED);
    must(result, CI_FILES_MAIN, "blocked", CI_FILE_FAILED);
    must(result, CI_FILES_MAIN, "/etc/passwd", CI_FILE_FAILED);
    must(result, CI_FILES_MAIN, "good", CI_FILE_SAVED);
    must(result, CI_FILES_MAIN, "d/e", CI_FILE_SAVED);
    ci_result_free(result);
}

/* --- what a run leaves --------------------------------------------------------------------------------------------- */

static void output_filename_is_saved(void **state) {
    (void)state;
    open_usual();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output_filename = "/workspace/out/chart.txt";
    ci_result *result = command_with("mkdir out; echo chart > out/chart.txt", &options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_string_equal(must(result, CI_FILES_MAIN, "out/chart.txt", CI_FILE_SAVED)->key,
                        "code-interpreter/out/chart.txt");
    ci_result_free(result);
    assert_holds("code-interpreter/out/chart.txt", "chart\n");
}

static void an_upload_asked_for_by_name_is_saved(void **state) {
    (void)state;
    write_here("uploads/up.csv", "1,2");
    open_usual();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output_filename = "up.csv";
    ci_result *result = command_with("true", &options);
    must(result, CI_FILES_MAIN, "up.csv", CI_FILE_SAVED);
    ci_result_free(result);
    assert_holds("code-interpreter/up.csv", "1,2");
}

static void a_missing_output_file_names_what_was_written(void **state) {
    (void)state;
    open_usual();
    run_quietly("echo old > old.txt && sleep 0.02");
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output_filename = "chart.png";
    ci_result *result = command_with("echo x > chrat.png", &options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    const ci_file_info *info = must(result, CI_FILES_MAIN, "chart.png", CI_FILE_FAILED);
    assert_non_null(strstr(info->error, "\"chrat.png\""));
    assert_null(strstr(info->error, "old.txt"));
    ci_result_free(result);
    result = command_with("exit 3", &options); /* the code's own failure is what counts */
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_EXIT);
    assert_int_equal(ci_result_exit_code(result), 3);
    must(result, CI_FILES_MAIN, "chart.png", CI_FILE_FAILED);
    ci_result_free(result);
}

static void changes_are_listed(void **state) {
    (void)state;
    open_usual();
    run_quietly("echo 1 > same && echo 1 > changed && echo 1 > gone && mkdir d && sleep 0.02");
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.flags = CI_RUN_LIST_CHANGES;
    ci_result *result = command_with("echo 22 > changed && rm gone && echo 1 > d/made", &options);
    assert_int_equal(ci_result_file_count(result, CI_FILES_CHANGES), 3);
    must(result, CI_FILES_CHANGES, "changed", CI_FILE_CHANGED);
    must(result, CI_FILES_CHANGES, "gone", CI_FILE_DELETED);
    must(result, CI_FILES_CHANGES, "d/made", CI_FILE_CREATED);
    ci_result_free(result);
}

static void the_whole_of_a_cut_stream_goes_to_a_file(void **state) {
    (void)state;
    open_usual();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.flags = CI_RUN_SPILL_OUTPUT;
    options.stream_bytes = 1000;
    ci_result *result = command_with("seq 100000; echo short >&2", &options);
    assert_int_equal(ci_result_stream_total(result, CI_STREAM_STDOUT), 588895);
    assert_int_equal(ci_result_stream_kept(result, CI_STREAM_STDOUT), 1000);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    ci_file_info info = CI_FILE_INFO_INIT;
    ci_result_file(result, CI_FILES_MAIN, 0, &info);
    assert_int_equal(info.size_bytes, 588895);
    char check[128];
    snprintf(check, sizeof check, "seq 100000 | cmp - %s && echo same", info.path);
    ci_result_free(result);
    assert_prints(check, "same\n");
}

static void a_command_is_interrupted_at_its_deadline(void **state) {
    (void)state;
    open_usual();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    bool begun = false;
    for (options.timeout_ms = 100; !begun; options.timeout_ms *= 2) { /* until it came so far within its time */
        ci_result *result = command_with("echo begun; sleep 300", &options);
        assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
        begun = *ci_result_stdout(result, NULL) || options.timeout_ms > 60000;
        if (begun)
            assert_string_equal(ci_result_stdout(result, NULL), "begun\n");
        ci_result_free(result);
    }
}

static void cwd_and_env_hold_for_one_call(void **state) {
    (void)state;
    open_usual();
    run_quietly("mkdir d");
    const char *env[] = {"COLOUR=blue", NULL};
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.cwd = "d";
    options.env = env;
    ci_result *result = command_with("basename $PWD; echo $COLOUR", &options);
    assert_string_equal(ci_result_stdout(result, NULL), "d\nblue\n");
    ci_result_free(result);
    assert_prints("echo $COLOUR", "\n");
}

/* --- file operations ----------------------------------------------------------------------------------------------- */

static ci_result *file_op(int32_t operation, const char *const *paths, size_t count) {
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    options.operation = operation;
    options.paths = paths;
    options.path_count = count;
    ci_result *result = NULL;
    assert_int_equal(ci_file_op(session, &options, &result, NULL), CI_OK);
    return result;
}

static void files_are_written_read_listed_and_removed(void **state) {
    (void)state;
    open_usual();
    const ci_file_content content[] = {{"a/text.txt", "hello", 5}, {"a/bytes", "\0\1\377", 3}, {"empty", NULL, 0}};
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    options.operation = CI_FILE_OP_WRITE;
    options.content = content;
    options.content_count = 3;
    ci_result *result = file_op(CI_FILE_OP_LIST, NULL, 0);
    size_t before = ci_result_file_count(result, CI_FILES_MAIN); /* a service may keep things of its own there */
    ci_result_free(result);
    assert_int_equal(ci_file_op(session, &options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);

    const char *read[] = {"a/text.txt", "a/bytes", "empty", "nothing"};
    result = file_op(CI_FILE_OP_READ, read, 4);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    const ci_file_info *info = must(result, CI_FILES_MAIN, "a/text.txt", CI_FILE_OK);
    assert_int_equal(info->data_size, 5);
    assert_memory_equal(info->data, "hello", 6);
    assert_int_equal(info->is_text, 1);
    info = must(result, CI_FILES_MAIN, "a/bytes", CI_FILE_OK);
    assert_memory_equal(info->data, "\0\1\377", 3);
    assert_int_equal(info->is_text, 0);
    assert_int_equal(must(result, CI_FILES_MAIN, "empty", CI_FILE_OK)->data_size, 0);
    must(result, CI_FILES_MAIN, "nothing", CI_FILE_FAILED);
    ci_result_free(result);

    result = file_op(CI_FILE_OP_LIST, NULL, 0);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), before + 2);
    assert_int_equal(must(result, CI_FILES_MAIN, "a", CI_FILE_OK)->kind, CI_KIND_DIRECTORY);
    ci_result_free(result);
    const char *folder[] = {"a"};
    result = file_op(CI_FILE_OP_LIST, folder, 1);
    must(result, CI_FILES_MAIN, "a/bytes", CI_FILE_OK);
    ci_result_free(result);
    result = file_op(CI_FILE_OP_REMOVE, folder, 1);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
    assert_prints("ls -I log", "empty\n");
}

typedef struct stream {
    uint64_t size;
    uint64_t sum;
    uint64_t stop_at;
} stream;

static int32_t take_bytes(void *user, const void *data, size_t size) {
    stream *s = user;
    for (size_t i = 0; i < size; i++)
        s->sum = s->sum * 31 + ((const unsigned char *)data)[i];
    s->size += size;
    return s->stop_at && s->size >= s->stop_at;
}

static int64_t give_bytes(void *user, void *buffer, size_t size) {
    stream *s = user;
    if (s->stop_at && s->size >= s->stop_at)
        return -1;
    size = size < 5000000 - s->size ? size : 5000000 - s->size;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)((s->size + i) * 7);
        ((unsigned char *)buffer)[i] = byte;
        s->sum = s->sum * 31 + byte;
    }
    s->size += size;
    return (int64_t)size;
}

static void streams_go_in_and_out_whole_or_not_at_all(void **state) {
    (void)state;
    open_usual();
    stream in = {0}, out = {0}, stopped = {.stop_at = 1000000};
    assert_int_equal(ci_file_put(session, "d/big", give_bytes, &in, NULL), CI_OK);
    assert_int_equal(ci_file_get(session, "d/big", 0, UINT64_MAX, take_bytes, &out, NULL), CI_OK);
    assert_int_equal(out.size, 5000000);
    assert_true(out.sum == in.sum);
    out = (stream){0};
    assert_int_equal(ci_file_get(session, "d/big", 4999990, 100, take_bytes, &out, NULL), CI_OK);
    assert_int_equal(out.size, 10);
    assert_int_equal(ci_file_get(session, "d/big", 6000000, 100, take_bytes, &out, NULL), CI_OK);
    assert_int_equal(out.size, 10);
    assert_int_equal(ci_file_put(session, "d/half", give_bytes, &stopped, NULL), CI_ERR_CANCELLED);
    assert_int_equal(ci_file_get(session, "d/big", 0, UINT64_MAX, take_bytes, &stopped, NULL), CI_ERR_CANCELLED);
    assert_prints("ls -A d", "big\n");
    FAILS(CI_ERR_NOTFOUND, "No such file", ci_file_get(session, "none", 0, 1, take_bytes, &out, &error));
}

/* --- the workspace ------------------------------------------------------------------------------------------------- */

static void the_workspace_is_read_written_listed(void **state) {
    (void)state;
    open_usual();
    stream in = {0}, out = {0};
    assert_int_equal(ci_workspace_write(session, "code-interpreter/d/big", give_bytes, &in, NULL), CI_OK);
    assert_int_equal(ci_workspace_read(session, "code-interpreter/d/big", 0, UINT64_MAX, take_bytes, &out, NULL),
                     CI_OK);
    assert_true(in.sum == out.sum);
    write_here("uploads/u.txt", "u");
    write_here("other.txt", "not the session's");
    ci_result *result = NULL;
    assert_int_equal(ci_workspace_list(session, NULL, &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 2);
    must(result, CI_FILES_MAIN, "code-interpreter/d/big", CI_FILE_OK);
    must(result, CI_FILES_MAIN, "uploads/u.txt", CI_FILE_OK);
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "code-interpreter/d/", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "up", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    ci_result_free(result);
    assert_int_equal(ci_workspace_stat(session, "uploads/u.txt", &result, NULL), CI_OK);
    assert_int_equal(must(result, CI_FILES_MAIN, "uploads/u.txt", CI_FILE_OK)->size_bytes, 1);
    ci_result_free(result);
    assert_int_equal(ci_workspace_remove(session, "uploads/u.txt", NULL), CI_OK);
    result = NULL;
    FAILS(CI_ERR_NOTFOUND, "", ci_workspace_stat(session, "uploads/u.txt", &result, &error));
    FAILS(CI_ERR_INVALID, "begins with none of \"code-interpreter/\", \"uploads/\"",
          ci_workspace_stat(session, "other.txt", &result, &error));
    FAILS(CI_ERR_INVALID, "", ci_workspace_stat(session, "uploads/../other.txt", &result, &error));
}

static void an_id_has_its_own_part_and_one_session(void **state) {
    (void)state;
    shell("mkdir -p me/uploads && echo 1 > me/uploads/up.txt");
    ci_session_options options = usual();
    options.session_id = "me";
    open_with(&options);
    assert_prints("cat up.txt; echo 2 > out.txt", "1\n");
    ci_result_free(push(NULL, 0));
    assert_holds("me/code-interpreter/out.txt", "2\n");
    ci_session *second = NULL;
    FAILS(CI_ERR_BUSY, "session id \"me\"", ci_session_open(&options, &second, &error));
    ci_session_close(session);
    open_with(&options);
}

static void prefixes_follow_their_templates(void **state) {
    (void)state;
    shell("mkdir -p in/ann && echo 1 > in/ann/up.txt");
    ci_session_options options = usual();
    options.session_id = "s1";
    options.uploads_prefix = "in/{user}";
    options.output_prefix = "out/{user}/{session}/";
    FAILS(CI_ERR_INVALID, "user is not set", ci_session_open(&options, &session, &error));
    options.user = "ann";
    open_with(&options);
    assert_prints("cat up.txt; echo 2 > out.txt", "1\n");
    ci_result_free(push(NULL, 0));
    assert_holds("out/ann/s1/out.txt", "2\n");
    ci_result *result = NULL;
    assert_int_equal(ci_workspace_list(session, "code-interpreter/", &result, NULL), CI_OK);
    must(result, CI_FILES_MAIN, "code-interpreter/out.txt", CI_FILE_OK);
    ci_result_free(result);
}

static void rules_are_for_the_internet_alone(void **state) {
    (void)state;
    static const char *const rules[] = {"example.org", NULL};
    ci_session_options options = usual();
    options.network_allow = rules;
    FAILS(CI_ERR_INVALID, "network_allow: only", ci_session_open(&options, &session, &error));
    options.network_allow = NULL;
    options.network_deny = rules;
    FAILS(CI_ERR_INVALID, "network_deny: only", ci_session_open(&options, &session, &error));
    options.network = CI_NETWORK_INTERNET;
    const char *gives = now->network == CI_NETWORK_HOST ? "it gives: host" : "it gives: none";
    options.network = now->network == CI_NETWORK_HOST ? CI_NETWORK_NONE : CI_NETWORK_HOST;
    options.network_deny = NULL;
    open_usual();
    ci_session *other = NULL;
    if (!can(CI_CAP_NETWORK_INTERNET))
        FAILS(CI_ERR_NOTSUP, gives, ci_session_open(&options, &other, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(uploads_are_there_before_the_first_call),
        WITH(new_uploads_are_told_once_and_appear_before_the_next_call),
        WITH(changed_uploads_replace_untouched_files_only),
        WITH(archives_are_unpacked_beside_themselves),
        WITH(a_taken_folder_gets_a_number),
        WITH(hostile_and_damaged_archives_do_no_harm),
        WITH(an_archive_over_its_limit_leaves_nothing),
        WITH(flags_switch_the_preload_off),
        WITH(push_saves_everything_and_only_what_changed),
        WITH(same_size_and_time_do_not_hide_a_change),
        WITH(what_vanished_from_the_workspace_is_saved_again),
        WITH(push_skips_what_is_no_file_or_litter),
        WITH(everything_can_be_pushed),
        WITH(one_failure_does_not_stop_the_rest),
        WITH(output_filename_is_saved),
        WITH(an_upload_asked_for_by_name_is_saved),
        WITH(a_missing_output_file_names_what_was_written),
        WITH(changes_are_listed),
        WITH(the_whole_of_a_cut_stream_goes_to_a_file),
        WITH(a_command_is_interrupted_at_its_deadline),
        WITH(cwd_and_env_hold_for_one_call),
        WITH(files_are_written_read_listed_and_removed),
        WITH(streams_go_in_and_out_whole_or_not_at_all),
        WITH(the_workspace_is_read_written_listed),
        WITH(an_id_has_its_own_part_and_one_session),
        WITH(prefixes_follow_their_templates),
        WITH(rules_are_for_the_internet_alone),
    };
    return run_conformance(tests, sizeof tests / sizeof tests[0]);
}
