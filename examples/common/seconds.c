#include "seconds.h"

#include <stdlib.h>

int parse_seconds(const char *text, int64_t *ret_ms) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= 1e9))
        return -1;
    *ret_ms = (int64_t)(value * 1000);
    if ((double)*ret_ms < value * 1000) /* a deadline below a millisecond is one all the same */
        ++*ret_ms;
    return 0;
}
