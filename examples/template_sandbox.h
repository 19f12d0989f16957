/* A small complete sandbox backend, to start one of your own from. See template_sandbox.c. */
#ifndef TEMPLATE_SANDBOX_H
#define TEMPLATE_SANDBOX_H

#include <ci/sys/sandbox.h>

/* How much of the contract it implements: leave bits out to see how libci gets by without. */
enum {
    TEMPLATE_HOST_PATHS = 1 << 0, /* give the files as a folder of this machine */
    TEMPLATE_WALK = 1 << 1,       /* walk through folders in one operation */
};

/* Makes the sandbox object; the caller's, to be given up with ci_sandbox_free(). */
ci_status template_sandbox_new(unsigned flags, ci_sandbox **ret_sandbox, ci_error **ret_error);

#endif
