/* Regions, endpoints and where buckets are. */
#include "aws/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "base/str.h"

#define DOMAIN "aws"

/* Parts of AWS with domains of their own; by how their regions begin. */
static const struct partition {
    const char *prefix, *domain, *dual_stack_domain; /* NULL: has none */
} partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
    {"", "amazonaws.com", "api.aws"},
};

/* --- region ------------------------------------------------------------------------------------------------------- */

const char *cii_aws_region(const cii_aws_settings *s, const char *option) {
    const char *const *env = cii_aws_settings_env(s);
    const char *region = option && *option ? option : cii_aws_env(env, "AWS_REGION");
    if (!region)
        region = cii_aws_env(env, "AWS_DEFAULT_REGION");
    return region ? region : cii_aws_settings_get(s, cii_aws_settings_profile(s), "region");
}

static bool is_label_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool cii_aws_region_valid(const char *region) {
    size_t size = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return size >= 1 && size <= 63 && region[size] == '\0' && region[0] != '-' && region[size - 1] != '-';
}

/* --- what the settings ask for ------------------------------------------------------------------------------------ */

static bool asks_for(const cii_aws_settings *s, const char *variable, const char *key) {
    const char *value = cii_aws_env(cii_aws_settings_env(s), variable);
    return cii_aws_is_true(value ? value : cii_aws_settings_get(s, cii_aws_settings_profile(s), key));
}

/* A key within "s3 =" of the profile. */
static const char *s3_setting(const cii_aws_settings *s, const char *key) {
    const char *profile = cii_aws_settings_profile(s);
    return cii_aws_settings_get_within(s, profile, "s3", key);
}

unsigned cii_aws_endpoint_flags(const cii_aws_settings *s, const char *service) {
    bool dual = asks_for(s, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint") ||
                (strcmp(service, "s3") == 0 && cii_aws_is_true(s3_setting(s, "use_dualstack_endpoint")));
    bool fips = asks_for(s, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
    return (dual ? CII_AWS_DUAL_STACK : 0u) | (fips ? CII_AWS_FIPS : 0u);
}

cii_aws_style cii_aws_settings_style(const cii_aws_settings *s) {
    const char *style = s3_setting(s, "addressing_style");
    if (style && strcmp(style, "path") == 0)
        return CII_AWS_STYLE_PATH;
    return style && strcmp(style, "virtual") == 0 ? CII_AWS_STYLE_VIRTUAL : CII_AWS_STYLE_AUTO;
}

/* --- an endpoint that somebody named ------------------------------------------------------------------------------ */

/* Takes "HOST[:PORT]" in front; false when it is none. Host without the brackets of an IPv6 address. */
static bool parse_authority(const char *text, size_t size, unsigned *ret_port) {
    char host[256];
    const char *end = text + size, *colon = NULL;
    struct in6_addr address;
    if (size == 0 || size >= sizeof host)
        return false;
    const char *bracket = *text == '[' ? memchr(text, ']', size) : NULL;
    if (*text == '[' && !bracket)
        return false;
    for (const char *p = bracket ? bracket + 1 : text; p < end && !colon; p++)
        colon = *p == ':' ? p : NULL;
    size_t host_size = (size_t)((colon ? colon : end) - text);
    if (bracket) {
        snprintf(host, sizeof host, "%.*s", (int)(bracket - text - 1), text + 1);
        if (host_size != (size_t)(bracket + 1 - text) || inet_pton(AF_INET6, host, &address) != 1)
            return false;
    }
    for (size_t i = 0; i < host_size && !bracket; i++)
        if (!isascii(text[i]) || (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i])))
            return false;
    *ret_port = 0;
    for (const char *p = colon ? colon + 1 : end; p < end; p++) {
        if (*p < '0' || *p > '9' || *ret_port > 6553)
            return false;
        *ret_port = *ret_port * 10 + (unsigned)(*p - '0');
    }
    return host_size > 0 && *ret_port <= 65535 && (!colon || *ret_port > 0);
}

