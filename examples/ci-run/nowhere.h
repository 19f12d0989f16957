/* A sandbox in which nothing runs: a session that only stores uploads needs no more. */
#ifndef CI_RUN_NOWHERE_H
#define CI_RUN_NOWHERE_H

#include <ci/ci.h>

ci_status nowhere_new(ci_sandbox **ret_sandbox, ci_error **ret_error);

#endif
