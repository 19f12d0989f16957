/* Session options: copied with defaults filled in, and refused with what was given and what is allowed. */
#include <stdio.h>

#include "base/options.h"
#include "base/path.h"
#include "base/str.h"
#include "session/object.h"

static const size_t string_fields[] = {
    offsetof(ci_session_options, workspace_dir), offsetof(ci_session_options, session_id),
    offsetof(ci_session_options, python),        offsetof(ci_session_options, host_dir),
    offsetof(ci_session_options, rootfs),        offsetof(ci_session_options, uploads_prefix),
    offsetof(ci_session_options, output_prefix), offsetof(ci_session_options, user),
    offsetof(ci_session_options, manifest),      offsetof(ci_session_options, attach_id),
};

static const size_t list_fields[] = {
    offsetof(ci_session_options, env),
    offsetof(ci_session_options, network_allow),
    offsetof(ci_session_options, network_deny),
    offsetof(ci_session_options, prefixes),
};

static char **string_at(ci_session_options *options, size_t offset) {
    return (char **)((char *)options + offset);
}

typedef const char *const *strings;

static strings *list_at(ci_session_options *options, size_t offset) {
    return (strings *)((char *)options + offset);
}

void cii_settings_free(ci_session_options *options) {
    for (size_t i = 0; i < CII_ELEMENTS(string_fields); i++)
        free(*string_at(options, string_fields[i]));
    for (size_t i = 0; i < CII_ELEMENTS(list_fields); i++)
        cii_strv_free((char **)(uintptr_t)*list_at(options, list_fields[i]));
    *options = (ci_session_options){0};
}

/* The strings are the caller's until here; on failure those not copied yet are NULL, so that all can be freed. */
static ci_status own_strings(ci_session_options *options) {
    bool whole = true;
    for (size_t i = 0; i < CII_ELEMENTS(string_fields); i++) {
        char **string = string_at(options, string_fields[i]);
        if (*string && !(*string = strdup(*string)))
            whole = false;
    }
    for (size_t i = 0; i < CII_ELEMENTS(list_fields); i++) {
        strings *list = list_at(options, list_fields[i]);
        if (*list && !(*list = (strings)cii_strv_copy(*list)))
            whole = false;
    }
    return whole ? CI_OK : CI_ERR_NOMEM;
}

static ci_status refuse(ci_error **ret_error, const char *field, const char *given, const char *allowed) {
    return cii_error_set(ret_error, CI_ERR_INVALID, "session", "%s: \"%s\" is not allowed: %s", field, given, allowed);
}

static ci_status refuse_number(ci_error **ret_error, const char *field, int64_t given, const char *allowed) {
    return cii_error_set(ret_error, CI_ERR_INVALID, "session", "%s: %lld is not allowed: %s", field, (long long)given,
                         allowed);
}

ci_status cii_env_check(const char *const *env, ci_error **ret_error) {
    for (size_t i = 0; env && env[i]; i++)
        if (!strchr(env[i], '=') || env[i][0] == '=')
            return refuse(ret_error, "env", env[i], "entries have the form NAME=value");
    return CI_OK;
}

/* What its rules say is the backend's to read. */
static ci_status check_policy(const ci_session_options *o, ci_error **ret_error) {
    if (o->network == CI_NETWORK_INTERNET || (!o->network_allow && !o->network_deny))
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                         "%s: only network CI_NETWORK_INTERNET has rules, and network is %s",
                         o->network_allow ? "network_allow" : "network_deny",
                         o->network == CI_NETWORK_NONE ? "CI_NETWORK_NONE" : "CI_NETWORK_HOST");
}

#define ID_FORM "1 to 64 of the characters A-Z a-z 0-9 _ -"
#define ALL_FLAGS                                                                                          \
    (CI_SESSION_NO_PRELOAD | CI_SESSION_PRELOAD_ONCE | CI_SESSION_NO_UNPACK | CI_SESSION_PUSH_EVERYTHING | \
     CI_SESSION_LEAVE_RUNNING)

static ci_status check(const ci_session_options *o, ci_error **ret_error) {
    if (o->session_id && !cii_id_valid(o->session_id))
        return refuse(ret_error, "session_id", o->session_id, ID_FORM);
    if (o->user && !cii_id_valid(o->user))
        return refuse(ret_error, "user", o->user, ID_FORM);
    if (o->storage && o->workspace_dir)
        return refuse(ret_error, "workspace_dir", o->workspace_dir, "storage is given, and one of the two is enough");
    if (o->host_dir && o->host_dir[0] != '/')
        return refuse(ret_error, "host_dir", o->host_dir, "an absolute path");
    if (o->rootfs && o->rootfs[0] != '/')
        return refuse(ret_error, "rootfs", o->rootfs, "an absolute path");
    if (o->network < CI_NETWORK_NONE || o->network > CI_NETWORK_HOST)
        return refuse_number(ret_error, "network", o->network, "one of the CI_NETWORK_ values, 0 to 2");
    if (o->flags & ~(uint32_t)ALL_FLAGS)
        return refuse_number(ret_error, "flags", o->flags, "the CI_SESSION_ flags");
    const struct {
        const char *field;
        int64_t value;
    } times[] = {{"timeout_ms", o->timeout_ms}, {"grace_ms", o->grace_ms}, {"open_timeout_ms", o->open_timeout_ms}};
    for (size_t i = 0; i < CII_ELEMENTS(times); i++)
        if (times[i].value < 0)
            return refuse_number(ret_error, times[i].field, times[i].value, "milliseconds, 0 for the default");
    ci_status status = check_policy(o, ret_error);
    return status < 0 ? status : cii_env_check(o->env, ret_error);
}

#define DEFAULT(field, value)       \
    do {                            \
        if (options->field == 0)    \
            options->field = value; \
    } while (0)

static void fill_defaults(ci_session_options *options) {
    DEFAULT(memory_bytes, UINT64_C(2) << 30);
    DEFAULT(workspace_bytes, UINT64_C(4) << 30);
    DEFAULT(workspace_inodes, 1000000);
    DEFAULT(archive_bytes, UINT64_C(2) << 30);
    DEFAULT(stream_bytes, UINT64_C(1) << 20);
    DEFAULT(grace_ms, 1000);
    DEFAULT(open_timeout_ms, 60000);
    DEFAULT(process_count, 256);
    DEFAULT(open_file_count, 4096);
    DEFAULT(archive_entry_count, 100000);
    DEFAULT(archive_ratio, 200);
}

/* What the backend must be able to do because the caller named a value; a default is done without. */
static uint64_t limits_of(const ci_session_options *options) {
    return (options->memory_bytes ? CI_CAP_LIMIT_MEMORY : 0) | (options->process_count ? CI_CAP_LIMIT_PROCESSES : 0) |
           (options->workspace_bytes || options->workspace_inodes ? CI_CAP_LIMIT_DISK : 0);
}

ci_status cii_settings_copy(ci_session_options *ret_options, uint64_t *ret_limits, const ci_session_options *from,
                            ci_error **ret_error) {
    ci_session_options options;
    ci_status status = cii_options_copy(&options, sizeof options, from, "ci_session_options", ret_error);
    if (status == CI_OK)
        status = check(&options, ret_error);
    if (status < 0)
        return status;
    if (own_strings(&options) < 0) {
        cii_settings_free(&options);
        return cii_error_nomem(ret_error);
    }
    *ret_limits = limits_of(&options);
    fill_defaults(&options);
    *ret_options = options;
    return CI_OK;
}
