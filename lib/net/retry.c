/* The retry rule. See retry.h. */
#include "net/retry.h"

#include "net/http.h"

bool cii_retry_status(int32_t status) {
    return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool cii_retry_throttled(int32_t status) {
    return status == 429 || status == 503;
}

uint32_t cii_retry_delay_ms(unsigned repetition, uint32_t first_ms, uint64_t random) {
    uint64_t most = first_ms;
    for (unsigned i = 1; i < repetition && most < CII_RETRY_CAP_MS; i++)
        most *= 2;
    most = CII_MIN(most, (uint64_t)CII_RETRY_CAP_MS);
    return (uint32_t)(random % (most + 1));
}

int64_t cii_retry_after_ms(const char *retry_after, const char *date, int64_t now_s) {
    if (!retry_after || !*retry_after)
        return -1;
    size_t digits = strspn(retry_after, "0123456789");
    if (retry_after[digits] == '\0')
        return digits > 9 ? INT32_MAX * INT64_C(1000) : strtoll(retry_after, NULL, 10) * 1000;
    int64_t then_s = cii_http_date_s(retry_after);
    int64_t from_s = date ? cii_http_date_s(date) : -1;
    if (then_s < 0)
        return -1;
    return CII_MAX(then_s - (from_s < 0 ? now_s : from_s), INT64_C(0)) * 1000;
}

bool cii_retry_take(cii_retry_budget *budget, uint32_t cost) {
    if (budget->tokens < cost)
        return false;
    budget->tokens -= cost;
    return true;
}

void cii_retry_put(cii_retry_budget *budget, uint32_t tokens) {
    budget->tokens = CII_MIN(budget->tokens + tokens, CII_RETRY_TOKENS);
}

uint64_t cii_retry_random(uint64_t *seed) {
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
