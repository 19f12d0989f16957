/* The AgentCore sandbox: made of options, and what AWS's clients read. No request is sent before a session is opened. */
#include "sandbox/agentcore/agentcore.h"

#include <ctype.h>

#include "base/options.h"
#include "base/str.h"

#define INTERPRETER "aws.codeinterpreter.v1"
#define SERVICE "bedrock-agentcore"
#define PART_BYTES ((uint64_t)4 << 20)
#define PART_BYTES_MIN ((uint64_t)4 << 10)
#define PART_BYTES_MAX ((uint64_t)64 << 20)
#define IDLE_MS (16u * 60 * 1000) /* a run may be silent as long as the service lets it run: 15 minutes */
#define ANSWER_MS 60000u
#define KEPT_CONNECTIONS 128u
#define SESSION_TIMEOUT_MAX_S 28800u
#define TRACE_BYTES_MAX 1024
#define STOP_AT_END_MS 5000

extern char **environ;

/* --- options ----------------------------------------------------------------------------------------------------------- */

static bool is_name(const char *name) {
    size_t size = strlen(name);
    return size >= 1 && size <= 100 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == size;
}

/* "arn:PARTITION:bedrock-agentcore:REGION:ACCOUNT:code-interpreter…/ID" */
static bool is_arn(const char *interpreter) {
    const char *at = interpreter;
    for (int i = 0; i < 2 && at; i++)
        at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL;
    return cii_str_starts(interpreter, "arn:") && at && cii_str_starts(at, SERVICE ":");
}

/* The region in it; "" when there is none. */
static char *arn_region(const char *arn) {
    const char *at = strstr(arn, ":" SERVICE ":") + strlen(":" SERVICE ":");
    return strndup(at, strcspn(at, ":"));
}

static bool is_interpreter(const char *text) {
    for (const char *at = text; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr(is_arn(text) ? ".-_:/" : ".-_", *at))
            return false;
    return *text && strlen(text) <= 512;
}

static ci_status check_options(const ci_sandbox_agentcore_options *o, ci_error **ret_error) {
    const char *wrong = NULL;
    if (o->interpreter && !is_interpreter(o->interpreter))
        wrong = "interpreter: neither an id nor an ARN of an interpreter";
    else if (!o->access_key_id != !o->secret_access_key)
        wrong = "access_key_id and secret_access_key: both or neither";
    else if (o->session_token && !o->access_key_id)
        wrong = "session_token: only with access_key_id and secret_access_key";
    else if (o->name && !is_name(o->name))
        wrong = "name: 1 to 100 of the characters A-Z a-z 0-9 _ -";
    else if (o->runtime && strcmp(o->runtime, "nodejs") != 0 && strcmp(o->runtime, "deno") != 0)
        wrong = "runtime: nodejs or deno";
    else if ((o->trace_id && strlen(o->trace_id) > TRACE_BYTES_MAX) ||
             (o->trace_parent && strlen(o->trace_parent) > TRACE_BYTES_MAX))
        wrong = "trace_id and trace_parent: 1,024 bytes at most";
    else if (o->session_timeout_s > SESSION_TIMEOUT_MAX_S)
        wrong = "session_timeout_s: 28,800 at most";
    else if (o->part_bytes > PART_BYTES_MAX || (o->part_bytes && o->part_bytes < PART_BYTES_MIN))
        wrong = "part_bytes: 4 KiB at least and 64 MiB at most";
    else if (o->network < CI_NETWORK_NONE || o->network > CI_NETWORK_HOST)
        wrong = "network: not one of CI_NETWORK_…";
    if (wrong)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN, "%s", wrong);
    return CI_OK;
}

