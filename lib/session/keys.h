/* Logical names of the workspace ("uploads/a.csv", "code-interpreter/chart.png") and the storage's keys behind them. */
#ifndef CII_SESSION_KEYS_H
#define CII_SESSION_KEYS_H

#include "session/object.h"

/* Fills the session's places, uploads_prefix and output_prefix from the options. */
ci_status cii_keys_init(ci_session *session, ci_error **ret_error);
void cii_keys_free(ci_session *session);

/* The key of a name; CI_ERR_INVALID when it is not a name of the workspace. */
ci_status cii_keys_of_name(const ci_session *session, const char *name, char **ret_key, ci_error **ret_error);

/* The key that a file of the sandbox is saved under, and the logical name of that. path is normalized and relative. A
 * name that cannot be a key (not UTF-8, control characters) is CI_ERR_INVALID. */
ci_status cii_keys_of_path(const ci_session *session, const char *path, char **ret_key, char **ret_name,
                           ci_error **ret_error);

/* A caller's path in the sandbox, relative to its root and normalized; CI_ERR_INVALID when it lies outside. */
ci_status cii_keys_sandbox_path(const char *given, char **ret_path, ci_error **ret_error);

#endif
