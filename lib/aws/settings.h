/* What a host's environment and the shared files of AWS's clients say. Read once, then unchanged: any number of threads.
 * The environment is always an argument ("NAME=value", NULL-ended; NULL: empty), never the process's own. */
#ifndef CII_AWS_SETTINGS_H
#define CII_AWS_SETTINGS_H

#include "aws/ini.h"

typedef struct cii_aws_settings cii_aws_settings;

/* NULL when it is not set, or empty. */
const char *cii_aws_env(const char *const *environment, const char *name);
/* "true" and "1" are; whatever the case. */
bool cii_aws_is_true(const char *value);

/* Reads AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, or config and credentials in ~/.aws; one that is not there is an
 * empty one, one that cannot be read or understood an error that names it. environment is borrowed; profile is copied, and
 * is AWS_PROFILE or "default" when it is NULL. */
ci_status cii_aws_settings_load(const char *const *environment, const char *profile, cii_aws_settings **ret_settings,
                                ci_error **ret_error);
void cii_aws_settings_free(cii_aws_settings *settings); /* wipes */

const char *const *cii_aws_settings_env(const cii_aws_settings *s);
const char *cii_aws_settings_profile(const cii_aws_settings *s);
bool cii_aws_settings_is_named(const cii_aws_settings *s);     /* the profile was chosen by somebody */
const char *cii_aws_settings_where(const cii_aws_settings *s); /* the two paths, for messages */
bool cii_aws_settings_has(const cii_aws_settings *s, const char *profile);
/* A profile's key; the credentials file's counts before the other's. NULL when not set, or empty. */
const char *cii_aws_settings_get(const cii_aws_settings *s, const char *profile, const char *key);
/* A key indented below another. */
const char *cii_aws_settings_get_within(const cii_aws_settings *s, const char *profile, const char *outer,
                                        const char *key);
/* As cii_aws_settings_get(), of one file. */
const char *cii_aws_settings_get_of(const cii_aws_settings *s, bool of_credentials, const char *profile,
                                    const char *key);
/* A key of "[KIND NAME]" in the config file, as in "[sso-session x]"; `outer`: within that key, or NULL. */
const char *cii_aws_settings_section(const cii_aws_settings *s, const char *kind, const char *name, const char *outer,
                                     const char *key);
/* `path` with a leading "~/" replaced by HOME; malloc'd; NULL without memory. */
char *cii_aws_settings_path(const char *const *environment, const char *path);

static inline void cii_aws_settings_free_p(cii_aws_settings **settings) {
    cii_aws_settings_free(*settings);
}
#define _cleanup_settings_ _cleanup_(cii_aws_settings_free_p)

#endif