static ci_status copy(const char *from, char **to, ci_error **ret_error) {
    *to = from ? strdup(from) : NULL;
    return !from || *to ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status take_options(cii_agentcore *c, const ci_sandbox_agentcore_options *o, ci_error **ret_error) {
    c->part_bytes = o->part_bytes ? o->part_bytes : PART_BYTES;
    c->event_bytes = o->event_bytes;
    c->session_timeout_s = o->session_timeout_s;
    c->attempts = o->attempts;
    c->answer_ms = o->answer_timeout_ms ? o->answer_timeout_ms : ANSWER_MS;
    if (o->idle_timeout_ms)
        c->answer_ms = CII_MIN(c->answer_ms, o->idle_timeout_ms);
    c->network = o->network;
    c->keeps_sessions = o->keep_sessions != 0;
    ci_status status = copy(o->interpreter ? o->interpreter : INTERPRETER, &c->interpreter, ret_error);
    if (status == CI_OK)
        status = copy(o->runtime ? o->runtime : "nodejs", &c->runtime, ret_error);
    if (status == CI_OK)
        status = copy(o->name, &c->name, ret_error);
    if (status == CI_OK)
        status = copy(o->trace_id, &c->trace_id, ret_error);
    return status < 0 ? status : copy(o->trace_parent, &c->trace_parent, ret_error);
}

/* --- where the service is ------------------------------------------------------------------------------------------------ */

static ci_status find_region(cii_agentcore *c, const char *option, ci_error **ret_error) {
    _cleanup_free_ char *of_arn = is_arn(c->interpreter) ? arn_region(c->interpreter) : NULL;
    if (is_arn(c->interpreter) && !of_arn)
        return cii_error_nomem(ret_error);
    const char *region = cii_aws_region(c->settings, option ? option : of_arn && *of_arn ? of_arn : NULL);
    if (!region) {
        ci_status status = cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN, "region: nobody says which");
        cii_error_hint(ret_error, "give the region, or set AWS_REGION");
        return status;
    }
    if (!cii_aws_region_valid(region))
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN, "region: \"%.80s\" is not one", region);
    return copy(region, &c->region, ret_error);
}

