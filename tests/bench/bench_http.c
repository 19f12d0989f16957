/* What small PUTs cost in lib/net, beside a bare libcurl loop: bench_http URL [COUNT]. Prints the processor time and the
 * time of the clock of each, a PUT; the better of three rounds. The server (tests/http/server.py) is not counted. */
#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "net/http.h"
#include "os/fd.h"

enum { PARALLEL = 8, SIZE = 4096 };

static char body[SIZE];
static const char *url;

/* --- the floor ---------------------------------------------------------------------------------------------------- */

static size_t give(char *buffer, size_t size, size_t count, void *user) {
    size_t *at = user, n = CII_MIN(size * count, SIZE - *at);
    memcpy(buffer, body + *at, n);
    *at += n;
    return n;
}

static size_t drop(char *data, size_t size, size_t count, void *user) {
    (void)data;
    (void)user;
    return size * count;
}

static int bare_curl(unsigned count) {
    CURLM *multi = curl_multi_init();
    CURL *easy[PARALLEL];
    size_t at[PARALLEL] = {0};
    struct curl_slist *headers = NULL;
    headers = curl_slist_append(headers, "x-amz-date: 20130524T000000Z");
    headers = curl_slist_append(headers, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    headers = curl_slist_append(headers, "Expect:");
    unsigned begun = 0, done = 0, bad = 0;
    for (int i = 0; i < PARALLEL; i++) {
        easy[i] = curl_easy_init();
        curl_easy_setopt(easy[i], CURLOPT_URL, url);
        curl_easy_setopt(easy[i], CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy[i], CURLOPT_INFILESIZE, (long)SIZE);
        curl_easy_setopt(easy[i], CURLOPT_READFUNCTION, give);
        curl_easy_setopt(easy[i], CURLOPT_READDATA, &at[i]);
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, drop);
        curl_easy_setopt(easy[i], CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy[i], CURLOPT_PRIVATE, &at[i]);
        curl_easy_setopt(easy[i], CURLOPT_NOSIGNAL, 1L);
        curl_multi_add_handle(multi, easy[i]);
        begun++;
    }
    while (done < count) {
        int running, left;
        CURLMsg *message;
        curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &left))) {
            CURL *of = message->easy_handle;
            char *offset;
            long status = 0;
            curl_easy_getinfo(of, CURLINFO_PRIVATE, &offset);
            curl_easy_getinfo(of, CURLINFO_RESPONSE_CODE, &status);
            bad += message->data.result != CURLE_OK || status != 200;
            done++;
            curl_multi_remove_handle(multi, of);
            if (begun < count) {
                *(size_t *)(void *)offset = 0;
                curl_multi_add_handle(multi, of);
                begun++;
            }
        }
        if (done < count)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < PARALLEL; i++)
        curl_easy_cleanup(easy[i]);
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    return bad == 0;
}

/* --- lib/net ------------------------------------------------------------------------------------------------------ */

static const cii_http_header amz_headers[] = {{"x-amz-date", "20130524T000000Z"},
                                              {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}};

static cii_http_plan put_plan(void) {
    return (cii_http_plan){.request = {.method = "PUT",
                                       .url = url,
                                       .headers = amz_headers,
                                       .header_count = CII_ELEMENTS(amz_headers),
                                       .body = body,
                                       .body_bytes = SIZE}};
}

static int one_lane(unsigned count) {
    cii_http_pool *pool;
    cii_http_lane *lane;
    cii_http_exchange *exchanges[PARALLEL] = {0};
    cii_http_plan plan = put_plan();
    unsigned begun = 0, done = 0, bad = 0;
    if (cii_http_pool_new(NULL, &pool, NULL) < 0 || cii_http_lane_take(pool, &lane, NULL) < 0)
        return 0;
    while (done < count && bad == 0) {
        for (int i = 0; i < PARALLEL && begun < count; i++)
            if (!exchanges[i])
                begun += cii_http_exchange_start(lane, &plan, &exchanges[i], NULL) == CI_OK;
        bad += cii_http_lane_process(lane, NULL) < 0;
        unsigned done_before = done;
        for (int i = 0; i < PARALLEL; i++) {
            int32_t result = exchanges[i] ? cii_http_exchange_result(exchanges[i], NULL) : 0;
            if (result == 0)
                continue;
            bad += result < 0;
            done++;
            cii_http_exchange_free(TAKE_PTR(exchanges[i]));
        }
        if (done == done_before)
            cii_fd_wait(cii_http_lane_fd(lane), POLLIN, 1000);
    }
    cii_http_lane_give(lane);
    cii_http_pool_free(pool);
    return bad == 0;
}

