/* The AgentCore backend without memory, at every allocation of libci's own: CI_ERR_NOMEM, and nothing is left behind. Every
 * Invoke has one answer, in which whatever asks finds what it looks for: what a session's nonces are is known here. */
#include "../failmalloc.h"
#include "../net/server.h"
#include "../storage/drive.h"
#include "base/str.h"
#include "sandbox/agentcore/agentcore.h"
#include "sandbox/sandbox.h"

#include <zlib.h>

#define NONCE "abcdefghijklmnopqrstuvwxyz"

/* Stands for the library's own (--wrap). */
ci_status __wrap_cii_id_random(char ret_id[27]);
ci_status __wrap_cii_id_random(char ret_id[27]) {
    memcpy(ret_id, NONCE, sizeof NONCE);
    return CI_OK;
}

/* --- the answer ------------------------------------------------------------------------------------------------------- */

/* A root, an entry, output, a file's bytes, and an end with three bytes of output still to be read. */
#define PROBED "ci:" NONCE "\\nr L29wdA==\\nn file 3 1 1 420 YWJj\\no YWJj\\nd YWJj\\nx 0000 0 1 3 0 0\\n.\\n"
#define RESULT(stdout, stderr, exit_code)                                                                                  \
    "{\"content\":[{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"cG5n\"}]," \
    "\"structuredContent\":{\"stdout\":\"" stdout "\",\"stderr\":\"" stderr "\",\"exitCode\":" exit_code                   \
    ",\"executionTime\":0.5,\"taskId\":\"t-1\",\"taskStatus\":\"completed\"},\"isError\":false}"

static void put_uint(cii_buf *to, uint32_t value) {
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    assert_int_equal(cii_buf_append(to, bytes, sizeof bytes), CI_OK);
}

static void put_crc(cii_buf *to) {
    put_uint(to, (uint32_t)crc32(0, (const Bytef *)to->data, (uInt)to->size));
}

/* The one event of a stream. */
static void put_event(cii_buf *to, const char *payload) {
    static const char headers[] = "\13:event-type\7\0\6result\15:message-type\7\0\5event";
    const uint32_t headers_size = sizeof headers - 1, size = (uint32_t)strlen(payload);
    put_uint(to, 16 + headers_size + size);
    put_uint(to, headers_size);
    put_crc(to);
    assert_int_equal(cii_buf_append(to, headers, headers_size), CI_OK);
    assert_int_equal(cii_buf_append(to, payload, size), CI_OK);
    put_crc(to);
}

static void answer(const char *payload) {
    _cleanup_buf_ cii_buf event = {0}, rules = {0};
    char hex[4096];
    put_event(&event, payload);
    assert_true(event.size * 2 < sizeof hex);
    cii_hex(event.data, event.size, hex);
    assert_int_equal(
        cii_buf_printf(&rules,
                       "999999 PUT *start text-{\"sessionId\":\"s1\"}\n"
                       "999999 PUT *stop* body/text-{}\n"
                       "999999 GET *get* text-{\"status\":\"READY\"}\n"
                       "999999 POST *invoke body/header-content-type=application%%2Fvnd.amazon.eventstream/hex-%s\n",
                       hex),
        CI_OK);
    server_rules(rules.data);
}

enum {
    PART_BYTES = 4096, /* the least */
};

/* --- what is done ----------------------------------------------------------------------------------------------------- */

typedef struct scenario {
    const char *attach_id; /* NULL: a session of its own */
    ci_status (*use)(const ci_sandbox_ops *ops, void *session);
} scenario;

static void ignore_output(void *user, int32_t stream, const void *data, size_t size) {
    (void)user, (void)stream, (void)data, (void)size;
}

static void ignore_item(void *user, const char *mime_type, const void *data, size_t size, uint64_t stdout_offset) {
    (void)user, (void)mime_type, (void)data, (void)size, (void)stdout_offset;
}

static void ignore_end(void *user, const ci_run_outcome *outcome) {
    (void)user, (void)outcome;
}

static int32_t ignore_data(void *user, const void *data, size_t size) {
    (void)user, (void)data, (void)size;
    return 0;
}

static int32_t ignore_entry(void *user, const ci_entry *entry) {
    (void)user, (void)entry;
    return 0;
}

static ci_status finish(ci_status started, ci_op *const *op) {
    return started < 0 ? started : drive(*op, NULL);
}

