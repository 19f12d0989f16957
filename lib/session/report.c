/* See report.h. */
#include "session/report.h"

#include <stdio.h>

static size_t size_of(const char *text) {
    return text ? strlen(text) + 1 : 0;
}

static const char *put(char **at, const char *text) {
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

static ci_status grow(cii_report *report) {
    if (report->count < report->capacity)
        return CI_OK;
    size_t capacity = report->capacity ? report->capacity * 2 : 16;
    ci_file_info *files = realloc(report->files, capacity * sizeof *files);
    if (!files)
        return CI_ERR_NOMEM;
    report->files = files;
    report->capacity = capacity;
    return CI_OK;
}

ci_status cii_report_add(cii_report *report, const ci_file_info *info) {
    if (report->count == CII_REPORT_MAX) {
        report->dropped_count++;
        return CI_OK;
    }
    char *strings = malloc(strlen(info->path) + 1 + size_of(info->key) + size_of(info->target) + size_of(info->sha256) +
                           size_of(info->error));
    if (!strings || grow(report) < 0) {
        free(strings);
        return CI_ERR_NOMEM;
    }
    ci_file_info *file = &report->files[report->count++];
    *file = *info;
    file->struct_size = sizeof *file;
    file->path = put(&strings, info->path); /* first, so that it is the block's address */
    file->key = put(&strings, info->key);
    file->target = put(&strings, info->target);
    file->sha256 = put(&strings, info->sha256);
    file->error = put(&strings, info->error);
    file->mime_type = NULL;
    file->data = NULL;
    file->data_size = 0;
    return CI_OK;
}

ci_status cii_report_to_result(const cii_report *report, ci_result *result, int32_t list) {
    for (size_t i = 0; i < report->count; i++) {
        ci_status status = cii_result_add_file(result, list, &report->files[i], NULL);
        if (status < 0)
            return status;
    }
    if (report->dropped_count == 0)
        return CI_OK;
    char text[64];
    snprintf(text, sizeof text, "%llu more files are not listed", (unsigned long long)report->dropped_count);
    const ci_file_info rest = {
        .struct_size = sizeof rest, .path = "…", .error = text, .kind = CI_KIND_OTHER, .status = CI_FILE_SKIPPED};
    return cii_result_add_file(result, list, &rest, NULL);
}

void cii_report_free(cii_report *report) {
    for (size_t i = 0; i < report->count; i++)
        free((char *)(uintptr_t)report->files[i].path);
    free(report->files);
    *report = (cii_report){0};
}
