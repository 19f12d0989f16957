/* The seven tools on a real session, whose sandbox and storage live in memory. */
#include "../unit.h"

#include <ci/tools.h>
#include <poll.h>

#include "../failmalloc.h"
#include "memory.h"

typedef struct fixture {
    memory_store files;
    memory_store objects;
    ci_session *session;
} fixture;

static int open_fixture(void **state) {
    fixture *f = calloc(1, sizeof *f);
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = memory_sandbox(&f->files);
    options.storage = memory_storage(&f->objects);
    ci_error *error = NULL;
    if (ci_session_open(&options, &f->session, &error) != CI_OK)
        print_error("%s\n", ci_error_message(error));
    ci_error_free(error);
    ci_sandbox_free(options.sandbox);
    ci_storage_free(options.storage);
    *state = f;
    return f->session ? 0 : -1;
}

static int close_fixture(void **state) {
    fixture *f = *state;
    ci_session_close(f->session);
    memory_clear(&f->files);
    memory_clear(&f->objects);
    free(f);
    return 0;
}

static void free_result(ci_result **result) {
    ci_result_free(*result);
}

static ci_result *call(fixture *f, const char *name, const char *json) {
    ci_result *result = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = ci_tool_call(f->session, name, json, SIZE_MAX, NULL, &result, &error);
    if (status != CI_OK)
        fail_msg("%s: %s", name, ci_error_message(error));
    return result;
}

static void assert_outcome(fixture *f, const char *name, const char *json, int32_t outcome, const char *message) {
    _cleanup_(free_result) ci_result *result = call(f, name, json);
    assert_int_equal(ci_result_outcome(result), outcome);
    const char *told = ci_result_error_message(result);
    if (message && (!told || !strstr(told, message)))
        assert_string_equal(told, message);
}

/* The first file of the result. */
static ci_file_info file_of(const ci_result *result) {
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    return info;
}

/* --- code and commands -------------------------------------------------------------------------------------------- */

static void code_runs_with_its_options(void **state) {
    fixture *f = *state;
    _cleanup_(free_result) ci_result *result = call(
        f, "execute_code", "{\"code\": \"print(1)\", \"language\": \"python\", \"context\": \"c\", \"timeout\": 3000}");
    assert_string_equal(ci_result_stdout(result, NULL), "c|print(1)\n");
    assert_in_range(f->files.deadline_ms, 2000000, 3000000);
    assert_outcome(f, "execute_code", "{\"code\": \"raise\"}", CI_OUTCOME_EXCEPTION, "bad");
}

static void the_hosts_deadline_holds_for_calls_that_name_none(void **state) {
    fixture *f = *state;
    ci_tool_options options = CI_TOOL_OPTIONS_INIT;
    options.timeout_ms = 5000000;
    ci_result *result = NULL;
    assert_int_equal(ci_tool_call(f->session, "execute_code", "{\"code\": \"\"}", SIZE_MAX, &options, &result, NULL),
                     CI_OK);
    ci_result_free(result);
    assert_in_range(f->files.deadline_ms, 4000000, 5000000);
}

static void an_output_file_is_saved(void **state) {
    fixture *f = *state;
    _cleanup_(free_result) ci_result *result =
        call(f, "execute_code", "{\"code\": \"write a.txt\", \"output_filename\": \"a.txt\"}");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_non_null(memory_find(&f->objects, "code-interpreter/a.txt"));
    assert_outcome(f, "execute_code", "{\"code\": \"1\", \"output_filename\": \"b.txt\"}", CI_OUTCOME_FAILED, "b.txt");
}

static void what_the_backend_lacks_is_refused_with_a_sentence(void **state) {
    fixture *f = *state;
    assert_outcome(f, "execute_code", "{\"code\": \"1\", \"language\": \"javascript\"}", CI_OUTCOME_REFUSED,
                   "javascript");
    assert_outcome(f, "execute_code", "{\"code\": \"1\", \"context\": \"a b\"}", CI_OUTCOME_REFUSED, "context");
}

static void commands_run_and_may_go_to_the_background(void **state) {
    fixture *f = *state;
    _cleanup_(free_result) ci_result *result = call(f, "execute_command", "{\"command\": \"ls | wc\"}");
    assert_string_equal(ci_result_stdout(result, NULL), "shell|ls | wc\n");
    _cleanup_(free_result) ci_result *task =
        call(f, "execute_command", "{\"command\": \"serve\", \"background\": true}");
    assert_int_equal(ci_result_task_id(task), 7);
    assert_int_equal(ci_result_task_running(task), 1);
}

