/* The result as its own room sees it. */
#ifndef CII_RESULT_OBJECT_H
#define CII_RESULT_OBJECT_H

#include "result/diagnostics.h"
#include "result/refusals.h"
#include "result/result.h"

/* A text of the result, perhaps cut. */
typedef struct cii_text {
    char *data; /* NULL: none */
    size_t size;
    uint64_t kept;
    uint64_t total;
} cii_text;

enum { CII_TEXT_STDOUT, CII_TEXT_STDERR, CII_TEXT_BACKGROUND, CII_TEXT_VALUE, CII_TEXT_COUNT };

typedef struct cii_item {
    char *mime_type;
    char *data;
    size_t size;
    uint64_t stdout_offset;
} cii_item;

/* The pointers of info go into the two blocks behind it. */
typedef struct cii_file {
    ci_file_info info;
    char *strings;
    char *data;
} cii_file;

typedef struct cii_file_list {
    cii_file *files;
    size_t count;
    size_t capacity;
} cii_file_list;

#define CII_FILE_LISTS 3

struct ci_result {
    cii_result_limits limits;
    cii_result_kind kind;
    int32_t outcome;
    int32_t exit_code;     /* of EXIT */
    int32_t signal_number; /* of SIGNAL */
    bool state_lost;
    bool task_running;
    bool task_stopped;
    uint64_t task_id;
    int64_t execution_us;
    cii_text texts[CII_TEXT_COUNT];
    char *error_name;
    char *error_message;
    char *traceback;
    cii_diagnostics diagnostics;
    cii_refusals refusals;
    char **replaced; /* NULL-ended; NULL: none */
    cii_item *items;
    size_t item_count;
    size_t item_total;
    uint64_t item_bytes;
    cii_file_list lists[CII_FILE_LISTS];
};

/* Takes over what a backend says of the end; its strings are copied, bytes that are not UTF-8 become U+FFFD. */
ci_status cii_result_set_end(ci_result *result, const ci_run_outcome *outcome);
/* Copies an item, or only counts it when it is beyond a limit. */
ci_status cii_result_add_item(ci_result *result, const char *mime_type, const void *data, size_t size,
                              uint64_t stdout_offset);
/* Copies strings, of which some may be NULL, one behind the other into one block, which begins with the first that is
 * not NULL and is returned; each then points to its copy. NULL without memory: none was changed. */
char *cii_strings_own(const char **const *strings, size_t count);

#endif
