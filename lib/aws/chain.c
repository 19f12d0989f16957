/* The order in which sources are tried, and how a profile leads from one to the next.
 *
 * A link of the chain says by CI_ERR_NOTFOUND that it is not set up; every other failure ends the search. Where a profile
 * has a role, its name goes onto the hops and the profile it names is looked at instead; when the credentials at the end of
 * that path are found, the hops are taken back one by one, each a role assumed with what the one before gave. */
#include <stdio.h>

#include "aws/resolve.h"
#include "aws/secret.h"

typedef ci_status (*link_fn)(aws_resolver *r, ci_error **ret_error);

const char *cii_resolve_env(const aws_resolver *r, const char *name) {
    return cii_aws_env(r->options->environment, name);
}

const char *cii_resolve_setting(const aws_resolver *r, const char *key) {
    const char *profile = r->profile ? r->profile : cii_aws_settings_profile(r->settings);
    return cii_aws_settings_get(r->settings, profile, key);
}

static void set_name(aws_resolver *r, const char *what) {
    if (r->profile)
        snprintf(r->name, sizeof r->name, "profile '%.200s': %s", r->profile, what);
    else
        snprintf(r->name, sizeof r->name, "%s", what);
}

static ci_status use(aws_resolver *r, const aws_source *source, const char *what) {
    r->source = source;
    set_name(r, what);
    return CI_OK;
}

/* What a profile names must be there. */
static ci_status use_required(aws_resolver *r, const aws_source *source, const char *what) {
    r->is_required = true;
    return use(r, source, what);
}

/* --- keys that lie ready ------------------------------------------------------------------------------------------ */

static ci_status of_environment(aws_resolver *r, ci_error **ret_error) {
    const char *id = cii_resolve_env(r, "AWS_ACCESS_KEY_ID"), *secret = cii_resolve_env(r, "AWS_SECRET_ACCESS_KEY");
    const char *expires = cii_resolve_env(r, "AWS_CREDENTIAL_EXPIRATION");
    int64_t expires_s = 0;
    set_name(r, "environment");
    if (!id && !secret)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN, "AWS_ACCESS_KEY_ID is not set");
    if (!id || !secret)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "%s is missing",
                             id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (expires && !cii_aws_parse_time(expires, &expires_s))
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "AWS_CREDENTIAL_EXPIRATION is not a time");
    return cii_found_set(&r->found, id, secret, cii_resolve_env(r, "AWS_SESSION_TOKEN"), expires_s, ret_error);
}

/* Both keys of one file: never one's id with the other's secret. */
static ci_status of_file(aws_resolver *r, bool of_credentials, ci_error **ret_error) {
    const cii_aws_settings *s = r->settings;
    const char *id = cii_aws_settings_get_of(s, of_credentials, r->profile, "aws_access_key_id");
    const char *secret = cii_aws_settings_get_of(s, of_credentials, r->profile, "aws_secret_access_key");
    const char *token = cii_aws_settings_get_of(s, of_credentials, r->profile, "aws_session_token");
    if (!id && !secret)
        return CI_ERR_NOTFOUND;
    set_name(r, of_credentials ? "credentials file" : "config file");
    if (!id || !secret)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "%s is missing",
                             id ? "aws_secret_access_key" : "aws_access_key_id");
    return cii_found_set(&r->found, id, secret, token, 0, ret_error);
}

static bool has_keys(const aws_resolver *r) {
    for (int of_credentials = 0; of_credentials < 2; of_credentials++)
        if (cii_aws_settings_get_of(r->settings, of_credentials, r->profile, "aws_access_key_id"))
            return true;
    return false;
}

/* --- a profile ---------------------------------------------------------------------------------------------------- */

static ci_status no_profile(const aws_resolver *r, ci_status status, ci_error **ret_error) {
    return cii_error_set(ret_error, status, AWS_DOMAIN, "no such profile in %s", cii_aws_settings_where(r->settings));
}

/* Goes from a profile with a role to the one whose credentials it is assumed with. */
static ci_status follow(aws_resolver *r, const char *to, ci_error **ret_error) {
    if (!cii_aws_settings_has(r->settings, to))
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "source_profile '%.200s': no such profile in %s",
                             to, cii_aws_settings_where(r->settings));
    for (size_t i = 0; i < r->hop_count; i++) {
        bool is_itself = i == r->hop_count - 1 && has_keys(r); /* its own keys, for its own role */
        if (strcmp(r->hops[i], to) == 0 && !is_itself)
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN,
                                 "source_profile '%.200s' leads round in a circle", to);
    }
    r->profile = to;
    return CI_OK;
}

