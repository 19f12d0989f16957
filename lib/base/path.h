/* Names and paths as text. Nothing here looks at a file system. */
#ifndef CII_BASE_PATH_H
#define CII_BASE_PATH_H

#include "base/buf.h"

/* Brings a guest path to one form: "." and empty parts vanish, ".." takes the part before it and stops at the top,
 * a trailing "/" goes. Absolute stays absolute. "" and "." give ".". */
ci_status cii_path_normalize(const char *path, char **ret_path, ci_error **ret_error);

/* Whether a relative path's ".." lead above where it starts: "../a", "a/../../b". An absolute one has nothing above. */
bool cii_path_climbs(const char *path);

/* A storage key or workspace name: UTF-8, parts between "/", none empty, "." or "..", no byte below 0x20 or 0x7f, at
 * most 1,024 bytes. A trailing "/" is allowed when prefix is true, and "" too. */
ci_status cii_key_check(const char *key, bool prefix, const char *what, ci_error **ret_error);

const char *cii_path_base(const char *path); /* after the last "/" */

/* MIME type by the first bytes and the name's suffix; "text/plain" or "application/octet-stream" when neither tells.
 * A static string. */
const char *cii_mime_type(const char *name, const void *head, size_t head_size);

#endif
