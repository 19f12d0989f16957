/* Any bytes as what a session's init sends to a call: the library must come to an end, keep to its limits, and make a
 * result whose JSON is JSON. The first byte says in pieces of which size the rest comes. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "fuzz.h"
#include "os/fd.h"
#include "result/result.h"
#include "sandbox/local/local.h"

#define STREAM_BYTES 4096
#define VALUE_BYTES 1024
#define ITEM_BYTES 8192
#define ITEM_COUNT 4

static int32_t hear(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    (void)mime_type;
    (void)data;
    FUZZ_CHECK(event == CI_EVENT_ITEM || size > 0);
    *(size_t *)user += size;
    return 0;
}

static void check_result(const ci_result *result) {
    size_t size = 0, items = 0;
    _cleanup_free_ char *json = NULL;
    _cleanup_json_ cii_json *parsed = NULL;
    FUZZ_CHECK(ci_result_stdout(result, &size) && size <= STREAM_BYTES + 256);
    FUZZ_CHECK(ci_result_stderr(result, &size) && size <= STREAM_BYTES + 256);
    FUZZ_CHECK(!ci_result_value(result, &size) || size <= VALUE_BYTES + 256);
    FUZZ_CHECK(ci_result_item_count(result) <= ITEM_COUNT);
    for (size_t i = 0; i < ci_result_item_count(result); i++) {
        ci_item item = CI_ITEM_INIT;
        FUZZ_CHECK(ci_result_item(result, i, &item) == CI_OK && item.mime_type);
        items += item.data_size;
    }
    FUZZ_CHECK(items <= ITEM_BYTES);
    FUZZ_CHECK(ci_result_json(result, &json, &size) == CI_OK);
    FUZZ_CHECK(cii_json_parse(json, size, 0, &parsed, NULL) == CI_OK);
}

/* Sends the bytes as the library takes them; what process() said last. */
static int32_t talk(ci_op *op, int fd, const uint8_t *data, size_t size, size_t piece, ci_error **ret_error) {
    int32_t result = 0;
    while (size > 0 && result == 0) {
        ssize_t sent = send(fd, data, CII_MIN(size, piece), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        }
        result = op->ops->process(op, ret_error);
    }
    cii_close(fd);
    for (int rounds = 0; result == 0 && rounds < 4; rounds++)
        result = op->ops->process(op, ret_error);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const cii_result_limits limits = {
        .stream_bytes = STREAM_BYTES, .value_bytes = VALUE_BYTES, .item_bytes = ITEM_BYTES, .item_count = ITEM_COUNT};
    const ci_run_request request = {
        .struct_size = sizeof request, .kind = CI_RUN_KIND_CODE, .language = "python", .text = "1", .text_size = 1};
    local_session session = {.root_fd = -1, .base_fd = -1, .files_fd = -1, .stage_fd = -1};
    size_t piece = size > 0 && data[0] > 0 ? (size_t)data[0] * data[0] : SIZE_MAX, heard = 0, count = 0;
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    ci_error *error = NULL;
    ci_op *op = NULL;
    uint8_t head[16];
    int control[2], call = -1;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
    session.control_fd = control[0];
    FUZZ_CHECK(cii_result_new(CII_RESULT_RUN, &limits, &result) == CI_OK);
    const cii_collector_options options = {.output = hear, .output_user = &heard};
    FUZZ_CHECK(cii_collector_new(result, &options, &collector) == CI_OK);
    FUZZ_CHECK(local_run(&session, &request, cii_collector_sink(collector), &op, NULL) == CI_OK);
    FUZZ_CHECK(cii_fd_recv(control[1], head, sizeof head, &call, 1, &count, 0) > 0 && count == 1);
    int32_t end = talk(op, call, data + (size > 0), size - (size > 0), piece, &error);
    FUZZ_CHECK(end == 1 ? cii_collector_done(collector) && !error : end < 0 && ci_error_status(error) == end);
    op->ops->free(op);
    FUZZ_CHECK(cii_collector_take(collector, &result, NULL) == CI_OK);
    check_result(result);
    ci_result_free(result);
    cii_collector_free(collector);
    ci_error_free(error);
    close(control[0]);
    close(control[1]);
    return 0;
}
