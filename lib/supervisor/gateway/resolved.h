/* By which names the addresses were resolved that the guest was given.
 *
 * Contract: at most RESOLVED_MAX pairs of address and name, and RESOLVED_NAMES_MAX names of one address; what was used
 * least lately goes. A pair lives for its TTL, but at least 5 minutes and at most an hour, from its last answer or use. All
 * memory is had at the beginning. One thread. */
#ifndef CII_SUPERVISOR_GATEWAY_RESOLVED_H
#define CII_SUPERVISOR_GATEWAY_RESOLVED_H

#include "supervisor/gateway/address.h"

#define RESOLVED_MAX 4096
#define RESOLVED_NAMES_MAX 16
#define RESOLVED_LIFE_MIN_S 300
#define RESOLVED_LIFE_MAX_S 3600

typedef struct resolved resolved;

resolved *resolved_new(void); /* NULL without memory */
void resolved_free(resolved *r);
/* `name` is shorter than NAME_SIZE. */
void resolved_put(resolved *r, const address *a, const char *name, uint32_t ttl_seconds, int64_t now_ms);
/* How many names the address has, the one that was answered last first, and all of them used now. The strings live until
 * the next put. */
size_t resolved_use(resolved *r, const address *a, int64_t now_ms, const char *ret_names[RESOLVED_NAMES_MAX]);

#endif
