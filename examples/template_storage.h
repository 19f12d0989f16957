/* A small complete storage, to start one of your own from. See template_storage.c. */
#ifndef TEMPLATE_STORAGE_H
#define TEMPLATE_STORAGE_H

#include <ci/sys/storage.h>

/* Makes the storage object; the caller's, to be given up with ci_storage_free(). */
ci_status template_storage_new(ci_storage **ret_storage, ci_error **ret_error);

#endif