static bool is_path(const char *path) {
    for (; *path; path++)
        if (*path <= ' ' || *path >= 0x7f || strchr("?#\\\"<>{}|^`", *path))
            return false;
    return true;
}

ci_status cii_aws_endpoint_parse(const char *url, const char *what, cii_aws_endpoint *ret_endpoint,
                                 ci_error **ret_error) {
    bool is_tls = strncasecmp(url, "https://", 8) == 0;
    const char *authority = is_tls ? url + 8 : strncasecmp(url, "http://", 7) == 0 ? url + 7 : "";
    size_t size = strcspn(authority, "/?#");
    const char *path = authority + size;
    size_t path_size = strlen(path);
    unsigned port = 0;
    if (!parse_authority(authority, size, &port) || !is_path(path)) {
        cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: not an endpoint", what);
        cii_error_hint(ret_error, "write it as https://host, http://host:port or https://host/path");
        return CI_ERR_INVALID;
    }
    while (path_size > 0 && path[path_size - 1] == '/')
        path_size--;
    if (port == (is_tls ? 443u : 80u))
        while (authority[--size] != ':')
            ;
    cii_aws_endpoint e = {
        .host = strndup(authority, size), .path = strndup(path, path_size), .is_tls = is_tls, .is_custom = true};
    if (!e.host || !e.path) {
        cii_aws_endpoint_free(&e);
        return cii_error_nomem(ret_error);
    }
    *ret_endpoint = e;
    return CI_OK;
}

/* "bedrock-agentcore" is "bedrock_agentcore" in files, and in capitals in the environment; "portal.sso" is "sso". */
static void setting_name(const char *service, bool in_capitals, char ret_name[64]) {
    const char *dot = strchr(service, '.');
    size_t i = 0;
    service = dot ? dot + 1 : service;
    for (; service[i] && i < 63; i++) {
        char c = service[i] == '-' ? '_' : service[i];
        ret_name[i] = (char)(in_capitals && c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    ret_name[i] = '\0';
}

/* The first place that names one, which is written to *ret_what; NULL: none does. */
static const char *named_url(const cii_aws_settings *s, const char *service, char ret_what[128]) {
    const char *const *env = cii_aws_settings_env(s);
    const char *profile = cii_aws_settings_profile(s), *url;
    char name[64];
    if (asks_for(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))
        return NULL;
    setting_name(service, true, name);
    snprintf(ret_what, 128, "AWS_ENDPOINT_URL_%s", name);
    if ((url = cii_aws_env(env, ret_what)))
        return url;
    snprintf(ret_what, 128, "AWS_ENDPOINT_URL");
    if ((url = cii_aws_env(env, ret_what)))
        return url;
    const char *services = cii_aws_settings_get(s, profile, "services");
    setting_name(service, false, name);
    snprintf(ret_what, 128, "endpoint_url of %s in section services", name);
    if (services && (url = cii_aws_settings_section(s, "services", services, name, "endpoint_url")))
        return url;
    snprintf(ret_what, 128, "endpoint_url of the profile");
    return cii_aws_settings_get(s, profile, "endpoint_url");
}

/* --- AWS's own ---------------------------------------------------------------------------------------------------- */

static const struct partition *partition_of(const char *region) {
    const struct partition *p = partitions;
    while (!cii_str_starts(region, p->prefix))
        p++;
    return p;
}

/* Whether a valid one is called as AWS's are: "us-east-1", "us-isob-east-1". Of others no host of AWS's own is made. */
static bool is_own_region(const char *region) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    size_t labels = 0, size;
    if (strspn(region, letters) < 2)
        return false;
    for (; (size = strspn(region, letters)) > 0 && region[size] == '-'; region += size + 1)
        labels++;
    return labels >= 2 && region[strspn(region, "0123456789")] == '\0';
}

/* S3 has its dual-stack hosts below the partition's first domain, the others below a second one. */
static char *own_host(const char *service, const char *region, unsigned flags) {
    const struct partition *p = partition_of(region);
    bool dual = flags & CII_AWS_DUAL_STACK, is_s3 = strcmp(service, "s3") == 0;
    return cii_str_printf("%s%s%s.%s.%s", service, flags & CII_AWS_FIPS ? "-fips" : "",
                          dual && is_s3 ? ".dualstack" : "", region, dual && !is_s3 ? p->dual_stack_domain : p->domain);
}

ci_status cii_aws_endpoint_resolve(const cii_aws_settings *s, const char *service, const char *url, const char *region,
                                   unsigned flags, cii_aws_endpoint *ret_endpoint, ci_error **ret_error) {
    char what[128] = "endpoint";
    if (!region || !cii_aws_region_valid(region))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "region: \"%.80s\" is not one", region ? region : "");
    if (!url || !*url)
        url = named_url(s, service, what);
    if (url && flags)
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: a dual-stack or FIPS endpoint is asked for too",
                             what);
    if (url)
        return cii_aws_endpoint_parse(url, what, ret_endpoint, ret_error);
    if (!is_own_region(region)) {
        cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "region: AWS has none that is called \"%s\"", region);
        cii_error_hint(ret_error, "correct it, or name the endpoint when that is not AWS's own");
        return CI_ERR_INVALID;
    }
    cii_aws_endpoint e = {.host = own_host(service, region, flags), .path = strdup(""), .is_tls = true};
    if (!e.host || !e.path) {
        cii_aws_endpoint_free(&e);
        return cii_error_nomem(ret_error);
    }
    *ret_endpoint = e;
    return CI_OK;
}

