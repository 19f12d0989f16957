/* An exchange: attempts until one is good, cannot be repeated, or the time is over.
 *
 *     WAITING --due--> prepare, begin --> RUNNING --ended, stalled--> judge --> OVER
 *        ^                                                              |
 *        +------------------------- again, after a wait ----------------+ */
#include <time.h>

#include "base/clock.h"
#include "net/lane.h"

#define LOOKS 4 /* in the time that may pass without a byte */

/* --- life --------------------------------------------------------------------------------------------------------- */

ci_status cii_http_exchange_start(cii_http_lane *lane, const cii_http_plan *plan, cii_http_exchange **ret_exchange,
                                  ci_error **ret_error) {
    ci_status status = cii_http_pool_check(lane->pool, ret_error);
    if (status == CI_OK && !plan->prepare) /* else the request need not be complete yet */
        status = cii_http_check_request(&plan->request, ret_error);
    if (status < 0)
        return status;
    cii_http_exchange *x = cii_lane_take_exchange(lane);
    if (!x)
        return cii_error_nomem(ret_error);
    x->plan = *plan;
    x->state = CII_EXCHANGE_WAITING;
    x->response = (cii_http_response){.body = "", .headers = ""};
    x->attempt = x->repetitions = x->paid = 0;
    x->fresh = false;
    x->due_us = 0;
    x->deadline_us = plan->timeout_ms > 0 ? cii_clock_us() + plan->timeout_ms * 1000 : INT64_MAX;
    *ret_exchange = x;
    return CI_OK;
}

static void detach(cii_http_exchange *x) {
    if (x->state == CII_EXCHANGE_RUNNING) {
        cii_curl.multi_remove_handle(x->lane->multi, x->easy);
        cii_lane_forget_closed(x->lane);
    }
    x->state = CII_EXCHANGE_OVER;
    x->paused = false;
}

void cii_http_exchange_free(cii_http_exchange *x) {
    if (!x)
        return;
    if (x->lane->pool->creator == getpid())
        detach(x);
    ci_error_free(TAKE_PTR(x->error));
    ci_error_free(TAKE_PTR(x->stop_error));
    x->stopped = CI_OK;
    cii_lane_wipe(&x->lines); /* a signature or token was in it */
    cii_lane_wipe(&x->body);  /* and keys perhaps in the answer */
    cii_buf_free(&x->body);
    cii_lane_give_exchange(x->lane, x);
}

void cii_exchange_destroy(cii_http_exchange *x) {
    if (x->lane->pool->creator == getpid())
        cii_curl.easy_cleanup(x->easy);
    cii_buf_free(&x->headers);
    cii_buf_free(&x->body);
    cii_buf_free(&x->lines);
    free(x->nodes);
    free(x);
}

int32_t cii_http_exchange_result(cii_http_exchange *x, ci_error **ret_error) {
    if (x->state != CII_EXCHANGE_OVER)
        return 0;
    if (x->result < 0 && ret_error && x->error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(x->error);
    }
    return x->result < 0 ? x->result : 1;
}

const cii_http_response *cii_http_exchange_response(const cii_http_exchange *x) {
    return &x->response;
}

/* --- repeating ---------------------------------------------------------------------------------------------------- */

static bool nothing_sent(const cii_http_exchange *x) {
    long sent = 1;
    return cii_curl.easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent == 0;
}

/* The server says that it has done nothing. */
static bool is_refusal(int32_t status) {
    return (status >= 400 && status <= 499) || status == 503;
}

static bool can_be_sent_again(const cii_http_exchange *x) {
    const cii_http_request *request = &x->plan.request;
    bool may_be_done = !nothing_sent(x) && !(x->plan.harmless && is_refusal(x->response.status));
    if (x->plan.once && may_be_done)
        return false;
    return x->read_bytes == 0 || !request->read || request->rewind;
}

/* The server may close a kept connection in the moment it is used again, or what comes on it may be the rest of an earlier
 * answer that was longer than announced: that says nothing of the request. */
