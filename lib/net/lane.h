/* Inside lib/net: pool, lane and exchange. Only the pool's stack of idle lanes, its budget and its chance are shared by
 * threads, under a lock that is held for some instructions at a time; a lane and its exchanges have one user. */
#ifndef CII_NET_LANE_H
#define CII_NET_LANE_H

#include <pthread.h>
#include <sys/types.h>

#include "base/buf.h"
#include "net/curl.h"
#include "net/http.h"
#include "net/retry.h"

struct cii_http_pool {
    pid_t creator;
    cii_http_settings settings; /* defaults filled in, strings our own */
    pthread_mutex_t lock;
    cii_http_lane *idle; /* the one given back last first */
    cii_retry_budget budget;
    uint64_t seed;
};

/* CI_OK, or CI_ERR_FORKED. */
ci_status cii_http_pool_check(const cii_http_pool *pool, ci_error **ret_error);
uint64_t cii_pool_random(cii_http_pool *pool);
bool cii_pool_pay(cii_http_pool *pool, uint32_t cost); /* false: the budget has not as much */
void cii_pool_repay(cii_http_pool *pool, uint32_t tokens);

/* A socket of curl's. What curl wants of it (EPOLLIN, EPOLLOUT; 0: nothing) is told to the kernel once at the end of a
 * step, and "nothing" only when an event comes all the same: a connection that is kept stays registered. */
typedef struct cii_lane_socket {
    int fd;
    uint32_t wanted;
    uint32_t registered;
    ino_t inode;      /* until its connection has once stood: curl may close it without telling. 0: it tells */
    bool opened_here; /* else a socket pair of curl's resolver, which it closes without telling */
} cii_lane_socket;

struct cii_http_lane {
    cii_http_pool *pool;
    cii_http_lane *below;  /* in the pool's stack */
    int64_t idle_since_us; /* … */
    CURLM *multi;
    int epoll_fd; /* holds the sockets and the timer */
    int timer_fd;
    int64_t curl_due_us; /* when curl wants to be called; INT64_MAX: never */
    int64_t armed_us;    /* what the timer is set to; INT64_MAX: not set. Earlier than needed is fine */
    cii_lane_socket *sockets;
    size_t socket_count;
    size_t socket_capacity; /* made before an attempt, so that no callback of curl's allocates */
    size_t open_count;      /* connections */
    cii_http_exchange *exchanges;
    size_t exchange_count;
    cii_http_exchange *spare; /* handles and buffers to be used again */
    size_t spare_count;
    bool tls;    /* has spoken TLS */
    bool broken; /* not to be used again */
};

ci_status cii_lane_new(cii_http_pool *pool, cii_http_lane **ret_lane, ci_error **ret_error);
void cii_lane_free(cii_http_lane *lane);
/* Room for the sockets of one more attempt. */
ci_status cii_lane_reserve(cii_http_lane *lane);
/* The callbacks that count a handle's sockets. */
curl_socket_t cii_lane_open_socket(void *lane, curlsocktype purpose, struct curl_sockaddr *address);
int cii_lane_close_socket(void *lane, curl_socket_t fd);
/* When an exchange has ended: 7.88 does not tell of sockets that it closes before their connection stands, TLS included. */
void cii_lane_forget_closed(cii_http_lane *lane);
/* One of the lane's spare exchanges, or a new one, now among those that run; NULL without memory. And back. */
cii_http_exchange *cii_lane_take_exchange(cii_http_lane *lane);
void cii_lane_give_exchange(cii_http_lane *lane, cii_http_exchange *exchange);

typedef enum cii_exchange_state {
    CII_EXCHANGE_WAITING, /* until due_us, then the next attempt begins */
    CII_EXCHANGE_RUNNING, /* curl has it */
    CII_EXCHANGE_OVER,
} cii_exchange_state;

struct cii_http_exchange {
    cii_http_exchange *next; /* of the lane's running or spare ones */
    cii_http_lane *lane;
    CURL *easy;
    cii_http_plan plan;
    cii_exchange_state state;
    cii_http_response response;
    ci_status result;
    ci_error *error;

    unsigned attempt;     /* how often prepare() was called */
    unsigned repetitions; /* of those that count */
    uint32_t paid;        /* tokens for them */
    bool fresh;           /* the next attempt must not use a kept connection */
    int64_t due_us;
    int64_t deadline_us;
    int64_t look_us; /* when to look whether bytes have moved */
    int64_t moved;   /* bytes, at the last look */
    unsigned still;  /* looks without a change */

    uint64_t read_bytes; /* of the body, that curl was given */
    bool head_done;
    bool paused; /* a callback said so; until the next step */
    bool was_paused;
    ci_status stopped; /* why a callback ended the attempt, and its error */
    ci_error *stop_error;

    cii_buf headers; /* of the answer */
    cii_buf body;
    cii_buf lines; /* of the request: what nodes point to */
    struct curl_slist *nodes;
    size_t node_capacity;
    char curl_text[CURL_ERROR_SIZE];
};

/* All that it ever held since it grew last. */
static inline void cii_lane_wipe(cii_buf *buf) {
    if (buf->data)
        explicit_bzero(buf->data, buf->capacity);
}

/* exchange.c: what a lane does with its exchanges. */
void cii_exchange_step(cii_http_exchange *exchange, int64_t now_us); /* begins what is due, ends what is overdue */
void cii_exchange_resume(cii_http_exchange *exchange);
void cii_exchange_ended(cii_http_exchange *exchange, CURLcode code);
uint32_t cii_exchange_idle_ms(const cii_http_exchange *exchange);
int64_t cii_exchange_due(const cii_http_exchange *exchange);
void cii_exchange_destroy(cii_http_exchange *exchange);

/* transfer.c: one attempt as curl sees it. */
CURL *cii_transfer_new(cii_http_exchange *exchange); /* NULL without memory */
ci_status cii_transfer_begin(cii_http_exchange *exchange, ci_error **ret_error);
ci_status cii_transfer_rewind(cii_http_exchange *exchange);

/* failure.c: what went wrong, in words. */
ci_status cii_http_check_request(const cii_http_request *request, ci_error **ret_error);
bool cii_http_is_tls(const char *url);
ci_error *cii_http_failure(const cii_http_exchange *exchange, CURLcode code);
ci_error *cii_http_stalled(const cii_http_exchange *exchange);
ci_error *cii_http_overdue(const cii_http_exchange *exchange);
ci_error *cii_http_refused(const cii_http_exchange *exchange); /* by the answer's status */

#endif
