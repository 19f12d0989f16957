/* Pools and lanes: what they hold and give back, cancelling at any moment, a fork of the host. */
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../os/census.h"
#include "base/clock.h"
#include "os/fd.h"

#define GET(...) \
    { .method = "GET", .url = URL(__VA_ARGS__) }

static cii_http_pool *new_pool(cii_http_settings settings) {
    cii_http_pool *pool;
    assert_int_equal(cii_http_pool_new(&settings, &pool, NULL), CI_OK);
    return pool;
}

static void get_once(cii_http_pool *pool, const char *url) {
    _cleanup_talk_ talk t = {.pool = pool, .shared = true, .plan.request = {.method = "GET", .url = url}};
    if (talk_run(&t) != CI_OK)
        fail_msg("%s", ci_error_message(t.error));
}

static void everything_is_given_back(void **state) {
    (void)state;
    cii_http_pool_free(NULL);
    cii_http_lane_give(NULL);
    cii_http_exchange_free(NULL);
    size_t before = open_fd_count();
    for (int i = 0; i < 3; i++) {
        cii_http_pool *pool = new_pool((cii_http_settings){0});
        get_once(pool, URL("/x"));
        get_once(pool, URL("/x"));
        assert_true(open_fd_count() > before);
        cii_http_pool_free(pool);
        assert_int_equal(open_fd_count(), before);
    }
}

static void exchanges_can_be_given_up_at_any_moment(void **state) {
    (void)state;
    static const char *const paths[] = {"/bytes/3000000", "/do/endless", "/do/stall",
                                        "/do/until-9/status-503?id=giveup", "/do/reset"};
    size_t before = open_fd_count();
    cii_http_pool *pool = new_pool((cii_http_settings){.retry_ms = 1});
    for (size_t i = 0; i < CII_ELEMENTS(paths); i++) {
        for (int steps = 0; steps < 12; steps++) {
            pipe_end up = {.pause_every = 3}, down = {.pause_every = 2};
            talk put = {.pool = pool,
                        .shared = true,
                        .plan = {.request = {.method = "PUT",
                                             .url = URL("%s", paths[i]),
                                             .body_bytes = 10000000,
                                             .read = read_pattern},
                                 .user = &up}};
            talk get = {.pool = pool,
                        .shared = true,
                        .plan = {.request = GET("%s", paths[i]), .user = &down, .write = write_pattern}};
            assert_int_equal(talk_start(&put), CI_OK);
            assert_int_equal(talk_start(&get), CI_OK);
            for (int step = 0; step < steps; step++) {
                assert_int_equal(cii_http_lane_process(put.lane, NULL), CI_OK);
                assert_int_equal(cii_http_lane_process(get.lane, NULL), CI_OK);
                cii_fd_wait(cii_http_lane_fd(get.lane), POLLIN, 5);
            }
            if (steps % 2)
                cii_http_exchange_free(TAKE_PTR(put.exchange));
            cii_http_lane_give(put.lane); /* with its exchange, or without */
            put.exchange = NULL;
            put.lane = NULL;
            talk_end(&put);
            talk_end(&get);
        }
        get_once(pool, URL("/after")); /* and the lanes work on */
    }
    cii_http_pool_free(pool);
    assert_int_equal(open_fd_count(), before);
}

static unsigned connection_count(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        count += getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family == AF_INET;
    }
    return count;
}

/* Takes count lanes at once, has each connect, and gives them all back. */
static void connect_lanes(cii_http_pool *pool, size_t count) {
    talk talks[16] = {0};
    assert_true(count <= CII_ELEMENTS(talks));
    for (size_t i = 0; i < count; i++) {
        talks[i] = (talk){.pool = pool, .shared = true, .plan.request = GET("/lanes")};
        assert_int_equal(talk_run(&talks[i]), CI_OK);
    }
    for (size_t i = 0; i < count; i++)
        talk_end(&talks[i]);
}