void cii_aws_endpoint_free(cii_aws_endpoint *e) {
    free(e->host);
    free(e->path);
    *e = (cii_aws_endpoint){0};
}

/* --- buckets ------------------------------------------------------------------------------------------------------ */

/* What may be part of a path. Servers other than AWS allow capitals and "_". */
static bool is_bucket(const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (!is_label_char((char)(name[i] | 32)) && !is_label_char(name[i]) && !strchr("-._", name[i]))
            return false;
    return size >= 1 && size <= 255 && strspn(name, ".") < size;
}

/* Certificates are for "*.host", which has no dot in the place of "*". */
static bool can_be_in_host(const char *name, bool is_tls) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (!is_label_char(name[i]) &&
            (name[i] == '.' ? is_tls || i == 0 || !is_label_char(name[i - 1]) : name[i] != '-'))
            return false;
    return size >= 3 && size <= 63 && is_label_char(name[0]) && is_label_char(name[size - 1]);
}

/* Below an address there are no names. */
static bool is_address(const char *host) {
    struct in_addr address;
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(host, ":"), host);
    return *host == '[' || inet_pton(AF_INET, name, &address) == 1;
}

ci_status cii_aws_bucket_endpoint(const cii_aws_endpoint *endpoint, const char *bucket, cii_aws_style style,
                                  cii_aws_endpoint *ret_endpoint, ci_error **ret_error) {
    bool can_be_virtual = can_be_in_host(bucket, endpoint->is_tls) && !is_address(endpoint->host);
    if (!is_bucket(bucket))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "bucket: \"%.80s\" is not the name of one", bucket);
    if (style == CII_AWS_STYLE_VIRTUAL && !can_be_virtual)
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN,
                             "bucket: \"%.80s\" cannot be part of the host's name %s", bucket, endpoint->host);
    bool is_virtual =
        style == CII_AWS_STYLE_VIRTUAL || (style == CII_AWS_STYLE_AUTO && can_be_virtual && !endpoint->is_custom);
    cii_aws_endpoint e = *endpoint;
    e.host = is_virtual ? cii_str_printf("%s.%s", bucket, endpoint->host) : strdup(endpoint->host);
    e.path = is_virtual ? strdup(endpoint->path) : cii_str_printf("%s/%s", endpoint->path, bucket);
    if (!e.host || !e.path) {
        cii_aws_endpoint_free(&e);
        return cii_error_nomem(ret_error);
    }
    *ret_endpoint = e;
    return CI_OK;
}
