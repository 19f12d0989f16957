/* What a local session's gateway says, over a real socket, and what a result makes of it. The gateway here is hostile. */
#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit.h"
#include "result/result.h"
#include "sandbox/local/local.h"

static int gateway_fd;
static local_session session;

static int connect_gateway(void **state) {
    (void)state;
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -1;
    session = (local_session){.events_fd = sockets[0]};
    gateway_fd = sockets[1];
    return 0;
}

static int disconnect_gateway(void **state) {
    (void)state;
    cii_close(session.events_fd);
    cii_close(gateway_fd);
    return 0;
}

static void say_bytes(const void *message, size_t size) {
    assert_int_equal(send(gateway_fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT), size);
}

static void say(const char *message) {
    say_bytes(message, strlen(message));
}

/* What the result of a run that ends now has. */
static ci_result *end_run(void) {
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    assert_int_equal(cii_collector_new(result, NULL, &collector), CI_OK);
    const ci_sink *sink = cii_collector_sink(collector);
    local_refusals_tell(&session, sink);
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome)});
    assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
    cii_collector_free(collector);
    return result;
}

static ci_refusal refusal_at(const ci_result *result, size_t index) {
    ci_refusal refusal = CI_REFUSAL_INIT;
    assert_int_equal(ci_result_refusal(result, index, &refusal), CI_OK);
    return refusal;
}

static void refusals_come_whole_in_their_order_and_once(void **state) {
    (void)state;
    say("{\"name\":\"evil.example\",\"address\":\"10.0.0.1\",\"port\":80,\"protocol\":\"tcp\","
        "\"rule\":\"10.0.0.0/8 is private\"}");
    say("{\"address\":\"fe80::1\",\"port\":65535,\"protocol\":\"udp\",\"rule\":\"r\",\"count\":3,\"later\":true}");
    say("{\"name\":\"_dmarc.x.example\",\"port\":0,\"protocol\":\"dns\",\"rule\":\"not in network_allow\"}");
    _cleanup_result_ ci_result *result = end_run(), *next = end_run();
    assert_int_equal(ci_result_refusal_count(result), 3);
    ci_refusal refusal = refusal_at(result, 0);
    assert_string_equal(refusal.name, "evil.example");
    assert_string_equal(refusal.address, "10.0.0.1");
    assert_string_equal(refusal.protocol, "tcp");
    assert_string_equal(refusal.rule, "10.0.0.0/8 is private");
    assert_int_equal(refusal.port, 80);
    assert_int_equal(refusal.count, 1);
    assert_string_equal(refusal.text, "tcp evil.example:80 at 10.0.0.1 (10.0.0.0/8 is private)");
    assert_int_equal(refusal_at(result, 1).port, 65535);
    assert_int_equal(refusal_at(result, 1).count, 3);
    assert_string_equal(refusal_at(result, 2).text, "dns _dmarc.x.example (not in network_allow)");
    assert_int_equal(ci_result_refusal_count(next), 0);
}

#define GOOD(more) "{\"address\":\"10.0.0.1\",\"port\":80,\"protocol\":\"tcp\",\"rule\":\"r\"" more "}"

/* Each is told as what cannot be read, with nothing of it. */
static void what_is_no_refusal_is_told_as_such(void **state) {
    (void)state;
    static const char *const messages[] = {
        " ",
        "x",
        "null",
        "[]",
        "{}",
        "7",
        "\xff\xfe",
        "{\"protocol\":\"tcp\",\"rule\":",
        "{\"protocol\":\"tcp\"}",
        "{\"rule\":\"r\"}",
        "{\"protocol\":7,\"rule\":\"r\"}",
        "{\"protocol\":\"tcp\",\"rule\":\"\"}",
        "{\"protocol\":\"sixteen letters!\",\"rule\":\"r\"}",
        "{\"protocol\":\"tcp\",\"rule\":\"a\\nrefused: b\"}",
        "{\"protocol\":\"tcp\",\"rule\":\"r\\u0000r\"}",
        "{\"protocol\":\"tcp\",\"rule\":\"\\u009b2J\"}",
        "{\"protocol\":\"tcp\",\"rule\":\"\\u007f\"}",
        GOOD(",\"name\":7"),
        GOOD(",\"name\":\"\""),
        GOOD(",\"name\":\"a b\\u001b[2J\""),
        GOOD(",\"name\":null"),
        GOOD(",\"address\":\"10.0.0.1 \""),
        GOOD(",\"address\":\"10.0.0.256\""),
        GOOD(",\"address\":\"example\""),
        GOOD(",\"address\":[\"10.0.0.1\"]"),
        GOOD(",\"port\":-1"),
        GOOD(",\"port\":65536"),
        GOOD(",\"port\":80.0"),
        GOOD(",\"port\":\"80\""),
        GOOD(",\"port\":18446744073709551696"),
        GOOD(",\"count\":0"),
        GOOD(",\"count\":-5"),
        GOOD(",\"count\":4294967296"),
        GOOD(",\"count\":null"),
        GOOD(",\"deep\":[1]"),
        GOOD(",\"deep\":{\"a\":{\"a\":{\"a\":{}}}}"),
        GOOD("") GOOD(""),
    };
    for (size_t i = 0; i < CII_ELEMENTS(messages); i++) {
        say(messages[i]);
        _cleanup_result_ ci_result *result = end_run();
        if (ci_result_refusal_count(result) != 1 || strcmp(refusal_at(result, 0).protocol, "?") != 0)
            fail_msg("%s", messages[i]);
        assert_string_equal(refusal_at(result, 0).rule, "the session's gateway said it in a way that cannot be read");
        assert_null(refusal_at(result, 0).name);
        assert_null(refusal_at(result, 0).address);
        assert_int_equal(ci_result_refusal_total(result), 1);
    }
}

