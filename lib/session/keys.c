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

/* Consumes name. */
static ci_status add_place(ci_session *session, const char *field, char *name, const char *template,
                           ci_error **ret_error) {
    if (!name)
        return cii_error_nomem(ret_error);
    cii_place *place = &session->places[session->place_count++];
    place->name = name;
    return expand(session, field, template, &place->key, ret_error);
}

/* "NAME/=KEY PREFIX/" */
static ci_status add_given(ci_session *session, const char *given, ci_error **ret_error) {
    const char *equals = strchr(given, '=');
    size_t size = equals ? (size_t)(equals - given) : 0;
    if (size < 2 || given[size - 1] != '/')
        return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                             "prefixes: \"%s\" is not allowed: entries have the form NAME/=KEY PREFIX/", given);
    char *name = strndup(given, size);
    ci_status status = name ? cii_key_check(name, true, "prefixes", ret_error) : cii_error_nomem(ret_error);
    if (status < 0) {
        free(name);
        return status;
    }
    return add_place(session, "prefixes", name, equals + 1, ret_error);
}

static int compare(const void *a, const void *b) {
    return strcmp(((const cii_place *)a)->name, ((const cii_place *)b)->name);
}

/* In byte order a name stands right before those that begin with it. */
static ci_status sort_places(ci_session *session, ci_error **ret_error) {
    qsort(session->places, session->place_count, sizeof *session->places, compare);
    for (size_t i = 0; i < session->place_count; i++) {
        const cii_place *place = &session->places[i];
        if (i > 0 && strcmp(place->name, place[-1].name) == 0)
            return cii_error_set(ret_error, CI_ERR_INVALID, "session", "prefixes: \"%s\" is there already",
                                 place->name);
        if (i > 0 && cii_str_starts(place->name, place[-1].name))
            return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                                 "prefixes: \"%s\" lies below \"%s\", and a name has one key", place->name,
                                 place[-1].name);
        if (strcmp(place->name, CII_UPLOADS) == 0)
            session->uploads_prefix = place->key;
        else if (strcmp(place->name, CII_OUTPUTS) == 0)
            session->output_prefix = place->key;
    }
    return CI_OK;
}

ci_status cii_keys_init(ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    const char *uploads = o->uploads_prefix, *outputs = o->output_prefix;
    if (!uploads)
        uploads = o->session_id ? "{session}/" CII_UPLOADS : CII_UPLOADS;
    if (!outputs)
        outputs = o->session_id ? "{session}/" CII_OUTPUTS : CII_OUTPUTS;
    size_t given = 0;
    while (o->prefixes && o->prefixes[given])
        given++;
    session->places = calloc(given + 2, sizeof *session->places);
    if (!session->places)
        return cii_error_nomem(ret_error);
    ci_status status = o->manifest && *o->manifest ? cii_key_check(o->manifest, false, "manifest", ret_error) : CI_OK;
    if (status == CI_OK)
        status = add_place(session, "uploads_prefix", strdup(CII_UPLOADS), uploads, ret_error);
    if (status == CI_OK)
        status = add_place(session, "output_prefix", strdup(CII_OUTPUTS), outputs, ret_error);
    for (size_t i = 0; i < given && status == CI_OK; i++)
        status = add_given(session, o->prefixes[i], ret_error);
    return status < 0 ? status : sort_places(session, ret_error);
}

void cii_keys_free(ci_session *session) {
    for (size_t i = 0; i < session->place_count; i++) {
        free(session->places[i].name);
        free(session->places[i].key);
    }
    free(session->places);
}

static ci_status refuse_name(const ci_session *session, const char *name, ci_error **ret_error) {
    _cleanup_buf_ cii_buf names;
    cii_buf_init(&names, 0);
    ci_status status = CI_OK;
    for (size_t i = 0; i < session->place_count && status == CI_OK; i++) {
        status = cii_buf_append_str(&names, i > 0 ? ", \"" : "\"");
        if (status == CI_OK)
            status = cii_buf_append_str(&names, session->places[i].name);
        if (status == CI_OK)
            status = cii_buf_append_str(&names, "\"");
    }
    if (status < 0)
        return cii_error_nomem(ret_error);
    status =
        cii_error_set(ret_error, CI_ERR_INVALID, "session", "name: \"%s\" begins with none of %s", name, names.data);
    cii_error_hint(ret_error, "\"" CII_OUTPUTS "%s\" may be meant", name);
    return status;
}

ci_status cii_keys_of_name(const ci_session *session, const char *name, char **ret_key, ci_error **ret_error) {
    ci_status status = cii_key_check(name, false, "name", ret_error);
    if (status < 0)
        return status;
    for (size_t i = 0; i < session->place_count; i++) {
        const cii_place *place = &session->places[i];
        if (!cii_str_starts(name, place->name))
            continue;
        char *key = cii_str_printf("%s%s", place->key, name + strlen(place->name));
        if (!key)
            return cii_error_nomem(ret_error);
        status = cii_key_check(key, false, "name", ret_error); /* it may be too long now */
        if (status < 0)
            free(key);
        else
            *ret_key = key;
        return status;
    }
    return refuse_name(session, name, ret_error);
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