static ci_status run_kind(const ci_sandbox_ops *ops, void *session, int32_t kind, const char *language) {
    static const ci_sink sink = {
        .struct_size = sizeof sink, .output = ignore_output, .item = ignore_item, .done = ignore_end};
    static const char *const env[] = {"A=b", NULL};
    bool is_code = *language != '\0';
    const ci_run_request request = {.struct_size = sizeof request,
                                    .language = language,
                                    .context = "",
                                    .text = "text",
                                    .text_size = 4,
                                    .cwd = is_code ? NULL : "d",
                                    .env = is_code ? NULL : env,
                                    .task_id = 1,
                                    .kind = kind};
    ci_op *op = NULL;
    return finish(ops->run(session, &request, &sink, &op, NULL), &op);
}

static ci_status use_code(const ci_sandbox_ops *ops, void *session) {
    ci_status status = run_kind(ops, session, CI_RUN_KIND_CODE, "python");
    return status < 0 ? status : run_kind(ops, session, CI_RUN_KIND_CLEAR, "python");
}

static ci_status use_commands(const ci_sandbox_ops *ops, void *session) {
    static const int32_t kinds[] = {CI_RUN_KIND_COMMAND, CI_RUN_KIND_TASK, CI_RUN_KIND_TASK_POLL, CI_RUN_KIND_TASK,
                                    CI_RUN_KIND_TASK_STOP};
    for (size_t i = 0; i < CII_ELEMENTS(kinds); i++) {
        ci_status status = run_kind(ops, session, kinds[i], "");
        if (status < 0 && !(status == CI_ERR_NOTFOUND && kinds[i] == CI_RUN_KIND_TASK_STOP)) /* it is the second task */
            return status;
    }
    return CI_OK;
}

static ci_status use_files(const ci_sandbox_ops *ops, void *session) {
    static const char three_parts[2 * PART_BYTES + 1];
    ci_op *op = NULL;
    char *info = NULL;
    source small = {.data = "1", .size = 1}, large = {.data = three_parts, .size = sizeof three_parts};
    ci_status status = ops->info(session, &info, NULL);
    free(info);
    if (status == CI_OK)
        status = finish(ops->file_put(session, "d/small", read_source, &small, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->file_put(session, "large", read_source, &large, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->file_get(session, "x", 0, 100, ignore_data, NULL, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->file_list(session, ".", ignore_entry, NULL, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->walk(session, ".", 0, ignore_entry, NULL, &op, NULL), &op);
    return status == CI_OK ? finish(ops->file_remove(session, "x", &op, NULL), &op) : status;
}

static ci_status run(void *user) {
    static const char *const env[] = {"A=b", NULL};
    const scenario *sc = user;
    const ci_sandbox_request request = {.struct_size = sizeof request, .session_id = "mine", .env = env};
    ci_sandbox *sandbox = NULL;
    ci_sandbox_agentcore_options options = CI_SANDBOX_AGENTCORE_OPTIONS_INIT;
    void *session = NULL;
    ci_op *op = NULL;
    options.endpoint = http;
    options.interpreter = "arn:aws:bedrock-agentcore:us-east-1:aws:code-interpreter/aws.codeinterpreter.v1";
    options.access_key_id = "AKIDEXAMPLE";
    options.secret_access_key = "secret";
    options.trace_id = "Root=1";
    options.part_bytes = PART_BYTES;
    options.no_environment = 1;
    ci_status status = ci_sandbox_agentcore_new(&options, &sandbox, NULL);
    if (status < 0)
        return status;
    const ci_sandbox_ops *ops = cii_sandbox_ops(sandbox);
    void *impl = cii_sandbox_impl(sandbox);
    status = sc->attach_id ? ops->attach(impl, sc->attach_id, &request, &session, &op, NULL)
                           : ops->open(impl, &request, &session, &op, NULL);
    status = finish(status, &op);
    if (status == CI_OK) {
        status = sc->use(ops, session);
        ops->close(session);
    }
    ci_sandbox_free(sandbox);
    return status;
}

/* --- the tests -------------------------------------------------------------------------------------------------------- */

static void fails_everywhere(const char *payload, scenario sc) {
    answer(payload);
    assert_in_range(failmalloc_each(run, &sc), 100, 2000);
}

static void code(void **state) {
    (void)state;
    fails_everywhere(RESULT(PROBED, "", "0"), (scenario){NULL, use_code});
}

static void code_that_raises(void **state) {
    (void)state;
    fails_everywhere(RESULT(PROBED, "Traceback:\\nNameError: x\\n", "1"), (scenario){"s1", use_code});
}

static void commands_and_tasks(void **state) {
    (void)state;
    fails_everywhere(RESULT(PROBED, "", "0"), (scenario){NULL, use_commands});
}

static void files(void **state) {
    (void)state;
    fails_everywhere(RESULT(PROBED, "", "0"), (scenario){NULL, use_files});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code),
        cmocka_unit_test(code_that_raises),
        cmocka_unit_test(commands_and_tasks),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
