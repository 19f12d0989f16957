/* When to repeat a request: the rule without the network, so that it can be tested with any clock and chance. */
#ifndef CII_NET_RETRY_H
#define CII_NET_RETRY_H

#include "base/common.h"

#define CII_RETRY_CAP_MS 20000u       /* no wait of our own is longer */
#define CII_RETRY_AFTER_MAX_MS 60000u /* and none that a server asks for: then the caller is told */

/* 429, 500, 502, 503, 504. */
bool cii_retry_status(int32_t status);
/* 429 and 503 ask for less: their waits begin ten times as long. */
bool cii_retry_throttled(int32_t status);

/* Full jitter: from 0 to first_ms, twice that, four times … (repetition 1, 2, 3), at most the cap. */
uint32_t cii_retry_delay_ms(unsigned repetition, uint32_t first_ms, uint64_t random);

/* What Retry-After asks for: seconds, or a date, which is taken against the answer's own Date where there is one, else
 * against now_s (of the epoch). -1: nothing that can be understood. */
int64_t cii_retry_after_ms(const char *retry_after, const char *date, int64_t now_s);

/* A pool's budget, so that a server in trouble is not given more to do. */
typedef struct cii_retry_budget {
    uint32_t tokens;
} cii_retry_budget;

#define CII_RETRY_TOKENS 500u
#define CII_RETRY_COST 5u
#define CII_RETRY_TIMEOUT_COST 10u

bool cii_retry_take(cii_retry_budget *budget, uint32_t cost); /* false: not as much is left */
void cii_retry_put(cii_retry_budget *budget, uint32_t tokens);

/* The next of a sequence (splitmix64). */
uint64_t cii_retry_random(uint64_t *seed);

#endif