static ci_status find_service(cii_agentcore *c, const ci_sandbox_agentcore_options *o, ci_error **ret_error) {
    ci_status status = find_region(c, o->region, ret_error);
    if (status == CI_OK)
        status = cii_aws_endpoint_resolve(c->settings, SERVICE, o->endpoint, c->region,
                                          cii_aws_endpoint_flags(c->settings, SERVICE), &c->endpoint, ret_error);
    if (status == CI_OK)
        status = cii_sigv4_new(c->region, SERVICE, CII_SIGV4_OTHERS, &c->signer, ret_error);
    if (status < 0)
        return status;
    cii_buf path = {0};
    if (cii_buf_printf(&path, "%s/code-interpreters/", c->endpoint.path) < 0 ||
        cii_sigv4_encode(&path, c->interpreter, strlen(c->interpreter), false) < 0) {
        cii_buf_free(&path);
        return cii_error_nomem(ret_error);
    }
    c->path = cii_buf_take(&path, NULL);
    return c->path ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status make_pool(cii_agentcore *c, const ci_sandbox_agentcore_options *o, ci_error **ret_error) {
    ci_status status = cii_aws_http_new(c->settings, o->ca_file, o->proxy, &c->http, ret_error);
    if (status < 0)
        return status;
    cii_http_settings settings = cii_aws_http_settings(c->http, c->endpoint.is_tls);
    settings.connect_ms = o->connect_timeout_ms;
    settings.idle_ms = o->idle_timeout_ms ? o->idle_timeout_ms : IDLE_MS;
    settings.kept_connection_max = KEPT_CONNECTIONS;
    return cii_http_pool_new(&settings, &c->pool, ret_error);
}

static ci_status make_credentials(cii_agentcore *c, const ci_sandbox_agentcore_options *o, ci_error **ret_error) {
    const cii_aws_keys keys = {o->access_key_id, o->secret_access_key, o->session_token};
    const cii_aws_credentials_options options = {.keys = o->access_key_id ? &keys : NULL,
                                                 .profile = o->profile,
                                                 .region = c->region,
                                                 .environment = cii_aws_settings_env(c->settings),
                                                 .fetch = cii_aws_http_fetch,
                                                 .fetch_user = c->http};
    return cii_aws_credentials_new(&options, &c->credentials, ret_error);
}

/* --- the object ------------------------------------------------------------------------------------------------------------ */

static void agentcore_free(void *impl) {
    cii_agentcore *c = impl;
    if (!c)
        return;
    cii_agentcore_stops_wait(c, STOP_AT_END_MS);
    cii_http_pool_free(c->pool);
    cii_aws_credentials_free(c->credentials);
    cii_aws_http_free(c->http);
    cii_aws_settings_free(c->settings);
    cii_aws_endpoint_free(&c->endpoint);
    cii_sigv4_free(c->signer);
    free(c->region);
    free(c->interpreter);
    free(c->path);
    free(c->name);
    free(c->runtime);
    free(c->trace_id);
    free(c->trace_parent);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void agentcore_free_p(cii_agentcore **c) {
    agentcore_free(*c);
}

static uint64_t agentcore_capabilities(void *impl, void *session) {
    const cii_agentcore *c = impl;
    (void)session;
    return CI_CAP_CLEAR_CONTEXT | CI_CAP_PYTHON | CI_CAP_JAVASCRIPT | CI_CAP_TYPESCRIPT | CI_CAP_CALL_ENV |
           CI_CAP_CALL_CWD | CI_CAP_SEPARATE_STREAMS | CI_CAP_BACKGROUND | CI_CAP_REATTACH | CI_CAP_WALK |
           (c->network == CI_NETWORK_NONE       ? CI_CAP_NETWORK_NONE
            : c->network == CI_NETWORK_INTERNET ? CI_CAP_NETWORK_INTERNET
                                                : CI_CAP_NETWORK_HOST);
}

static const ci_sandbox_ops agentcore_ops = {
    .struct_size = sizeof agentcore_ops,
    .name = "agentcore",
    .free = agentcore_free,
    .capabilities = agentcore_capabilities,
    .open = cii_agentcore_open,
    .attach = cii_agentcore_attach,
    .shutdown = cii_agentcore_shutdown,
    .close = cii_agentcore_close,
    .run = cii_agentcore_run,
    .info = cii_agentcore_info,
    .file_get = cii_agentcore_file_get,
    .file_put = cii_agentcore_file_put,
    .file_list = cii_agentcore_file_list,
    .file_stat = cii_agentcore_file_stat,
    .file_remove = cii_agentcore_file_remove,
    .file_mkdir = cii_agentcore_file_mkdir,
    .walk = cii_agentcore_walk,
};

ci_status ci_sandbox_agentcore_new(const ci_sandbox_agentcore_options *options, ci_sandbox **ret_sandbox,
                                   ci_error **ret_error) {
    ci_sandbox_agentcore_options o;
    if (!ret_sandbox)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN, "ret_sandbox: NULL");
    ci_status status = cii_options_copy(&o, sizeof o, options, "ci_sandbox_agentcore_options", ret_error);
    if (status == CI_OK)
        status = check_options(&o, ret_error);
    if (status < 0)
        return status;
    _cleanup_(agentcore_free_p) cii_agentcore *c = calloc(1, sizeof *c);
    if (!c)
        return cii_error_nomem(ret_error);
    pthread_mutex_init(&c->lock, NULL);
    status = take_options(c, &o, ret_error);
    if (status == CI_OK)
        status = cii_aws_settings_load(o.no_environment ? NULL : (const char *const *)environ, o.profile, &c->settings,
                                       ret_error);
    if (status == CI_OK)
        status = find_service(c, &o, ret_error);
    if (status == CI_OK)
        status = make_pool(c, &o, ret_error);
    if (status == CI_OK)
        status = make_credentials(c, &o, ret_error);
    if (status == CI_OK)
        status = ci_sandbox_new(&agentcore_ops, c, ret_sandbox, ret_error);
    if (status == CI_OK)
        c = NULL;
    return status;
}
