/* The template keeps the contract that it is there to show. */
#include "../../../examples/template_storage.h"
#include "conformance.h"

static ci_status make(void **ret_state, ci_storage **ret_storage, ci_error **ret_error) {
    *ret_state = 0;
    return template_storage_new(ret_storage, ret_error);
}

static void destroy(void *state) {
    (void)state;
}

int main(void) {
    static const storage_factory factory = {.name = "template", .make = make, .destroy = destroy, .removes_many = true};
    return storage_conformance(&factory);
}