static void a_name_and_a_message_have_their_largest_sizes(void **state) {
    (void)state;
    char name[257], message[CII_REFUSAL_MAX + 2];
    memset(name, 'n', sizeof name);
    for (int size = 255; size <= 256; size++) {
        int length =
            snprintf(message, sizeof message, "{\"name\":\"%.*s\",\"protocol\":\"dns\",\"rule\":\"r\"}", size, name);
        say_bytes(message, (size_t)length);
        _cleanup_result_ ci_result *result = end_run();
        assert_int_equal(refusal_at(result, 0).name != NULL, size == 255);
    }
    for (size_t size = CII_REFUSAL_MAX; size <= CII_REFUSAL_MAX + 1; size++) {
        memset(message, ' ', sizeof message);
        memcpy(message, GOOD(""), strlen(GOOD("")));
        say_bytes(message, size);
        _cleanup_result_ ci_result *result = end_run();
        assert_int_equal(refusal_at(result, 0).address != NULL, size == CII_REFUSAL_MAX);
    }
}

static int count_fds(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void descriptors_that_come_along_are_not_taken(void **state) {
    (void)state;
    char message[] = GOOD("");
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.head), &gateway_fd, sizeof gateway_fd);
    struct iovec iov = {message, sizeof message - 1};
    const struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int before = count_fds();
    assert_int_equal(sendmsg(gateway_fd, &header, MSG_NOSIGNAL), sizeof message - 1);
    _cleanup_result_ ci_result *result = end_run();
    assert_int_equal(refusal_at(result, 0).port, 80);
    assert_int_equal(count_fds(), before);
}

static void a_gateway_that_is_gone_leaves_what_it_said(void **state) {
    (void)state;
    say(GOOD(""));
    cii_close(TAKE_FD(gateway_fd));
    _cleanup_result_ ci_result *result = end_run(), *next = end_run();
    assert_int_equal(ci_result_refusal_count(result), 1);
    assert_int_equal(ci_result_refusal_count(next), 0);
}

static void a_session_without_a_gateway_has_no_refusals(void **state) {
    (void)state;
    cii_close(TAKE_FD(session.events_fd));
    _cleanup_result_ ci_result *result = end_run();
    assert_int_equal(ci_result_refusal_count(result), 0);
}

/* Says more whenever there is room, as long as it is asked to read. */
static void say_again(void *user, const ci_refusal *refusal) {
    assert_int_equal(refusal->port, 80);
    ++*(int *)user;
    say(GOOD(""));
}

static void a_gateway_that_never_stops_does_not_hold_a_run_up(void **state) {
    (void)state;
    int told = 0;
    const ci_sink sink = {.struct_size = sizeof sink, .user = &told, .refusal = say_again};
    say(GOOD(""));
    local_refusals_tell(&session, &sink);
    assert_in_range(told, 100, 10000);
}

int main(void) {
#define WITH_GATEWAY(test) cmocka_unit_test_setup_teardown(test, connect_gateway, disconnect_gateway)
    const struct CMUnitTest tests[] = {
        WITH_GATEWAY(refusals_come_whole_in_their_order_and_once),
        WITH_GATEWAY(what_is_no_refusal_is_told_as_such),
        WITH_GATEWAY(a_name_and_a_message_have_their_largest_sizes),
        WITH_GATEWAY(descriptors_that_come_along_are_not_taken),
        WITH_GATEWAY(a_gateway_that_is_gone_leaves_what_it_said),
        WITH_GATEWAY(a_session_without_a_gateway_has_no_refusals),
        WITH_GATEWAY(a_gateway_that_never_stops_does_not_hold_a_run_up),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