static void no_more_connections_are_kept_than_wanted(void **state) {
    (void)state;
    size_t before = open_fd_count();
    cii_http_pool *pool = new_pool((cii_http_settings){.kept_connection_max = 3});
    connect_lanes(pool, 8);
    assert_int_equal(connection_count(), 3);
    cii_http_pool_free(pool);
    assert_int_equal(open_fd_count(), before);
}

static void connections_are_not_kept_for_ever(void **state) {
    (void)state;
    static const uint32_t kept_ms[] = {600000, 50};
    for (size_t i = 0; i < CII_ELEMENTS(kept_ms); i++) {
        cii_http_pool *pool = new_pool((cii_http_settings){.kept_ms = kept_ms[i]});
        connect_lanes(pool, 4);
        for (int64_t until_ms = cii_clock_ms() + 100; cii_clock_ms() < until_ms;)
            poll(NULL, 0, 10);
        connect_lanes(pool, 1); /* whoever comes next clears up */
        assert_int_equal(connection_count(), i == 0 ? 4 : 1);
        cii_http_pool_free(pool);
    }
}

static void connections_are_closed_on_exec(void **state) {
    (void)state;
    enum { FD_MAX = 1024 };
    bool there_before[FD_MAX];
    unsigned seen = 0;
    for (int fd = 0; fd < FD_MAX; fd++)
        there_before[fd] = fcntl(fd, F_GETFD) >= 0;
    cii_http_pool *pool = new_pool((cii_http_settings){0});
    connect_lanes(pool, 2);
    for (int fd = 0; fd < FD_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        bool curls_own = getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family == AF_UNIX;
        if (flags < 0 || there_before[fd] || curls_own)
            continue;
        assert_true(flags & FD_CLOEXEC);
        seen++;
    }
    assert_int_equal(seen, 2 * 3); /* a lane's connection, epoll descriptor and timer */
    cii_http_pool_free(pool);
}

/* In the child: every call says so, and what is freed there leaves the parent's connections alone. */
static int child(talk *t, size_t fds_before) {
    if (cii_http_lane_process(t->lane, &t->error) != CI_ERR_FORKED || ci_error_handle_usable(t->error))
        return 1;
    cii_http_exchange *exchange;
    cii_http_lane *lane;
    if (cii_http_exchange_start(t->lane, &t->plan, &exchange, NULL) != CI_ERR_FORKED)
        return 2;
    if (cii_http_lane_take(t->pool, &lane, NULL) != CI_ERR_FORKED)
        return 3;
    t->shared = false;
    talk_end(t);
    /* Two of each multi handle are curl's own, which only its clean-up would close. */
    return open_fd_count() > fds_before + 4 ? 4 : 0;
}

static void fork_with(const char *origin, const char *id) {
    size_t before = open_fd_count();
    cii_http_pool *pool = new_pool((cii_http_settings){.ca_file = ca});
    talk kept = {
        .pool = pool, .shared = true, .plan.request = {.method = "GET", .url = server_url(origin, "/f?id=%s", id)}};
    pipe_end down = {0};
    talk running = {.pool = pool,
                    .shared = true,
                    .plan = {.request = {.method = "GET", .url = server_url(origin, "/bytes/5000000?id=%s", id)},
                             .user = &down,
                             .write = write_pattern}};
    assert_int_equal(talk_run(&kept), CI_OK);
    assert_int_equal(talk_start(&running), CI_OK);
    while (down.written == 0) {
        assert_int_equal(cii_http_lane_process(running.lane, NULL), CI_OK);
        cii_fd_wait(cii_http_lane_fd(running.lane), POLLIN, 1000);
    }
    talk_end(&kept);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(&running, before));
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
    assert_int_equal(talk_finish(&running), CI_OK);
    assert_int_equal(down.written, 5000000);
    talk_end(&running);
    get_once(pool, server_url(origin, "/f?id=%s", id));
    cii_http_pool_free(pool);
    assert_int_equal(log_count(id), 3);
    assert_int_equal(log_connections(id), 2);
    assert_int_equal(open_fd_count(), before);
}

