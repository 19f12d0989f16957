/* The storage object as the session layer sees it: a storage's table with named defaults, and its impl. */
#ifndef CII_STORAGE_STORAGE_H
#define CII_STORAGE_STORAGE_H

#include <ci/sys/storage.h>

#include "base/error.h"

/* The object's own copy of the table: every slot is set. Lives as long as the storage. */
const ci_storage_ops *cii_storage_ops(const ci_storage *storage);
void *cii_storage_impl(const ci_storage *storage);

/* Where it is, for people; the storage's name when it does not say. malloc'd. */
ci_status cii_storage_describe(const ci_storage *storage, char **ret_text);

/* CI_OK, or CI_ERR_INVALID (NULL) or CI_ERR_FORKED (made by another process). */
ci_status cii_storage_check(const ci_storage *storage, ci_error **ret_error);

#endif
