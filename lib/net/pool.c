/* The pool: settings, and a stack of idle lanes. The lane given back last is taken first, so that a host with little to do
 * uses few connections, and the others grow old at the bottom and are closed. */
#include <sys/random.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/lane.h"

/* Quotes nothing of it: there may be a password in it. */
static ci_status check_proxy(const char *proxy, ci_error **ret_error) {
    static const char *const kinds[] = {"http://", "https://", "socks5://", "socks5h://"};
    for (size_t i = 0; i < CII_ELEMENTS(kinds); i++)
        if (!proxy || strncasecmp(proxy, kinds[i], strlen(kinds[i])) == 0)
            return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, "http",
                         "proxy: must begin with http://, https://, socks5:// or socks5h://");
}

static bool copy(const char **text) {
    if (!*text)
        return true;
    *text = strdup(*text);
    return *text != NULL;
}

static bool fill_settings(cii_http_settings *to, const cii_http_settings *from) {
    *to = from ? *from : (cii_http_settings){0};
    to->connect_ms = to->connect_ms ? to->connect_ms : 10000;
    to->idle_ms = to->idle_ms ? to->idle_ms : 60000;
    to->retry_ms = to->retry_ms ? to->retry_ms : 100;
    to->kept_connection_max = to->kept_connection_max ? to->kept_connection_max : 16;
    to->kept_ms = to->kept_ms ? to->kept_ms : 60000;
    if (to->proxy && !*to->proxy)
        to->proxy = NULL;
    bool good = copy(&to->ca_file);
    good = copy(&to->proxy) && good;
    return copy(&to->no_proxy) && good;
}

static void free_pool(cii_http_pool *pool) {
    if (pool->settings.proxy) /* its password */
        explicit_bzero((char *)pool->settings.proxy, strlen(pool->settings.proxy));
    free((char *)pool->settings.ca_file);
    free((char *)pool->settings.proxy);
    free((char *)pool->settings.no_proxy);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

ci_status cii_http_pool_new(const cii_http_settings *settings, cii_http_pool **ret_pool, ci_error **ret_error) {
    ci_status status = check_proxy(settings && settings->proxy && *settings->proxy ? settings->proxy : NULL, ret_error);
    if (status == CI_OK)
        status = cii_curl_load(ret_error);
    if (status < 0)
        return status;
    cii_http_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return cii_error_nomem(ret_error);
    pool->creator = getpid();
    pool->budget.tokens = CII_RETRY_TOKENS;
    pthread_mutex_init(&pool->lock, NULL);
    if (!fill_settings(&pool->settings, settings)) {
        free_pool(pool);
        return cii_error_nomem(ret_error);
    }
    pool->seed = pool->settings.seed;
    if (pool->seed == 0 && getrandom(&pool->seed, sizeof pool->seed, GRND_NONBLOCK) < 0)
        pool->seed = (uint64_t)cii_clock_us() ^ (uintptr_t)pool;
    *ret_pool = pool;
    return CI_OK;
}

void cii_http_pool_free(cii_http_pool *pool) {
    if (!pool)
        return;
    for (cii_http_lane *lane = pool->idle, *below; lane; lane = below) {
        below = lane->below;
        cii_lane_free(lane);
    }
    free_pool(pool);
}

ci_status cii_http_pool_check(const cii_http_pool *pool, ci_error **ret_error) {
    if (pool->creator != getpid())
        return cii_error_set(ret_error, CI_ERR_FORKED, "http", "the connections were made by another process");
    return CI_OK;
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

ci_status cii_http_lane_take(cii_http_pool *pool, cii_http_lane **ret_lane, ci_error **ret_error) {
    ci_status status = cii_http_pool_check(pool, ret_error);
    if (status < 0)
        return status;
    pthread_mutex_lock(&pool->lock);
    cii_http_lane *lane = pool->idle;
    if (lane)
        pool->idle = lane->below;
    pthread_mutex_unlock(&pool->lock);
    if (!lane)
        return cii_lane_new(pool, ret_lane, ret_error);
    lane->below = NULL;
    *ret_lane = lane;
    return CI_OK;
}

/* Takes off the stack what is too old or holds a connection too many; returns those lanes. Under the lock. */
static cii_http_lane *cut_stack(cii_http_pool *pool, int64_t now_us) {
    size_t kept = 0;
    for (cii_http_lane **at = &pool->idle; *at; at = &(*at)->below) {
        kept += (*at)->open_count;
        bool old = now_us - (*at)->idle_since_us > (int64_t)pool->settings.kept_ms * 1000;
        if (old || (at != &pool->idle && kept > pool->settings.kept_connection_max)) {
            cii_http_lane *rest = *at;
            *at = NULL;
            return rest;
        }
    }
    return NULL;
}

void cii_http_lane_give(cii_http_lane *lane) {
    if (!lane)
        return;
    cii_http_pool *pool = lane->pool;
    while (lane->exchanges)
        cii_http_exchange_free(lane->exchanges);
    if (pool->creator != getpid() || lane->broken) {
        cii_lane_free(lane);
        return;
    }
    lane->idle_since_us = cii_clock_us();
    pthread_mutex_lock(&pool->lock);
    lane->below = pool->idle;
    pool->idle = lane;
    cii_http_lane *rest = cut_stack(pool, lane->idle_since_us);
    pthread_mutex_unlock(&pool->lock);
    for (cii_http_lane *below; rest; rest = below) {
        below = rest->below;
        cii_lane_free(rest);
    }
}

/* --- chance and budget -------------------------------------------------------------------------------------------- */

uint64_t cii_pool_random(cii_http_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    uint64_t random = cii_retry_random(&pool->seed);
    pthread_mutex_unlock(&pool->lock);
    return random;
}

bool cii_pool_pay(cii_http_pool *pool, uint32_t cost) {
    pthread_mutex_lock(&pool->lock);
    bool paid = cii_retry_take(&pool->budget, cost);
    pthread_mutex_unlock(&pool->lock);
    return paid;
}

void cii_pool_repay(cii_http_pool *pool, uint32_t tokens) {
    pthread_mutex_lock(&pool->lock);
    cii_retry_put(&pool->budget, tokens);
    pthread_mutex_unlock(&pool->lock);
}
