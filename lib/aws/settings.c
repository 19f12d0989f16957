/* Environment and shared files. */
#include "aws/settings.h"

#include <stdio.h>

#include "aws/secret.h"
#include "base/str.h"

#define DOMAIN "aws"

struct cii_aws_settings {
    const char *const *environment;
    char *profile;
    bool is_named;
    cii_ini *credentials, *config; /* NULL: not there */
    char *where;
};

const char *cii_aws_env(const char *const *environment, const char *name) {
    size_t size = strlen(name);
    for (const char *const *e = environment; e && *e; e++)
        if (strncmp(*e, name, size) == 0 && (*e)[size] == '=')
            return (*e)[size + 1] ? *e + size + 1 : NULL;
    return NULL;
}

bool cii_aws_is_true(const char *value) {
    return value && (strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

char *cii_aws_settings_path(const char *const *environment, const char *path) {
    const char *home = cii_aws_env(environment, "HOME");
    return home && cii_str_starts(path, "~/") ? cii_str_printf("%s%s", home, path + 1) : strdup(path);
}

/* Without a home there is no default, and *ret_path stays NULL. */
static ci_status path_of(const char *const *environment, const char *variable, const char *otherwise, char **ret_path) {
    const char *path = cii_aws_env(environment, variable);
    if (!path && !cii_aws_env(environment, "HOME"))
        return CI_OK;
    *ret_path = cii_aws_settings_path(environment, path ? path : otherwise);
    return *ret_path ? CI_OK : CI_ERR_NOMEM;
}

static ci_status read_file(const char *path, cii_ini **ret_ini, ci_error **ret_error) {
    size_t size = 0;
    _cleanup_secret_ char *text = cii_secret_read(path, CII_INI_SIZE_MAX, &size);
    if (!text && (errno == ENOENT || errno == ENOTDIR))
        return CI_OK;
    if (!text)
        return cii_error_errno(ret_error, errno, DOMAIN, "read %s", path);
    ci_status status = cii_ini_parse(text, size, ret_ini, ret_error);
    return status < 0 ? cii_error_wrap(ret_error, status, "read %s", path) : CI_OK;
}

static ci_status load(cii_aws_settings *s, const char *profile, ci_error **ret_error) {
    _cleanup_free_ char *config = NULL, *credentials = NULL;
    const char *const *env = s->environment;
    if (path_of(env, "AWS_CONFIG_FILE", "~/.aws/config", &config) < 0 ||
        path_of(env, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", &credentials) < 0)
        return cii_error_nomem(ret_error);
    if (!profile || !*profile)
        profile = cii_aws_env(env, "AWS_PROFILE");
    s->is_named = profile != NULL;
    s->profile = strdup(profile ? profile : "default");
    s->where = cii_str_printf("%s and %s", credentials ? credentials : "no credentials file",
                              config ? config : "no config file");
    if (!s->profile || !s->where)
        return cii_error_nomem(ret_error);
    ci_status status = credentials ? read_file(credentials, &s->credentials, ret_error) : CI_OK;
    return status == CI_OK && config ? read_file(config, &s->config, ret_error) : status;
}

ci_status cii_aws_settings_load(const char *const *environment, const char *profile, cii_aws_settings **ret_settings,
                                ci_error **ret_error) {
    _cleanup_settings_ cii_aws_settings *s = calloc(1, sizeof *s);
    if (!s)
        return cii_error_nomem(ret_error);
    s->environment = environment;
    ci_status status = load(s, profile, ret_error);
    if (status == CI_OK)
        *ret_settings = TAKE_PTR(s);
    return status;
}

void cii_aws_settings_free(cii_aws_settings *s) {
    if (!s)
        return;
    cii_ini_free(s->credentials);
    cii_ini_free(s->config);
    free(s->profile);
    free(s->where);
    free(s);
}

const char *const *cii_aws_settings_env(const cii_aws_settings *s) {
    return s->environment;
}

const char *cii_aws_settings_profile(const cii_aws_settings *s) {
    return s->profile;
}

bool cii_aws_settings_is_named(const cii_aws_settings *s) {
    return s->is_named;
}

const char *cii_aws_settings_where(const cii_aws_settings *s) {
    return s->where;
}

/* A section's name as cii_ini_get() knows it; a name too long is that of none. */
static const char *section_name(const char *kind, const char *name, char ret_text[256]) {
    int size = snprintf(ret_text, 256, "%s %s", kind, name);
    return size > 0 && size < 256 ? ret_text : "";
}

static bool of_config(const cii_aws_settings *s, const char *profile, char ret_section[256]) {
    section_name("profile", profile, ret_section);
    if (s->config && strcmp(profile, "default") == 0 && !cii_ini_has(s->config, ret_section))
        strncpy(ret_section, "default", 256);
    return s->config && cii_ini_has(s->config, ret_section);
}

bool cii_aws_settings_has(const cii_aws_settings *s, const char *profile) {
    char section[256];
    return (s->credentials && cii_ini_has(s->credentials, profile)) || of_config(s, profile, section);
}

static const char *not_empty(const char *value) {
    return value && *value ? value : NULL;
}

const char *cii_aws_settings_get_of(const cii_aws_settings *s, bool of_credentials, const char *profile,
                                    const char *key) {
    char section[256];
    if (of_credentials)
        return s->credentials ? not_empty(cii_ini_get(s->credentials, profile, key)) : NULL;
    return of_config(s, profile, section) ? not_empty(cii_ini_get(s->config, section, key)) : NULL;
}

const char *cii_aws_settings_get(const cii_aws_settings *s, const char *profile, const char *key) {
    const char *value = cii_aws_settings_get_of(s, true, profile, key);
    return value ? value : cii_aws_settings_get_of(s, false, profile, key);
}

const char *cii_aws_settings_get_within(const cii_aws_settings *s, const char *profile, const char *outer,
                                        const char *key) {
    char section[256];
    return of_config(s, profile, section) ? not_empty(cii_ini_get_within(s->config, section, outer, key)) : NULL;
}

const char *cii_aws_settings_section(const cii_aws_settings *s, const char *kind, const char *name, const char *outer,
                                     const char *key) {
    char section[256];
    if (!s->config)
        return NULL;
    section_name(kind, name, section);
    return not_empty(outer ? cii_ini_get_within(s->config, section, outer, key) : cii_ini_get(s->config, section, key));
}
