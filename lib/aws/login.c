/* See login.h. */
#include "aws/login.h"

#include "base/clock.h"

#define IDENTITY_MS 60000 /* less than any credentials have left when they are handed out */

bool cii_aws_login_good(const cii_aws_login *l) {
    return l->identity && cii_clock_ms() < l->until_ms;
}

int32_t cii_aws_login_find(cii_aws_login *l, ci_error **ret_error) {
    while (l->search || !cii_aws_login_good(l)) {
        if (l->search) {
            int32_t result = l->search->ops->process(l->search, ret_error);
            if (result == 0)
                return 0;
            l->search->ops->free(TAKE_PTR(l->search));
            if (result < 0)
                return result;
        }
        cii_aws_identity *identity = NULL;
        ci_status status = cii_aws_credentials_get(l->credentials, &identity, &l->search, ret_error);
        if (status < 0)
            return status;
        if (!identity)
            continue;
        cii_aws_identity_unref(l->identity);
        l->identity = identity;
        l->number++;
        l->until_ms = cii_clock_ms() + IDENTITY_MS;
    }
    return 1;
}

/* Of requests beside each other the first to be told rejects; the others have only to be signed anew. */
void cii_aws_login_reject(cii_aws_login *l, unsigned number) {
    if (number != l->number)
        return;
    cii_aws_credentials_reject(l->credentials, l->identity);
    l->until_ms = 0;
}

void cii_aws_login_clear(cii_aws_login *l) {
    if (l->search)
        l->search->ops->free(TAKE_PTR(l->search));
    if (l->identity)
        cii_aws_identity_unref(TAKE_PTR(l->identity));
}