static int32_t count_bytes(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    (void)event;
    (void)mime_type;
    (void)data;
    *(size_t *)user += size;
    return 0;
}

static void output_is_streamed_to_the_callback(void **state) {
    fixture *f = *state;
    size_t bytes = 0;
    ci_tool_options options = CI_TOOL_OPTIONS_INIT;
    options.output = count_bytes;
    options.output_user = &bytes;
    ci_result *result = NULL;
    assert_int_equal(ci_tool_call(f->session, "execute_code", "{\"code\": \"abc\"}", 15, &options, &result, NULL),
                     CI_OK);
    ci_result_free(result);
    assert_int_equal(bytes, strlen("|abc\n"));
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void files_are_written_read_listed_and_removed(void **state) {
    fixture *f = *state;
    _cleanup_(free_result) ci_result *written =
        call(f, "file_operations",
             "{\"operation\": \"write\", \"content\": [{\"path\": \"a.txt\", \"text\": \"h\\u00e9\"}, "
             "{\"path\": \"b.bin\", \"blob\": \"AP8=\"}, {\"path\": \"empty\", \"text\": \"\"}]}");
    assert_int_equal(ci_result_outcome(written), CI_OUTCOME_OK);
    assert_int_equal(ci_result_file_count(written, CI_FILES_MAIN), 3);
    assert_int_equal(memory_find(&f->files, "b.bin")->size, 2);
    assert_memory_equal(memory_find(&f->files, "b.bin")->data, "\0\xff", 2);
    assert_int_equal(memory_find(&f->files, "empty")->size, 0);

    _cleanup_(free_result) ci_result *read =
        call(f, "file_operations", "{\"operation\": \"read\", \"paths\": \"a.txt\"}");
    assert_string_equal(file_of(read).data, "hé");

    _cleanup_(free_result) ci_result *listed = call(f, "file_operations", "{\"operation\": \"list\"}");
    assert_int_equal(ci_result_file_count(listed, CI_FILES_MAIN), 3);

    _cleanup_(free_result) ci_result *removed =
        call(f, "file_operations", "{\"operation\": \"remove\", \"paths\": [\"a.txt\", \"gone\"]}");
    assert_int_equal(ci_result_outcome(removed), CI_OUTCOME_FAILED);
    assert_null(memory_find(&f->files, "a.txt"));
}

static void file_operations_that_lack_what_they_need_are_refused(void **state) {
    fixture *f = *state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{\"operation\": \"read\"}", "file_operations: paths: required for read and remove: a list of paths"},
        {"{\"operation\": \"remove\", \"paths\": []}",
         "file_operations: paths: required for read and remove: a list of paths"},
        {"{\"operation\": \"write\"}",
         "file_operations: content: required for write: a list of objects with path and text or blob"},
        {"{\"operation\": \"read\", \"paths\": [\"a\"], \"content\": [{\"path\": \"a\", \"text\": \"\"}]}",
         "file_operations: content: only for the operation write"},
        {"{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"text\": \"\"}, {\"path\": \"b\", \"blob\": "
         "\"%%\"}]}",
         "file_operations: content[1].blob: base64"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++)
        assert_outcome(f, "file_operations", cases[i].json, CI_OUTCOME_REFUSED, cases[i].message);
    assert_int_equal(f->files.count, 0);
}

/* --- workspace ---------------------------------------------------------------------------------------------------- */

static void files_are_pushed_by_name_or_all(void **state) {
    fixture *f = *state;
    assert_int_equal(memory_write(&f->files, "a.txt", "1", 1), CI_OK);
    assert_int_equal(memory_write(&f->files, "b.txt", "2", 1), CI_OK);
    _cleanup_(free_result) ci_result *one = call(f, "ci_push_to_workspace", "{\"paths\": [\"a.txt\"]}");
    assert_int_equal(ci_result_outcome(one), CI_OUTCOME_OK);
    assert_int_equal(f->objects.count, 1);
    _cleanup_(free_result) ci_result *all = call(f, "ci_push_to_workspace", NULL);
    assert_int_equal(ci_result_outcome(all), CI_OUTCOME_OK);
    assert_int_equal(f->objects.count, 2);
}

static void the_workspace_is_written_read_and_listed(void **state) {
    fixture *f = *state;
    _cleanup_(free_result) ci_result *written =
        call(f, "workspace_write", "{\"path\": \"code-interpreter/n.md\", \"text\": \"note\"}");
    assert_int_equal(ci_result_outcome(written), CI_OUTCOME_OK);
    assert_int_equal(file_of(written).size_bytes, 4);
    assert_null(file_of(written).data);
    assert_memory_equal(memory_find(&f->objects, "code-interpreter/n.md")->data, "note", 4);
    assert_outcome(f, "workspace_write", "{\"path\": \"code-interpreter/b\", \"blob\": \"/w==\"}", CI_OUTCOME_OK, NULL);

    _cleanup_(free_result) ci_result *read = call(f, "workspace_read", "{\"path\": \"code-interpreter/n.md\"}");
    assert_string_equal(file_of(read).data, "note");
    assert_int_equal(file_of(read).is_text, 1);
    _cleanup_(free_result) ci_result *binary = call(f, "workspace_read", "{\"path\": \"code-interpreter/b\"}");
    assert_int_equal(file_of(binary).is_text, 0);

    _cleanup_(free_result) ci_result *listed = call(f, "workspace_list", "{\"path\": \"code-interpreter/\"}");
    assert_int_equal(ci_result_file_count(listed, CI_FILES_MAIN), 2);
}

static void bad_workspace_calls_are_results_that_say_why(void **state) {
    fixture *f = *state;
    assert_outcome(f, "workspace_read", "{\"path\": \"code-interpreter/gone\"}", CI_OUTCOME_FAILED, "gone");
    assert_outcome(f, "workspace_read", "{\"path\": \"../etc/passwd\"}", CI_OUTCOME_REFUSED, NULL);
    assert_outcome(f, "workspace_write", "{\"path\": \"code-interpreter/a\"}", CI_OUTCOME_REFUSED,
                   "workspace_write: text or blob is required");
    assert_outcome(f, "workspace_write", "{\"path\": \"a\", \"text\": \"\", \"blob\": \"\"}", CI_OUTCOME_REFUSED,
                   "workspace_write: text and blob are both given");
    assert_outcome(f, "workspace_write", "{\"path\": \"code-interpreter/a\", \"blob\": \"%\"}", CI_OUTCOME_REFUSED,
                   "workspace_write: blob: base64");
    assert_int_equal(f->objects.count, 0);
}

static void a_file_of_the_workspace_beyond_32_mib_is_not_returned(void **state) {
    fixture *f = *state;
    size_t size = (32u << 20) + 1;
    char *data = calloc(1, size);
    assert_int_equal(memory_write(&f->objects, "code-interpreter/large", data, size), CI_OK);
    free(data);
    assert_outcome(f, "workspace_read", "{\"path\": \"code-interpreter/large\"}", CI_OUTCOME_FAILED,
                   "ci_workspace_read()");
}

static void failures_that_a_model_cannot_mend_are_failures_of_the_call(void **state) {
    fixture *f = *state;
    ci_result *result = NULL;
    f->objects.fail = CI_ERR_IO;
    FAILS(CI_ERR_IO, "down",
          ci_tool_call(f->session, "workspace_read", "{\"path\": \"code-interpreter/a\"}", SIZE_MAX, NULL, &result,
                       &error));
    f->objects.fail = CI_OK;
    assert_int_equal(ci_session_shutdown(f->session), CI_OK);
    FAILS(CI_ERR_CLOSED, "", ci_tool_call(f->session, "no_tool", "", 0, NULL, &result, &error));
    FAILS(CI_ERR_CLOSED, "",
          ci_tool_call(f->session, "execute_code", "{\"code\": \"\"}", SIZE_MAX, NULL, &result, &error));
    assert_null(result);
}

/* --- the front ---------------------------------------------------------------------------------------------------- */

static void bad_input_is_a_refused_result(void **state) {
    fixture *f = *state;
    assert_outcome(f, "execute_cod", "{}", CI_OUTCOME_REFUSED, "did you mean \"execute_code\"?");
    assert_outcome(f, "execute_code", "{", CI_OUTCOME_REFUSED, "execute_code: the input is no JSON");
    assert_outcome(f, "execute_code", NULL, CI_OUTCOME_REFUSED, "execute_code: code: required");
    _cleanup_(free_result) ci_result *refused = NULL;
    assert_int_equal(ci_tool_refuse("no JSON", &refused), CI_OK);
    assert_int_equal(ci_result_outcome(refused), CI_OUTCOME_REFUSED);
    assert_string_equal(ci_result_error_message(refused), "no JSON");
}

static void a_call_can_be_polled(void **state) {
    fixture *f = *state;
    static const char *const inputs[][2] = {{"execute_code", "{\"code\": \"1\"}"}, {"nothing", "{}"}};
    for (size_t i = 0; i < CII_ELEMENTS(inputs); i++) {
        ci_call *started = NULL;
        ci_result *result = NULL;
        assert_int_equal(ci_tool_call_start(f->session, inputs[i][0], inputs[i][1], SIZE_MAX, NULL, &started, NULL),
                         CI_OK);
        while (ci_call_process(started) == CI_CALL_RUNNING)
            poll(&(struct pollfd){.fd = ci_call_fd(started), .events = POLLIN}, 1, -1);
        assert_int_equal(ci_call_take_result(started, &result, NULL), CI_OK);
        ci_call_free(started);
        ci_result_free(result);
    }
}

static void an_unfinished_call_can_be_freed(void **state) {
    fixture *f = *state;
    static const char *const inputs[][2] = {{"execute_code", "{\"code\": \"1\"}"},
                                            {"workspace_write", "{\"path\": \"code-interpreter/x\", \"text\": \"\"}"}};
    for (size_t i = 0; i < CII_ELEMENTS(inputs); i++) {
        ci_call *started = NULL;
        assert_int_equal(ci_tool_call_start(f->session, inputs[i][0], inputs[i][1], SIZE_MAX, NULL, &started, NULL),
                         CI_OK);
        ci_call_free(started);
    }
}

static void options_of_another_size_are_taken_as_the_rest_of_the_library_does(void **state) {
    fixture *f = *state;
    struct {
        ci_tool_options options;
        uint64_t newer;
    } larger = {.options = {.struct_size = sizeof larger}, .newer = 0};
    ci_result *result = NULL;
    assert_int_equal(
        ci_tool_call(f->session, "execute_code", "{\"code\": \"\"}", SIZE_MAX, &larger.options, &result, NULL), CI_OK);
    ci_result_free(result);
    result = NULL;
    larger.newer = 1;
    FAILS(CI_ERR_INVALID, "ci_tool_options",
          ci_tool_call(f->session, "execute_code", "{\"code\": \"\"}", SIZE_MAX, &larger.options, &result, &error));
    assert_null(result);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

typedef struct scenario {
    fixture *f;
    const char *name;
    const char *json;
} scenario;

static ci_status one_call(void *user) {
    const scenario *s = user;
    _cleanup_(free_result) ci_result *result = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = ci_tool_call(s->f->session, s->name, s->json, SIZE_MAX, NULL, &result, &error);
    assert_int_equal(ci_error_status(error), status);
    return status;
}

static void each_allocation_may_fail(void **state) {
    static const char *const inputs[][2] = {
        {"execute_code", "{\"code\": \"1\", \"context\": \"c\"}"},
        {"execute_code", "{\"code\": \"1\", \"language\": \"javascript\"}"},
        {"file_operations", "{\"operation\": \"read\", \"paths\": [\"a\", \"b\"]}"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"blob\": \"AAAA\"}]}"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"blob\": \"A\"}]}"},
        {"workspace_write", "{\"path\": \"code-interpreter/a\", \"blob\": \"AAAA\"}"},
        {"workspace_read", "{\"path\": \"code-interpreter/a\"}"},
        {"workspace_read", "{\"path\": \"code-interpreter/gone\"}"},
        {"workspace_list", "{}"},
        {"none", "{}"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(inputs); i++) {
        scenario s = {*state, inputs[i][0], inputs[i][1]};
        assert_true(failmalloc_each(one_call, &s) > 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(code_runs_with_its_options),
        TEST(the_hosts_deadline_holds_for_calls_that_name_none),
        TEST(an_output_file_is_saved),
        TEST(what_the_backend_lacks_is_refused_with_a_sentence),
        TEST(commands_run_and_may_go_to_the_background),
        TEST(output_is_streamed_to_the_callback),
        TEST(files_are_written_read_listed_and_removed),
        TEST(file_operations_that_lack_what_they_need_are_refused),
        TEST(files_are_pushed_by_name_or_all),
        TEST(the_workspace_is_written_read_and_listed),
        TEST(bad_workspace_calls_are_results_that_say_why),
        TEST(a_file_of_the_workspace_beyond_32_mib_is_not_returned),
        TEST(failures_that_a_model_cannot_mend_are_failures_of_the_call),
        TEST(bad_input_is_a_refused_result),
        TEST(a_call_can_be_polled),
        TEST(an_unfinished_call_can_be_freed),
        TEST(options_of_another_size_are_taken_as_the_rest_of_the_library_does),
        TEST(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
