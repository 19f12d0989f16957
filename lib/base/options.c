/* Structs across the ABI: both sides may be older or newer than the other. */
#include "base/options.h"

/* No struct of libci will ever be so large; a larger size is memory that was not initialised. */
#define STRUCT_SIZE_MAX ((size_t)64 << 10)

static size_t size_of(const void *options) {
    size_t size;
    memcpy(&size, options, sizeof(size));
    return size;
}

static ci_status check_size(size_t given, size_t least, const char *what, ci_error **ret_error) {
    if (given >= least && given <= STRUCT_SIZE_MAX)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, "base", "%s: struct_size is %zu; set it to sizeof(%s)", what, given,
                         what);
}

ci_status cii_options_copy(void *ret_options, size_t size, const void *from, const char *what, ci_error **ret_error) {
    size_t given = from ? size_of(from) : 0;
    if (from) {
        ci_status status = check_size(given, sizeof(size_t), what, ret_error);
        if (status < 0)
            return status;
    }
    for (size_t i = size; i < given; i++)
        if (((const char *)from)[i] != 0)
            return cii_error_set(ret_error, CI_ERR_INVALID, "base",
                                 "%s: a field is set that this version (%zu bytes) does not know", what, size);
    memset(ret_options, 0, size);
    if (from)
        memcpy(ret_options, from, CII_MIN(given, size));
    memcpy(ret_options, &size, sizeof(size));
    return CI_OK;
}

ci_status cii_reserved_check(int32_t reserved, const char *what, ci_error **ret_error) {
    if (reserved == 0)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, "base", "%s: reserved is %d; this version knows only 0", what,
                         reserved);
}

ci_status cii_table_copy(void *ret_table, size_t size, const void *from, const void *defaults, size_t first_slot,
                         const char *what, ci_error **ret_error) {
    size_t given = size_of(from);
    ci_status status = check_size(given, first_slot, what, ret_error);
    if (status < 0)
        return status;
    char *table = ret_table;
    memcpy(table, from, first_slot);
    for (size_t at = first_slot; at < size; at += sizeof(void *)) {
        void *slot = NULL;
        if (at + sizeof(slot) <= given)
            memcpy(&slot, (const char *)from + at, sizeof(slot));
        if (!slot)
            memcpy(&slot, (const char *)defaults + at, sizeof(slot));
        memcpy(table + at, &slot, sizeof(slot));
    }
    memcpy(table, &size, sizeof(size));
    return CI_OK;
}

ci_status cii_struct_fill(void *to, const void *from, size_t size) {
    size_t wanted = size_of(to);
    if (wanted < sizeof(size_t) || wanted > STRUCT_SIZE_MAX)
        return CI_ERR_INVALID;
    size_t common = CII_MIN(wanted, size);
    memcpy((char *)to + sizeof(size_t), (const char *)from + sizeof(size_t), common - sizeof(size_t));
    memset((char *)to + common, 0, wanted - common);
    return CI_OK;
}