static ci_status of_named_source(aws_resolver *r, const char *name, ci_error **ret_error) {
    if (strcmp(name, "Environment") == 0) {
        r->profile = NULL;
        ci_status status = of_environment(r, ret_error);
        return status == CI_ERR_NOTFOUND ? cii_error_wrap(ret_error, CI_ERR_INVALID, "credential_source") : status;
    }
    if (strcmp(name, "EcsContainer") == 0)
        return use_required(r, &cii_container_source, "credential_source EcsContainer");
    if (strcmp(name, "Ec2InstanceMetadata") == 0)
        return use_required(r, &cii_imds_source, "credential_source Ec2InstanceMetadata");
    return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN,
                         "credential_source: \"%.80s\" is none of Environment, EcsContainer, Ec2InstanceMetadata",
                         name);
}

/* What a profile has besides a role to be assumed with other credentials. */
static ci_status of_profile_itself(aws_resolver *r, ci_error **ret_error) {
    if (cii_resolve_setting(r, "web_identity_token_file"))
        return use_required(r, &cii_web_identity_source, "web identity");
    if (cii_resolve_setting(r, "sso_session") || cii_resolve_setting(r, "sso_start_url"))
        return use_required(r, &cii_sso_source, "SSO");
    ci_status status = of_file(r, true, ret_error);
    if (status != CI_ERR_NOTFOUND)
        return status;
    if (cii_resolve_setting(r, "credential_process"))
        return use_required(r, &cii_process_source, "credential_process");
    return of_file(r, false, ret_error);
}

static bool has_role(const aws_resolver *r) {
    return cii_resolve_setting(r, "role_arn") && !cii_resolve_setting(r, "web_identity_token_file");
}

/* From r->profile, along source profiles. One of them that has keys is an end, whatever role it has. */
static ci_status of_role(aws_resolver *r, ci_error **ret_error) {
    for (;;) {
        set_name(r, "role");
        const char *source_profile = cii_resolve_setting(r, "source_profile"),
                   *source = cii_resolve_setting(r, "credential_source");
        if (!source_profile == !source)
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN,
                                 "role_arn needs either source_profile or credential_source, and has %s",
                                 source ? "both" : "none");
        if (r->hop_count == AWS_HOPS_MAX)
            return cii_error_set(ret_error, CI_ERR_LIMIT, AWS_DOMAIN, "more than %d roles one after another",
                                 AWS_HOPS_MAX);
        r->hops[r->hop_count++] = r->profile;
        if (source)
            return of_named_source(r, source, ret_error);
        ci_status status = follow(r, source_profile, ret_error);
        if (status < 0)
            return status;
        if (has_keys(r) || !has_role(r)) {
            set_name(r, "source_profile");
            status = of_profile_itself(r, ret_error);
            return status == CI_ERR_NOTFOUND
                       ? cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "there are no credentials in it")
                       : status;
        }
    }
}

/* --- the links ---------------------------------------------------------------------------------------------------- */

static ci_status link_environment(aws_resolver *r, ci_error **ret_error) {
    set_name(r, "environment");
    if (r->options->profile && *r->options->profile)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN, "left out, as a profile was given");
    return of_environment(r, ret_error);
}

/* Reads the files. A profile that somebody chose must be there. */
static ci_status link_role(aws_resolver *r, ci_error **ret_error) {
    set_name(r, "shared files");
    ci_status status = cii_aws_settings_load(r->options->environment, r->options->profile, &r->settings, ret_error);
    if (status < 0)
        return status;
    r->profile = cii_aws_settings_profile(r->settings);
    set_name(r, "role");
    if (!cii_aws_settings_has(r->settings, r->profile)) {
        snprintf(r->name, sizeof r->name, "profile '%.200s'", r->profile);
        return no_profile(r, cii_aws_settings_is_named(r->settings) ? CI_ERR_INVALID : CI_ERR_NOTFOUND, ret_error);
    }
    return has_role(r) ? of_role(r, ret_error) : CI_ERR_NOTFOUND;
}

static ci_status link_web_identity(aws_resolver *r, ci_error **ret_error) {
    if (r->options->profile && *r->options->profile)
        return CI_ERR_NOTFOUND;
    (void)ret_error;
    return use(r, &cii_web_identity_source, "web identity");
}

static ci_status link_profile(aws_resolver *r, ci_error **ret_error) {
    r->profile = cii_aws_settings_profile(r->settings);
    if (!cii_aws_settings_has(r->settings, r->profile))
        return CI_ERR_NOTFOUND; /* has been said */
    snprintf(r->name, sizeof r->name, "profile '%.200s'", r->profile);
    ci_status status = of_profile_itself(r, ret_error);
    if (status == CI_ERR_NOTFOUND)
        cii_error_set(ret_error, status, AWS_DOMAIN, "there are no credentials in it");
    return status;
}

