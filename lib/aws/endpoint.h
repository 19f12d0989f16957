/* Region and endpoint, resolved as AWS's clients do it, without I/O.
 *
 * The endpoint is the first of: the option; AWS_ENDPOINT_URL_SERVICE; AWS_ENDPOINT_URL; endpoint_url of the service in the
 * profile's `services` section; the profile's endpoint_url; the service's own in the region's partition.
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, or ignore_configured_endpoint_urls in the profile, leaves the first and the last. */
#ifndef CII_AWS_ENDPOINT_H
#define CII_AWS_ENDPOINT_H

#include "aws/settings.h"

/* Where a service answers. Zero it before the first use. */
typedef struct cii_aws_endpoint {
    char *host; /* with the port unless it is the scheme's own: what the Host header says */
    char *path; /* what every path begins with, encoded as in the URL: "" or "/prefix" */
    bool is_tls;
    bool is_custom; /* named by somebody, not made of service and region */
} cii_aws_endpoint;

enum { CII_AWS_DUAL_STACK = 1, CII_AWS_FIPS = 2 };

/* Of the option, AWS_REGION, AWS_DEFAULT_REGION, the profile; NULL: nobody says. */
const char *cii_aws_region(const cii_aws_settings *settings, const char *option);
/* A region's name ends up in a host's: 1 to 63 of a-z, 0-9 and "-", neither first nor last. */
bool cii_aws_region_valid(const char *region);
/* What AWS_USE_DUALSTACK_ENDPOINT and AWS_USE_FIPS_ENDPOINT or the profile ask for. */
unsigned cii_aws_endpoint_flags(const cii_aws_settings *settings, const char *service);

/* service as its hosts and settings call it: "s3", "sts", "bedrock-agentcore". url: the option, or NULL. CI_ERR_INVALID: an
 * endpoint or region that is none, with where it was said; a region that is not called as AWS's are, where no endpoint is
 * named; flags together with an endpoint that somebody named. */
ci_status cii_aws_endpoint_resolve(const cii_aws_settings *settings, const char *service, const char *url,
                                   const char *region, unsigned flags, cii_aws_endpoint *ret_endpoint,
                                   ci_error **ret_error);
/* "http(s)://HOST[:PORT][/PATH]", nothing else. `what` is named in the error. */
ci_status cii_aws_endpoint_parse(const char *url, const char *what, cii_aws_endpoint *ret_endpoint,
                                 ci_error **ret_error);
void cii_aws_endpoint_free(cii_aws_endpoint *endpoint);

typedef enum cii_aws_style {
    CII_AWS_STYLE_AUTO, /* of AWS's own: virtual-hosted where the bucket's name allows it; of others: path */
    CII_AWS_STYLE_PATH,
    CII_AWS_STYLE_VIRTUAL,
} cii_aws_style;

/* Of s3.addressing_style in the profile. */
cii_aws_style cii_aws_settings_style(const cii_aws_settings *settings);
/* Where a bucket answers: "BUCKET.host" with the endpoint's path, or its host with "path/BUCKET". CI_ERR_INVALID: not a
 * bucket's name, or one that cannot be a host's where that was asked for. */
ci_status cii_aws_bucket_endpoint(const cii_aws_endpoint *endpoint, const char *bucket, cii_aws_style style,
                                  cii_aws_endpoint *ret_endpoint, ci_error **ret_error);

#define _cleanup_endpoint_ _cleanup_(cii_aws_endpoint_free)

#endif
