/* The sandbox object as the session layer sees it: a backend's table with named defaults, and its impl. */
#ifndef CII_SANDBOX_SANDBOX_H
#define CII_SANDBOX_SANDBOX_H

#include <ci/sys/sandbox.h>

#include "base/error.h"

/* The object's own copy of the table: every slot is set. Lives as long as the sandbox. */
const ci_sandbox_ops *cii_sandbox_ops(const ci_sandbox *sandbox);
void *cii_sandbox_impl(const ci_sandbox *sandbox);

/* CI_OK, or CI_ERR_INVALID (NULL) or CI_ERR_FORKED (made by another process). */
ci_status cii_sandbox_check(const ci_sandbox *sandbox, ci_error **ret_error);

/* Eventfds that calls have left, kept for those that come: per sandbox, so that an idle session has none. take: -1 when
 * there is none to spare. give takes the descriptor over. drop closes all, so that a session's end leaves none behind. */
int cii_sandbox_take_wake_fd(ci_sandbox *sandbox);
void cii_sandbox_give_wake_fd(ci_sandbox *sandbox, int fd);
void cii_sandbox_drop_wake_fds(ci_sandbox *sandbox);

#endif
