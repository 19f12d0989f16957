/* How structs cross the ABI (STYLE: options and vtables begin with their size). */
#ifndef CII_BASE_OPTIONS_H
#define CII_BASE_OPTIONS_H

#include "base/error.h"

/* Copies a caller's option struct as the kernel does: a smaller one is filled with zeros, of a larger one the unknown
 * tail must be zero. `from` NULL: all zeros. ret_options->struct_size is `size` afterwards. `what` names the struct. */
ci_status cii_options_copy(void *ret_options, size_t size, const void *from, const char *what, ci_error **ret_error);

/* A field that has no meaning yet: a newer caller's is refused, as the unknown tail of a larger struct is. */
ci_status cii_reserved_check(int32_t reserved, const char *what, ci_error **ret_error);

/* Copies a backend's table: an unknown tail is ignored, missing slots and NULL slots (from `first_slot`, the offset of
 * the first function pointer, on) are taken from `defaults`. */
ci_status cii_table_copy(void *ret_table, size_t size, const void *from, const void *defaults, size_t first_slot,
                         const char *what, ci_error **ret_error);

/* Fills a struct of the caller's size from ours; CI_ERR_INVALID when its struct_size is 0. struct_size is kept. */
ci_status cii_struct_fill(void *to, const void *from, size_t size);

#endif
