/* Driving a storage's operations to their end. */
#ifndef TEST_STORAGE_DRIVE_H
#define TEST_STORAGE_DRIVE_H

#include "base/buf.h"
#include "storage/storage.h"

/* Processes op until it is done and frees it, waiting on its descriptor where it has one; CI_OK or its error. */
ci_status drive(ci_op *op, ci_error **ret_error);

/* What a callback that pauses returns. */
int32_t drive_pause(void);

/* An object as a callback saw it. */
typedef struct seen {
    char key[1100];
    char etag[128];
    uint8_t sha256[32];
    bool has_sha256;
    uint64_t size_bytes;
    int64_t modified_ms;
    unsigned count; /* calls */
} seen;
int32_t see(void *user, const ci_object *object);

/* Whole operations on bytes. ret_seen may be NULL. */
ci_status put_if(ci_storage *s, const ci_put_request *request, const void *data, size_t size, seen *ret_seen);
ci_status put(ci_storage *s, const char *key, const void *data, size_t size, seen *ret_seen);
ci_status put_text(ci_storage *s, const char *key, const char *text);
ci_status get_range(ci_storage *s, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                    cii_buf *ret_data, seen *ret_seen);
ci_status get(ci_storage *s, const char *key, cii_buf *ret_data);
ci_status stat_object(ci_storage *s, const char *key, seen *ret_seen);
ci_status remove_object(ci_storage *s, const char *key);
/* One page: keys, each with a space after it, are added. */
ci_status list(ci_storage *s, const char *prefix, const char *after, uint32_t max, cii_buf *ret_keys,
               unsigned *ret_count);

/* A put whose steps the test takes itself. */
typedef struct source {
    const char *data;
    size_t size;
    size_t at;
    size_t piece;    /* bytes at a time; 0: as many as are asked for */
    unsigned pauses; /* every second call pauses when above 0 */
    unsigned calls;
    size_t fail_after; /* bytes; 0: never */
    seen seen;
} source;
int64_t read_source(void *user, void *buffer, size_t size);
int32_t see_source(void *user, const ci_object *object);
ci_op *start_put(ci_storage *s, const ci_put_request *request, source *from);

#define PUT_REQUEST(k)                                                              \
    (ci_put_request) {                                                              \
        .struct_size = sizeof(ci_put_request), .key = (k), .size_bytes = UINT64_MAX \
    }

#endif
