/* Late runs of backends that cannot interrupt, with CI_SESSION_LEAVE_RUNNING: they keep their context busy until they
 * end by themselves. Their operation has to live as long, since freeing it would kill them. */
#include "session/run.h"

struct cii_left_run {
    cii_left_run *next;
    char *place;
    ci_op *op;
    cii_collector *collector; /* its sink is the operation's */
};

static void free_one(cii_left_run *left) {
    cii_op_drop(&left->op);
    cii_collector_free(left->collector);
    free(left->place);
    free(left);
}

ci_status cii_left_add(ci_session *session, const char *place, ci_op *op, cii_collector *collector) {
    cii_left_run *left = calloc(1, sizeof *left);
    char *copy = strdup(place);
    if (!left || !copy) {
        free(left);
        free(copy);
        cii_op_drop(&op);
        cii_collector_free(collector);
        return CI_ERR_NOMEM;
    }
    *left = (cii_left_run){.place = copy, .op = op, .collector = collector};
    pthread_mutex_lock(&session->lock);
    left->next = session->left;
    session->left = left;
    pthread_mutex_unlock(&session->lock);
    return CI_OK;
}

/* Takes one out of the list, so that it can be processed without the lock. */
static cii_left_run *take(ci_session *session, const char *place) {
    pthread_mutex_lock(&session->lock);
    cii_left_run **at = &session->left;
    while (*at && strcmp((*at)->place, place) != 0)
        at = &(*at)->next;
    cii_left_run *left = *at;
    if (left)
        *at = left->next;
    pthread_mutex_unlock(&session->lock);
    return left;
}

ci_status cii_left_check(ci_session *session, const char *place, ci_error **ret_error) {
    for (cii_left_run *left; (left = take(session, place));) {
        _cleanup_error_ ci_error *error = NULL;
        if (left->op->ops->process(left->op, &error) != 0) {
            free_one(left);
            continue;
        }
        pthread_mutex_lock(&session->lock);
        left->next = session->left;
        session->left = left;
        pthread_mutex_unlock(&session->lock);
        ci_status status = cii_error_set(ret_error, CI_ERR_BUSY, "session",
                                         "earlier code still runs there: it was left running at its time-out");
        cii_error_mark(ret_error, true, false);
        return status;
    }
    return CI_OK;
}

void cii_left_free(cii_left_run *left) {
    while (left) {
        cii_left_run *next = left->next;
        free_one(left);
        left = next;
    }
}
