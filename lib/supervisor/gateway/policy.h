/* What a session may reach: rules, and the names its addresses were resolved by. Sans-I/O: the gateway asks before it
 * resolves, answers or connects, and does what the verdict says. README.md has the rules and what they mean.
 *
 * Contract: at most POLICY_RULES_MAX rules a list; memory is had when the policy is made, no call after it fails for want
 * of it. One thread. */
#ifndef CII_SUPERVISOR_GATEWAY_POLICY_H
#define CII_SUPERVISOR_GATEWAY_POLICY_H

#include "base/error.h"
#include "supervisor/gateway/address.h"
#include "supervisor/gateway/resolved.h"

#define POLICY_RULES_MAX 1024

typedef struct policy policy;

typedef struct verdict {
    bool named_by_address; /* an allow rule names the address (of an answer: on whatever port; of a connection: on its
                              port): it may be one of the host's own */
    char name[NAME_SIZE];  /* the name that was asked for, or that the address was resolved by; "": none is known */
    char rule[128];        /* what refused, in words: "10.0.0.0/8 is private", "deny *.evil.example"; "" when allowed */
} verdict;

/* NULL-ended lists. allow NULL: all that is public; allow without an entry: nothing. CI_ERR_INVALID names list and rule. */
ci_status policy_new(const char *const *allow, const char *const *deny, policy **ret_policy, ci_error **ret_error);
void policy_free(policy *p);

/* The calls below fill *ret_verdict whatever they return: true, it may be; false, ret_verdict->rule says why not. */

/* May this name be resolved? Any bytes; a dot at the end is ignored. */
bool policy_name(policy *p, const char *name, size_t name_size, verdict *ret_verdict);
/* May the address be given as the answer for the name? Then it is known by that name from now on. */
bool policy_answer(policy *p, const char *name, const address *a, uint32_t ttl_seconds, int64_t now_ms,
                   verdict *ret_verdict);
/* May a connection or datagram go there? port 0: what has no ports. */
bool policy_connect(policy *p, const address *a, uint16_t port, int64_t now_ms, verdict *ret_verdict);

static inline void policy_free_p(policy **p) {
    policy_free(*p);
}
#define _cleanup_policy_ _cleanup_(policy_free_p)

#endif