static bool died_with_its_connection(const cii_http_exchange *x, CURLcode code) {
    long connects = 1;
    if (code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_GOT_NOTHING &&
        code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_WEIRD_SERVER_REPLY)
        return false;
    cii_curl.easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0 && x->response.status == 0 && !x->fresh && can_be_sent_again(x);
}

/* How long to wait before the next attempt; -1: longer than anybody should wait for a call. */
static int64_t delay_ms(const cii_http_exchange *x) {
    cii_http_pool *pool = x->lane->pool;
    int32_t status = x->response.status;
    uint32_t first_ms = cii_retry_throttled(status) ? pool->settings.retry_ms * 10 : pool->settings.retry_ms;
    int64_t own = cii_retry_delay_ms(x->repetitions + 1, first_ms, cii_pool_random(pool));
    int64_t asked = cii_retry_after_ms(cii_http_header_value(&x->response, "retry-after"),
                                       cii_http_header_value(&x->response, "date"), (int64_t)time(NULL));
    return asked > CII_RETRY_AFTER_MAX_MS ? -1 : CII_MAX(own, asked);
}

/* Whether another attempt was planned. */
static bool plan_again(cii_http_exchange *x, bool timed_out) {
    uint32_t attempt_max = x->plan.attempt_max ? x->plan.attempt_max : 3;
    uint32_t cost = timed_out ? CII_RETRY_TIMEOUT_COST : CII_RETRY_COST;
    if (x->repetitions + 1 >= attempt_max || (x->response.taken_bytes > 0 && !x->plan.resumes) || !can_be_sent_again(x))
        return false;
    int64_t wait_ms = delay_ms(x), now_us = cii_clock_us();
    if (wait_ms < 0 || wait_ms * 1000 >= x->deadline_us - now_us || cii_transfer_rewind(x) < 0 ||
        !cii_pool_pay(x->lane->pool, cost))
        return false;
    x->paid += cost;
    x->repetitions++;
    x->due_us = now_us + wait_ms * 1000;
    x->state = CII_EXCHANGE_WAITING;
    return true;
}

/* --- the end of an attempt ---------------------------------------------------------------------------------------- */

static void finish(cii_http_exchange *x, ci_error *error) {
    x->state = CII_EXCHANGE_OVER;
    x->error = error;
    x->result = ci_error_status(error);
    if (x->result < 0 && x->attempt > 1)
        cii_error_wrap(&x->error, x->result, "after %u attempts", x->attempt);
    if (x->result == CI_OK)
        cii_pool_repay(x->lane->pool, x->paid ? x->paid : 1);
}

static cii_http_verdict rule(const cii_http_exchange *x, const ci_error *error) {
    int32_t status = x->response.status;
    if (error)
        return ci_error_retryable(error) && x->stopped == CI_OK ? CII_HTTP_AGAIN : CII_HTTP_FAIL;
    if (status >= 200 && status <= 299)
        return CII_HTTP_DONE;
    return cii_retry_status(status) ? CII_HTTP_AGAIN : CII_HTTP_FAIL;
}

/* What was sent and not refused may have had its effect, so that whoever sends it again would do so twice. */
static void doubt(const cii_http_exchange *x, ci_error **error) {
    if (!x->plan.once || nothing_sent(x))
        return;
    if (x->plan.harmless) {
        if (ci_error_retryable(*error))
            cii_error_hint(error, "it may have arrived, so it was not sent again by itself: it can be repeated");
        return;
    }
    cii_error_mark(error, false, false);
    cii_error_hint(error, "it is not known whether it has had its effect: see, before it is repeated");
}

static void conclude(cii_http_exchange *x, ci_error *error) {
    cii_http_verdict verdict = CII_HTTP_BY_RULE;
    bool timed_out = ci_error_status(error) == CI_ERR_TIMEOUT;
    bool broke = error != NULL;
    x->response.body = x->body.data ? x->body.data : "";
    x->response.body_bytes = x->body.size;
    if (x->plan.judge)
        verdict = x->plan.judge(x->plan.user, &x->response, &error);
    if (verdict == CII_HTTP_BY_RULE)
        verdict = rule(x, error);
    if (verdict == CII_HTTP_DONE || (verdict == CII_HTTP_AGAIN && plan_again(x, timed_out))) {
        ci_error_free(TAKE_PTR(error));
        if (verdict == CII_HTTP_DONE)
            finish(x, NULL);
        return;
    }
    if (!error)
        error = cii_http_refused(x);
    if (broke || !is_refusal(x->response.status))
        doubt(x, &error);
    finish(x, error);
}

