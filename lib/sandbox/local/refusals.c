/* What a session's gateway refuses. The gateway reads packets that code in the sandbox has made, so its messages are
 * taken to be hostile: bytes without descriptors, bounded in size, depth and number, each field checked for itself. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/json.h"
#include "sandbox/local/local.h"

#define MESSAGES_MAX 1024 /* that are read at once; the next run's end goes on */
#define NAME_MAX_SIZE 255u
#define RULE_MAX_SIZE 400u
#define PROTOCOL_MAX_SIZE 15u

/* NULL unless it is a string of 1 to max characters that a terminal shows as they are. */
static const char *text_of(const cii_json *root, const char *key, size_t max) {
    size_t size;
    const char *text = cii_json_text_of(cii_json_get(root, key), &size);
    if (text == NULL || size == 0 || size > max)
        return NULL;
    for (size_t i = 0; i < size; i++)
        if (text[i] < ' ' || text[i] > '~')
            return NULL;
    return text;
}

/* Negative for what is no integer up to most. */
static int64_t number_of(const cii_json *root, const char *key, int64_t most, int64_t otherwise) {
    const cii_json *value = cii_json_get(root, key);
    if (value == NULL)
        return otherwise;
    int64_t number = cii_json_int_of(value);
    return cii_json_type_of(value) == CII_JSON_INT && number <= most ? number : -1;
}

static bool is_address(const char *text) {
    uint8_t bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool read_refusal(const cii_json *root, ci_refusal *ret_refusal) {
    int64_t port = number_of(root, "port", UINT16_MAX, 0);
    int64_t count = number_of(root, "count", UINT32_MAX, 1);
    *ret_refusal = (ci_refusal){.struct_size = sizeof *ret_refusal,
                                .name = text_of(root, "name", NAME_MAX_SIZE),
                                .address = text_of(root, "address", INET6_ADDRSTRLEN),
                                .protocol = text_of(root, "protocol", PROTOCOL_MAX_SIZE),
                                .rule = text_of(root, "rule", RULE_MAX_SIZE),
                                .count = (uint64_t)count,
                                .port = (int32_t)port};
    bool name_is_none = ret_refusal->name == NULL && cii_json_get(root, "name") != NULL;
    bool address_is_none =
        ret_refusal->address != NULL ? !is_address(ret_refusal->address) : cii_json_get(root, "address") != NULL;
    return ret_refusal->protocol != NULL && ret_refusal->rule != NULL && !name_is_none && !address_is_none &&
           port >= 0 && count > 0;
}

/* One that cannot be read is told as such: nothing is refused in silence. */
static void tell(const char *message, size_t size, const ci_sink *sink) {
    static const ci_refusal unreadable = {.struct_size = sizeof unreadable,
                                          .protocol = "?",
                                          .rule = "the session's gateway said it in a way that cannot be read"};
    _cleanup_json_ cii_json *root = NULL;
    ci_refusal refusal;
    bool good = size <= CII_REFUSAL_MAX && cii_json_parse(message, size, 1, &root, NULL) == CI_OK &&
                read_refusal(root, &refusal);
    sink->refusal(sink->user, good ? &refusal : &unreadable);
}

void local_refusals_tell(const local_session *s, const ci_sink *sink) {
    char message[CII_REFUSAL_MAX];
    if (s->events_fd < 0)
        return;
    for (int i = 0; i < MESSAGES_MAX; i++) {
        ssize_t size = recv(s->events_fd, message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
        if (size > 0)
            tell(message, (size_t)size, sink);
        else if (size == 0 || errno != EINTR)
            return; /* no more, or the gateway is gone */
    }
}
