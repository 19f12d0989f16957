/* What every storage must do (include/ci/sys/storage.h), as one table of tests that runs on any of them. */
#ifndef TEST_STORAGE_CONFORMANCE_H
#define TEST_STORAGE_CONFORMANCE_H

#include <stdbool.h>

#include <ci/sys/storage.h>

/* How to make a fresh, empty storage. */
typedef struct storage_factory {
    const char *name;
    ci_status (*make)(void **ret_state, ci_storage **ret_storage, ci_error **ret_error);
    void (*destroy)(void *state); /* after the storage is freed */
    size_t key_bytes_taken;       /* of the 1,024 a key may have */
    bool acts_late;               /* a put that is given up may take effect later, since a server has it */
    bool removes_many;            /* by one operation */
    bool orders_by_start;         /* of puts beside each other the last to begin wins, not the last to end */
} storage_factory;

/* Runs all tests, each on a storage of its own; returns how many failed. */
int storage_conformance(const storage_factory *factory);

#endif
