/* The S3 storage keeps the contract, on the real server that CI_TEST_S3 names (s3_server.h): each test in a prefix of its
 * own, of one bucket. */

#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "s3_server.h"

static ci_status make(void **ret_state, ci_storage **ret_storage, ci_error **ret_error) {
    char url[64];
    s3_new_url(url);
    *ret_state = NULL;
    return ci_storage_s3_new(url, NULL, ret_storage, ret_error);
}

static void destroy(void *state) {
    (void)state;
}

int main(void) {
    s3_make_bucket();
    const char *order = getenv("CI_TEST_S3_ORDER");
    const storage_factory factory = {.name = "s3",
                                     .make = make,
                                     .destroy = destroy,
                                     .key_bytes_taken = sizeof "0123456789abcdefghijklmnop/" - 1,
                                     .acts_late = true,
                                     .removes_many = true,
                                     .orders_by_start = order && strcmp(order, "start") == 0};
    return storage_conformance(&factory);
}
