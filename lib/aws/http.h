/* HTTP as AWS's clients are set up for it: who may sign certificates, which proxies there are; and cii_aws_fetch by lib/net.
 *
 *     AWS_CA_BUNDLE, the profile's ca_bundle     unless ca_file is given
 *     https_proxy, http_proxy, no_proxy          by the URL's scheme, also in capitals; unless proxy is given, which is
 *                                                then for all. "HOST:PORT" is an http proxy
 *
 * Services of this machine and link (containers, instances) are never reached through a proxy. */
#ifndef CII_AWS_HTTP_H
#define CII_AWS_HTTP_H

#include "aws/fetch.h"
#include "aws/settings.h"
#include "net/http.h"

typedef struct cii_aws_http cii_aws_http; /* does not change: any number of threads */

/* ca_file, proxy: NULL as is said above. All is copied. */
ci_status cii_aws_http_new(const cii_aws_settings *settings, const char *ca_file, const char *proxy,
                           cii_aws_http **ret_http, ci_error **ret_error);
void cii_aws_http_free(cii_aws_http *http); /* wipes; operations in progress go on */

/* What a pool is to be made with, the rest zero; its strings are borrowed. */
cii_http_settings cii_aws_http_settings(const cii_aws_http *http, bool is_tls);

/* The cii_aws_fetch; user is the cii_aws_http. Connections are closed with the operation. Freeing it at any time gives it up. */
ci_status cii_aws_http_fetch(void *user, const cii_aws_fetch_request *request, cii_aws_fetch_response *response,
                             ci_op **ret_op, ci_error **ret_error);

#endif