static void a_forked_child_leaves_the_connections_alone(void **state) {
    (void)state;
    fork_with(http, "forked");
    fork_with(https, "forked-tls");
}

static void a_lane_that_failed_is_not_used_again(void **state) {
    (void)state;
    cii_http_pool *pool = new_pool((cii_http_settings){0});
    talk broken = {.pool = pool, .shared = true, .plan.request = GET("/x")};
    assert_int_equal(talk_start(&broken), CI_OK);
    int fd = cii_http_lane_fd(broken.lane), copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup3(null_fd, fd, O_CLOEXEC), fd); /* what epoll_wait() cannot wait for */
    assert_int_equal(cii_http_lane_process(broken.lane, &broken.error), CI_ERR_INVALID);
    talk_end(&broken);
    close(copy);
    close(null_fd);
    get_once(pool, URL("/x"));
    cii_http_pool_free(pool);
}

/* Begins to connect, and is given up; the number that its socket had. The URL is one that is never answered. */
static int give_up_connecting(talk *t, const char *url, int steps) {
    int lowest = dup(0);
    close(lowest);
    t->plan = (cii_http_plan){.request = {.method = "GET", .url = url}};
    assert_int_equal(talk_start(t), CI_OK);
    for (int step = 0; step < steps; step++)
        assert_int_equal(cii_http_lane_process(t->lane, NULL), CI_OK);
    struct stat status;
    assert_int_equal(fstat(lowest, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    cii_http_exchange_free(TAKE_PTR(t->exchange));
    assert_int_equal(fcntl(lowest, F_GETFD), -1);
    return lowest;
}

static void a_connection_given_up_spoils_none_that_gets_its_number(void **state) {
    (void)state;
    cii_http_pool *pool = new_pool((cii_http_settings){.ca_file = ca});
    for (int i = 0; i < 2; i++) { /* while it connects; while TLS begins */
        talk t = {.pool = pool, .shared = true};
        assert_int_equal(cii_http_lane_take(pool, &t.lane, NULL), CI_OK);
        give_up_connecting(&t, server_url(i ? https : http, "/do/stall"), 1 + i);
        t.plan.request.url = server_url(i ? https : http, "/x");
        if (talk_run(&t) != CI_OK)
            fail_msg("%s", ci_error_message(t.error));
        talk_end(&t);
    }
    cii_http_pool_free(pool);
}

static void a_forked_child_closes_nothing_that_got_the_number_of_a_connection_given_up(void **state) {
    (void)state;
    cii_http_pool *pool = new_pool((cii_http_settings){0});
    talk t = {.pool = pool, .shared = true};
    assert_int_equal(cii_http_lane_take(pool, &t.lane, NULL), CI_OK);
    int fd = give_up_connecting(&t, URL("/do/stall"), 1);
    assert_int_equal(dup(0), fd);
    pid_t pid = fork();
    if (pid == 0) {
        cii_http_lane_give(t.lane);
        cii_http_pool_free(pool);
        _exit(fcntl(fd, F_GETFD) < 0);
    }
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
    close(fd);
    talk_end(&t);
    cii_http_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_given_back),
        cmocka_unit_test(exchanges_can_be_given_up_at_any_moment),
        cmocka_unit_test(no_more_connections_are_kept_than_wanted),
        cmocka_unit_test(connections_are_not_kept_for_ever),
        cmocka_unit_test(connections_are_closed_on_exec),
        cmocka_unit_test(a_forked_child_leaves_the_connections_alone),
        cmocka_unit_test(a_lane_that_failed_is_not_used_again),
        cmocka_unit_test(a_connection_given_up_spoils_none_that_gets_its_number),
        cmocka_unit_test(a_forked_child_closes_nothing_that_got_the_number_of_a_connection_given_up),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
