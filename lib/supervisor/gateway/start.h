/* What the supervisor knows of gateways. */
#ifndef CII_SUPERVISOR_GATEWAY_START_H
#define CII_SUPERVISOR_GATEWAY_START_H

#include <sys/types.h>

#include "supervisor/gateway/policy.h"

/* Starts a session's gateway: it takes from channel_fd what the session's init makes or has made (wire/network.h), tells on
 * events_fd what it refuses, and ends when that is closed at its other end. Nothing is consumed; the child *ret_pid is the
 * caller's. */
ci_status gateway_start(policy *rules, int channel_fd, int events_fd, pid_t *ret_pid, ci_error **ret_error);

#endif
