/* Contexts: told of, cleared, removed. */
#include <ci/context.h>

#include <string.h>

#include "session/run.h"

static ci_status need(ci_session *session, uint64_t capability, const char *what, ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    if (status < 0 || (session->capabilities & capability))
        return status;
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "session", "the backend \"%s\" cannot %s", session->ops->name, what);
}

typedef struct listing {
    ci_context_cb context;
    void *user;
} listing;

/* A backend may be older than this library, and know less of a context. */
static int32_t hand_on(void *user, const ci_context_info *given) {
    const listing *self = user;
    ci_context_info info = {.language = "", .context = ""};
    memcpy(&info, given, CII_MIN(given->struct_size, sizeof info));
    info.struct_size = sizeof info;
    return self->context(self->user, &info);
}

ci_status ci_context_list(ci_session *session, ci_context_cb context, void *user, ci_error **ret_error) {
    ci_status status = need(session, CI_CAP_CONTEXTS, "tell its contexts", ret_error);
    if (status < 0)
        return status;
    if (!context)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "context: NULL");
    listing self = {context, user};
    return session->ops->contexts(session->backend, hand_on, &self, ret_error);
}

ci_status ci_context_clear_start(ci_session *session, const char *language, const char *context, ci_call **ret_call,
                                 ci_error **ret_error) {
    ci_status status = need(session, CI_CAP_CLEAR_CONTEXT, "clear a context", ret_error);
    return status < 0 ? status : cii_run_on_context(session, CI_RUN_KIND_CLEAR, language, context, ret_call, ret_error);
}

ci_status ci_context_clear(ci_session *session, const char *language, const char *context, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_context_clear_start(session, language, context, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_context_remove_start(ci_session *session, const char *language, const char *context, ci_call **ret_call,
                                  ci_error **ret_error) {
    ci_status status = need(session, CI_CAP_CONTEXTS, "remove a context", ret_error);
    return status < 0 ? status
                      : cii_run_on_context(session, CI_RUN_KIND_REMOVE, language, context, ret_call, ret_error);
}

ci_status ci_context_remove(ci_session *session, const char *language, const char *context, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_context_remove_start(session, language, context, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}
