/* Time. */
#ifndef CII_BASE_CLOCK_H
#define CII_BASE_CLOCK_H

#include "base/common.h"

int64_t cii_clock_us(void); /* CLOCK_MONOTONIC, microseconds */
int64_t cii_clock_ms(void); /* the same in milliseconds */

#endif
