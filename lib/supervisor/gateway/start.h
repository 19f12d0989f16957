/* What the supervisor knows of gateways. */
#ifndef CII_SUPERVISOR_GATEWAY_START_H
#define CII_SUPERVISOR_GATEWAY_START_H

#include <sys/types.h>

#include "supervisor/gateway/policy.h"

/* Starts the gateway of a session that is to be: it waits on *ret_channel's other end for what the session's init makes
 * (wire/network.h), tells on events_fd what it refuses, and ends when that is closed at its other end. The rules are
 * copied. *ret_channel and the child *ret_pid are the caller's. */
ci_status gateway_start(policy *rules, int events_fd, int *ret_channel, pid_t *ret_pid, ci_error **ret_error);

#endif
