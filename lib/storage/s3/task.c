/* An operation's life: credentials, then the lane's turn, then the step, as long as there is more to do at once; before its
 * own first step, and after a failed one, it aborts uploads that are left over. */
#include "storage/s3/s3.h"

#include "base/path.h"

#define ROUNDS_MAX 16 /* in one process() */

ci_status cii_s3_stopped(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_CANCELLED, CII_S3_DOMAIN, "the other side asked to stop");
}

/* --- the operation ------------------------------------------------------------------------------------------------ */

static int32_t task_fd(ci_op *op) {
    const cii_s3_task *t = (const cii_s3_task *)op;
    if (t->login.search)
        return t->login.search->ops->fd(t->login.search);
    if (t->busy)
        return -1;
    return t->wait_fd >= 0 ? t->wait_fd : cii_http_lane_fd(t->lane);
}

static int32_t round_of(cii_s3_task *t, ci_error **ret_error) {
    t->busy = false;
    int32_t result = cii_aws_login_find(&t->login, ret_error);
    if (result <= 0)
        return result;
    ci_status status = t->sent ? cii_http_lane_process(t->lane, ret_error) : CI_OK;
    if (status < 0)
        return status;
    if (cii_s3_sweep_step(t) == 0)
        return 0;
    if (t->failed == CI_OK) {
        result = t->step(t, &t->error);
        if (result >= 0)
            return result;
        t->failed = result;
        t->swept = 0;
        t->busy = true; /* what it has left is aborted now */
        return 0;
    }
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(t->error);
    }
    return t->failed;
}

static int32_t task_process(ci_op *op, ci_error **ret_error) {
    cii_s3_task *t = (cii_s3_task *)op;
    int32_t result = 0;
    for (int i = 0; i < ROUNDS_MAX && result == 0; i++) {
        result = round_of(t, ret_error);
        if (!t->busy || t->login.search)
            break;
    }
    if (result < 0)
        cii_error_wrap(ret_error, result, "S3: %s \"%s\"", t->what, t->key);
    return result;
}

static void task_clear(cii_s3_task *t) {
    if (t->release)
        t->release(t);
    cii_s3_call_free(&t->abort);
    cii_s3_sweep_stop(t);
    cii_aws_login_clear(&t->login);
    cii_http_lane_give(t->lane);
    ci_error_free(t->error);
    free(t->key);
}

static void task_free(ci_op *op) {
    task_clear((cii_s3_task *)op);
    free(op);
}

static const ci_op_ops ops = {sizeof ops, task_fd, task_process, NULL, NULL, task_free};

ci_status cii_s3_key_too_long(const char *key, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN,
                         "key \"%s\": with the storage's prefix it is longer than %u bytes", key, CII_S3_KEY_MAX);
}

void *cii_s3_task_alloc(const cii_s3 *s3, size_t size, const char *key, ci_status *ret_status, ci_error **ret_error) {
    *ret_status = cii_key_check(key, false, "key", ret_error);
    if (*ret_status == CI_OK && strlen(s3->prefix) + strlen(key) > CII_S3_KEY_MAX)
        *ret_status = cii_s3_key_too_long(key, ret_error);
    void *task = *ret_status == CI_OK ? calloc(1, size) : NULL;
    if (*ret_status == CI_OK && !task)
        *ret_status = cii_error_nomem(ret_error);
    return task;
}

ci_status cii_s3_task_start(cii_s3_task *t, cii_s3 *s3, const char *what, const char *key, ci_error **ret_error) {
    t->op.ops = &ops;
    t->s3 = s3;
    t->login.credentials = s3->credentials;
    t->what = what;
    t->wait_fd = -1;
    t->key = strdup(key);
    ci_status status = t->key ? cii_http_lane_take(s3->pool, &t->lane, ret_error) : cii_error_nomem(ret_error);
    if (status < 0)
        task_clear(t);
    return status;
}
