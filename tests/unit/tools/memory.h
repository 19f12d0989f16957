/* A sandbox and a storage that live in memory: enough of both contracts for the tool front to be tested with the real
 * session layer and without processes. "Code" is run by printing what was asked for. */
#ifndef TEST_TOOLS_MEMORY_H
#define TEST_TOOLS_MEMORY_H

#include <ci/sys/sandbox.h>
#include <ci/sys/storage.h>

#include "base/common.h"

typedef struct memory_file {
    char *path;
    char *data;
    size_t size;
} memory_file;

/* What a sandbox holds, or a storage. */
typedef struct memory_store {
    memory_file files[64];
    size_t count;
    int64_t deadline_ms; /* of the last run */
    uint32_t flags;
    ci_status fail; /* what every operation of a storage fails with; CI_OK: none does */
} memory_store;

ci_status memory_write(memory_store *store, const char *path, const void *data, size_t size);
const memory_file *memory_find(const memory_store *store, const char *path);
void memory_clear(memory_store *store);

/* Both borrow the store. */
ci_sandbox *memory_sandbox(memory_store *store);
ci_storage *memory_storage(memory_store *store);

#endif
