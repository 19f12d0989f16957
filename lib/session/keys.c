/* See keys.h. */
#include "session/keys.h"

#include "base/path.h"
#include "base/str.h"

/* Puts the values of {user} and {session} in and sees to the "/" at the end. */
static ci_status expand(const ci_session *session, const char *field, const char *template, char **ret_prefix,
                        ci_error **ret_error) {
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    ci_status status = CI_OK;
    for (const char *at = template; *at && status == CI_OK;) {
        if (cii_str_starts(at, "{session}")) {
            status = cii_buf_append_str(&text, session->id);
            at += strlen("{session}");
        } else if (cii_str_starts(at, "{user}")) {
            if (!session->options.user)
                return cii_error_set(ret_error, CI_ERR_INVALID, "session", "%s: \"%s\" has {user}, but user is not set",
                                     field, template);
            status = cii_buf_append_str(&text, session->options.user);
            at += strlen("{user}");
        } else if (*at == '{' || *at == '}') {
            return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                                 "%s: \"%s\": only {user} and {session} are replaced", field, template);
        } else {
            status = cii_buf_append(&text, at++, 1);
        }
    }
    if (status == CI_OK && text.size > 0 && text.data[text.size - 1] != '/')
        status = cii_buf_append_str(&text, "/");
    char *prefix = status == CI_OK ? cii_buf_take(&text, NULL) : NULL;
    if (!prefix)
        return cii_error_nomem(ret_error);
    status = cii_key_check(prefix, true, field, ret_error);
    if (status < 0)
        free(prefix);
    else
        *ret_prefix = prefix;
    return status;
}

ci_status cii_keys_init(ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    const char *uploads = o->uploads_prefix, *outputs = o->output_prefix;
    if (!uploads)
        uploads = o->session_id ? "{session}/" CII_UPLOADS : CII_UPLOADS;
    if (!outputs)
        outputs = o->session_id ? "{session}/" CII_OUTPUTS : CII_OUTPUTS;
    ci_status status = expand(session, "uploads_prefix", uploads, &session->uploads_prefix, ret_error);
    if (status == CI_OK)
        status = expand(session, "output_prefix", outputs, &session->output_prefix, ret_error);
    return status;
}

ci_status cii_keys_of_name(const ci_session *session, const char *name, char **ret_key, ci_error **ret_error) {
    ci_status status = cii_key_check(name, false, "name", ret_error);
    if (status < 0)
        return status;
    const char *prefix = NULL, *rest = NULL;
    if (cii_str_starts(name, CII_UPLOADS)) {
        prefix = session->uploads_prefix;
        rest = name + strlen(CII_UPLOADS);
    } else if (cii_str_starts(name, CII_OUTPUTS)) {
        prefix = session->output_prefix;
        rest = name + strlen(CII_OUTPUTS);
    } else {
        status =
            cii_error_set(ret_error, CI_ERR_INVALID, "session",
                          "name: \"%s\" begins neither with \"" CII_OUTPUTS "\" nor with \"" CII_UPLOADS "\"", name);
        cii_error_hint(ret_error, "\"" CII_OUTPUTS "%s\" may be meant", name);
        return status;
    }
    char *key = cii_str_printf("%s%s", prefix, rest);
    if (!key)
        return cii_error_nomem(ret_error);
    *ret_key = key;
    return CI_OK;
}

ci_status cii_keys_of_path(const ci_session *session, const char *path, char **ret_key, char **ret_name,
                           ci_error **ret_error) {
    _cleanup_free_ char *key = cii_str_printf("%s%s", session->output_prefix, path);
    _cleanup_free_ char *name = cii_str_printf("%s%s", CII_OUTPUTS, path);
    if (!key || !name)
        return cii_error_nomem(ret_error);
    ci_status status = cii_key_check(key, false, "name", ret_error);
    if (status < 0)
        return status;
    *ret_key = TAKE_PTR(key);
    *ret_name = TAKE_PTR(name);
    return CI_OK;
}

ci_status cii_keys_sandbox_path(const char *given, char **ret_path, ci_error **ret_error) {
    _cleanup_free_ char *path = NULL;
    if (cii_path_climbs(given))
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "\"%s\" leads above the sandbox root", given);
    ci_status status = cii_path_normalize(given, &path, ret_error);
    if (status < 0)
        return status;
    const char *relative = path;
    if (strcmp(path, CII_GUEST_ROOT) == 0)
        relative = ".";
    else if (cii_str_starts(path, CII_GUEST_ROOT "/"))
        relative = path + strlen(CII_GUEST_ROOT "/");
    else if (path[0] == '/')
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "\"%s\" lies outside the sandbox root", given);
    char *copy = strdup(relative);
    if (!copy)
        return cii_error_nomem(ret_error);
    *ret_path = copy;
    return CI_OK;
}