void cii_exchange_ended(cii_http_exchange *x, CURLcode code) {
    detach(x);
    x->fresh = died_with_its_connection(x, code);
    if (x->fresh && x->stopped == CI_OK && cii_transfer_rewind(x) == CI_OK) {
        x->state = CII_EXCHANGE_WAITING;
        x->due_us = 0;
        return;
    }
    if (code == CURLE_OK && !x->head_done) /* curl takes a part of a head for all of it when the connection ends */
        code = CURLE_PARTIAL_FILE;
    ci_error *error = TAKE_PTR(x->stop_error);
    if (!error && code != CURLE_OK)
        error = cii_http_failure(x, code);
    conclude(x, error);
    x->stopped = CI_OK;
}

/* --- in a lane's step --------------------------------------------------------------------------------------------- */

uint32_t cii_exchange_idle_ms(const cii_http_exchange *x) {
    return x->plan.idle_ms ? x->plan.idle_ms : x->lane->pool->settings.idle_ms;
}

static int64_t look_interval_us(const cii_http_exchange *x) {
    return (int64_t)cii_exchange_idle_ms(x) * 1000 / LOOKS;
}

static void begin(cii_http_exchange *x, int64_t now_us) {
    ci_error *error = NULL;
    ci_status status = CI_OK;
    x->attempt++;
    if (x->plan.prepare)
        status = x->plan.prepare(x->plan.user, x->attempt, x->response.taken_bytes, &x->plan.request, &error);
    if (status < 0 && !error)
        cii_error_set(&error, status, "http", "the request could not be prepared");
    if (status == CI_OK)
        status = cii_transfer_begin(x, &error);
    if (status < 0) {
        finish(x, error);
        return;
    }
    x->state = CII_EXCHANGE_RUNNING;
    x->look_us = now_us + look_interval_us(x);
    x->moved = 0;
    x->still = 0;
}

/* Bytes are counted by looking now and then, which costs nothing while they move. */
static void look(cii_http_exchange *x, int64_t now_us) {
    curl_off_t up = 0, down = 0;
    long heads = 0;
    cii_curl.easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    cii_curl.easy_getinfo(x->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    cii_curl.easy_getinfo(x->easy, CURLINFO_HEADER_SIZE, &heads);
    int64_t moved = up + down + heads;
    bool quiet = moved == x->moved && !x->was_paused;
    x->still = quiet ? x->still + 1 : 0;
    x->was_paused = x->paused;
    x->moved = moved;
    x->look_us = now_us + look_interval_us(x);
    if (x->still < LOOKS)
        return;
    detach(x);
    conclude(x, cii_http_stalled(x));
}

void cii_exchange_step(cii_http_exchange *x, int64_t now_us) {
    if (now_us >= x->deadline_us) {
        ci_error *error = cii_http_overdue(x);
        if (x->state == CII_EXCHANGE_RUNNING)
            doubt(x, &error);
        detach(x);
        finish(x, error);
    } else if (x->state == CII_EXCHANGE_WAITING) {
        begin(x, now_us);
    } else if (x->state == CII_EXCHANGE_RUNNING) {
        look(x, now_us);
    }
}

void cii_exchange_resume(cii_http_exchange *x) {
    x->paused = false;
    CURLcode code = cii_curl.easy_pause(x->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK)
        cii_exchange_ended(x, code);
}

int64_t cii_exchange_due(const cii_http_exchange *x) {
    if (x->state == CII_EXCHANGE_OVER)
        return INT64_MAX;
    return CII_MIN(x->deadline_us, x->state == CII_EXCHANGE_WAITING ? x->due_us : x->look_us);
}
