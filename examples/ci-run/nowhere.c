/* The least that a backend can be: its sessions are open at once, and each is the same. */
#include "nowhere.h"

#include <ci/sys/sandbox.h>

static int32_t op_fd(ci_op *op) {
    (void)op;
    return -1;
}

static int32_t op_process(ci_op *op, ci_error **ret_error) {
    (void)op;
    (void)ret_error;
    return 1;
}

static void op_free(ci_op *op) {
    (void)op;
}

static ci_status open_nothing(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                              ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, op_fd, op_process, NULL, NULL, op_free};
    static ci_op done = {&ops};
    (void)request;
    (void)ret_error;
    *ret_session = impl;
    *ret_op = &done;
    return CI_OK;
}

static void close_nothing(void *session) {
    (void)session;
}

static ci_status run_nothing(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                             ci_error **ret_error) {
    static const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "nowhere", .message = "nothing runs here", .status = CI_ERR_NOTSUP};
    (void)session;
    (void)request;
    (void)sink;
    (void)ret_op;
    return ci_error_make(&fields, ret_error);
}

static uint64_t can(void *impl, void *session) {
    (void)impl;
    (void)session;
    return CI_CAP_NETWORK_NONE;
}

ci_status nowhere_new(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    static const ci_sandbox_ops ops = {.struct_size = sizeof ops,
                                       .name = "nowhere",
                                       .capabilities = can,
                                       .open = open_nothing,
                                       .close = close_nothing,
                                       .run = run_nothing};
    static char impl;
    return ci_sandbox_new(&ops, &impl, ret_sandbox, ret_error);
}