static ci_status link_container(aws_resolver *r, ci_error **ret_error) {
    (void)ret_error;
    return use(r, &cii_container_source, "container");
}

static ci_status link_instance(aws_resolver *r, ci_error **ret_error) {
    (void)ret_error;
    return use(r, &cii_imds_source, "instance metadata");
}

static const link_fn links[] = {link_environment, link_role,      link_web_identity,
                                link_profile,     link_container, link_instance};

/* --- the search --------------------------------------------------------------------------------------------------- */

/* "…; NAME: why" onto what was tried. A link without a message has nothing to say. */
static ci_status add_tried(aws_resolver *r, const ci_error *error) {
    return !error
               ? CI_OK
               : cii_buf_printf(&r->tried, "%s%s: %s", r->tried.size > 0 ? "; " : "", r->name, ci_error_message(error));
}

/* The end without credentials: what was tried, with what the last failure has to say besides. */
static ci_status give_up(aws_resolver *r, ci_status status, ci_error **why, ci_error **ret_error) {
    _cleanup_error_ ci_error *last = TAKE_PTR(*why);
    if (status == CI_ERR_NOMEM || add_tried(r, last) < 0)
        return cii_error_nomem(ret_error);
    cii_error_set(ret_error, status, AWS_DOMAIN, "no credentials: %s", r->tried.data);
    ci_error_fields fields = {.struct_size = sizeof fields,
                              .domain = AWS_DOMAIN,
                              .message = ret_error ? ci_error_message(*ret_error) : "",
                              .hint = ci_error_hint(last),
                              .status = status,
                              .error_number = ci_error_errno(last),
                              .http_status = ci_error_http_status(last),
                              .retryable = ci_error_retryable(last)};
    if (*fields.hint == '\0')
        fields.hint = r->link == CII_ELEMENTS(links)
                          ? "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile"
                          : NULL;
    _cleanup_error_ ci_error *told = NULL;
    ci_error_make(&fields, &told);
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(told);
    }
    return status;
}

static void end_op(aws_resolver *r) {
    if (r->op)
        r->op->ops->free(r->op);
    r->op = NULL;
}

/* One step that does not wait. Sets *ret_waits when there is an operation to wait for. */
static ci_status step(aws_resolver *r, bool *ret_waits, ci_error **ret_error) {
    if (r->op) {
        r->is_required = true; /* what could begin is set up */
        int32_t done = r->op->ops->process(r->op, ret_error);
        *ret_waits = done == 0;
        if (done == 0)
            return CI_OK;
        end_op(r);
        return done < 0 ? done : r->source->answered(r, ret_error);
    }
    if (r->found.id && r->hop_count > 0) {
        r->profile = r->hops[--r->hop_count];
        use(r, &cii_assume_role_source, "assume role");
    } else {
        r->profile = NULL;
        r->source = NULL;
        ci_status status = links[r->link++](r, ret_error);
        if (status < 0 || !r->source)
            return status;
    }
    return r->source->start(r, ret_error);
}

static int32_t search(ci_op *op, ci_error **ret_error) {
    aws_resolver *r = (aws_resolver *)op;
    for (;;) {
        _cleanup_error_ ci_error *why = NULL;
        bool waits = false;
        ci_status status = step(r, &waits, &why);
        if (waits)
            return 0;
        bool is_unset = status == CI_ERR_NOTFOUND && !r->is_required;
        if (status < 0 && (!is_unset || r->link == CII_ELEMENTS(links)))
            return give_up(r, is_unset || status != CI_ERR_NOTFOUND ? status : CI_ERR_INVALID, &why, ret_error);
        if (status < 0 && add_tried(r, why) < 0)
            return cii_error_nomem(ret_error);
        if (status == CI_OK && !r->op && r->hop_count == 0)
            return 1;
    }
}

static int32_t search_fd(ci_op *op) {
    const aws_resolver *r = (aws_resolver *)op;
    return r->op ? r->op->ops->fd(r->op) : -1;
}

static void search_free(ci_op *op) {
    aws_resolver *r = (aws_resolver *)op;
    end_op(r);
    cii_secret_buf_free(&r->response.body);
    cii_buf_free(&r->tried);
    cii_found_free(&r->found);
    cii_aws_settings_free(r->settings);
    OPENSSL_cleanse(r->imds_token, sizeof r->imds_token);
    free(r);
}

static const ci_op_ops search_ops = {
    .struct_size = sizeof search_ops, .fd = search_fd, .process = search, .free = search_free};

aws_resolver *cii_resolve_new(const cii_aws_credentials_options *options, int64_t now_s) {
    aws_resolver *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->base.ops = &search_ops;
    r->options = options;
    r->now_s = now_s;
    return r;
}