/* A storage's operation: a lane and an exchange, its descriptor in the epoll descriptor of a call of the library's. */
typedef struct operation {
    cii_http_lane *lane;
    cii_http_exchange *exchange;
} operation;

/* 1: done and given back. */
static int32_t process(operation *op, int epoll_fd) {
    int32_t result = cii_http_lane_process(op->lane, NULL);
    if (result == CI_OK)
        result = cii_http_exchange_result(op->exchange, NULL);
    if (result == 0)
        return 0;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, cii_http_lane_fd(op->lane), NULL);
    cii_http_exchange_free(TAKE_PTR(op->exchange));
    cii_http_lane_give(TAKE_PTR(op->lane));
    return result;
}

static bool start(operation *op, uint32_t number, cii_http_pool *pool, int epoll_fd) {
    cii_http_plan plan = put_plan();
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    return cii_http_lane_take(pool, &op->lane, NULL) == CI_OK &&
           cii_http_exchange_start(op->lane, &plan, &op->exchange, NULL) == CI_OK &&
           epoll_ctl(epoll_fd, EPOLL_CTL_ADD, cii_http_lane_fd(op->lane), &event) == 0;
}

static int eight_lanes(unsigned count) {
    cii_http_pool *pool;
    operation ops[PARALLEL] = {0};
    struct epoll_event events[PARALLEL];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    unsigned begun = 0, done = 0, bad = 0;
    if (cii_http_pool_new(NULL, &pool, NULL) < 0)
        return 0;
    while (done < count && bad == 0) {
        for (uint32_t i = 0; i < PARALLEL; i++) {
            while (!ops[i].lane && begun < count && bad == 0) {
                bad += !start(&ops[i], i, pool, epoll_fd);
                begun++;
                int32_t result = process(&ops[i], epoll_fd);
                done += result != 0;
                bad += result < 0;
            }
        }
        int ready = done < count ? epoll_wait(epoll_fd, events, PARALLEL, 1000) : 0;
        for (int e = 0; e < ready; e++) {
            int32_t result = process(&ops[events[e].data.u32], epoll_fd);
            done += result != 0;
            bad += result < 0;
        }
    }
    for (size_t i = 0; i < PARALLEL; i++) {
        cii_http_exchange_free(ops[i].exchange);
        cii_http_lane_give(ops[i].lane);
    }
    cii_http_pool_free(pool);
    close(epoll_fd);
    return bad == 0;
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static int64_t processor_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(unsigned count);
    } ways[] = {{"bare libcurl", bare_curl}, {"one lane", one_lane}, {"eight lanes", eight_lanes}};
    int64_t processor[CII_ELEMENTS(ways)], wall[CII_ELEMENTS(ways)];
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_http URL [COUNT]\n");
        return 2;
    }
    url = argv[1];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < CII_ELEMENTS(ways); i++) {
            int64_t processor_start = processor_us(), start = cii_clock_us();
            if (!ways[i].run(count)) {
                fprintf(stderr, "%s: failed\n", ways[i].name);
                return 1;
            }
            int64_t used = processor_us() - processor_start, took = cii_clock_us() - start;
            processor[i] = round == 0 ? used : CII_MIN(processor[i], used);
            wall[i] = round == 0 ? took : CII_MIN(wall[i], took);
        }
    }
    for (size_t i = 0; i < CII_ELEMENTS(ways); i++)
        printf("%-12s %7.1f us processor, %7.1f us clock a PUT (%.2f and %.2f of the floor)\n", ways[i].name,
               (double)processor[i] / count, (double)wall[i] / count, (double)processor[i] / (double)processor[0],
               (double)wall[i] / (double)wall[0]);
    return 0;
}
