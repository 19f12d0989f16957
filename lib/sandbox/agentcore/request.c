/* Requests' bodies, as AWS's own clients write them. */
#include <stdio.h>
#include <sys/random.h>

#include "sandbox/agentcore/agentcore.h"

char *cii_agentcore_body_start(const char *name, uint32_t timeout_s, const char *client_token, size_t *ret_size) {
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "name", name);
    if (timeout_s > 0)
        cii_json_key_int(w, "sessionTimeoutSeconds", timeout_s);
    cii_json_key_string(w, "clientToken", client_token);
    cii_json_end_object(w);
    return cii_json_take(w, ret_size);
}

char *cii_agentcore_body_stop(const char *client_token, size_t *ret_size) {
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "clientToken", client_token);
    cii_json_end_object(w);
    return cii_json_take(w, ret_size);
}

static cii_json_writer *begin_tool(const char *tool) {
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "name", tool);
    cii_json_key(w, "arguments");
    cii_json_begin_object(w);
    return w;
}

static char *end_tool(cii_json_writer *w, size_t *ret_size) {
    cii_json_end_object(w);
    cii_json_end_object(w);
    return cii_json_take(w, ret_size);
}

char *cii_agentcore_body_code(const cii_agentcore_code *code, size_t *ret_size) {
    cii_json_writer *w = begin_tool("executeCode");
    cii_json_key(w, "code");
    cii_json_string_n(w, code->text, code->text_size);
    cii_json_key_string(w, "language", code->language);
    cii_json_key_string(w, "runtime", code->runtime);
    if (code->clear_context)
        cii_json_key_bool(w, "clearContext", true);
    return end_tool(w, ret_size);
}

char *cii_agentcore_body_command(const char *tool, const char *command, size_t *ret_size) {
    cii_json_writer *w = begin_tool(tool);
    cii_json_key_string(w, "command", command);
    return end_tool(w, ret_size);
}

char *cii_agentcore_body_task(const char *tool, const char *task_id, size_t *ret_size) {
    cii_json_writer *w = begin_tool(tool);
    cii_json_key_string(w, "taskId", task_id);
    return end_tool(w, ret_size);
}

char *cii_agentcore_body_write(const char *path, const void *data, size_t data_size, size_t *ret_size) {
    cii_json_writer *w = begin_tool("writeFiles");
    cii_json_key(w, "content");
    cii_json_begin_array(w);
    cii_json_begin_object(w);
    cii_json_key_string(w, "path", path);
    cii_json_key(w, "blob");
    cii_json_base64(w, data, data_size);
    cii_json_end_object(w);
    cii_json_end_array(w);
    return end_tool(w, ret_size);
}

ci_status cii_agentcore_uuid(char ret_uuid[37], ci_error **ret_error) {
    uint8_t b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return cii_error_errno(ret_error, errno, CII_AGENTCORE_DOMAIN, "random bytes");
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret_uuid, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
             b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return CI_OK;
}
