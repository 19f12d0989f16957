/* File entries that are kept for a result which is made later. Bounded: an entry beyond CII_REPORT_MAX is only counted,
 * and a last line tells how many there were. One thread, or under the session's lock. */
#ifndef CII_SESSION_REPORT_H
#define CII_SESSION_REPORT_H

#include "result/result.h"

#define CII_REPORT_MAX 10000u

typedef struct cii_report {
    ci_file_info *files; /* strings in one block each, at .path */
    size_t count;
    size_t capacity;
    uint64_t dropped_count;
} cii_report;

/* Copies info's strings; content and MIME type are not kept. */
ci_status cii_report_add(cii_report *report, const ci_file_info *info);
ci_status cii_report_to_result(const cii_report *report, ci_result *result, int32_t list);
void cii_report_free(cii_report *report); /* empty and usable afterwards */

#endif
