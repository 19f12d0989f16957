/* libcurl, loaded when the first pool is made: it brings some twenty-five libraries along, for which a host that keeps its
 * workspaces in folders shall not wait. */
#ifndef CII_NET_CURL_H
#define CII_NET_CURL_H

#include <curl/curl.h>

#include "base/error.h"

/* What is used of it. X(name): curl_name(). */
// clang-format off
#define CII_CURL_FUNCTIONS(X)                                                                                           \
    X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_pause) X(easy_setopt) X(easy_strerror) X(getdate)               \
    X(global_init) X(multi_add_handle) X(multi_cleanup) X(multi_info_read) X(multi_init) X(multi_remove_handle)         \
    X(multi_setopt) X(multi_socket_action) X(multi_strerror) X(version_info)
// clang-format on

/* cii_curl.easy_init() is curl_easy_init(). */
typedef struct cii_curl_functions {
#define CII_CURL_POINTER(name) __typeof__(curl_##name) *name;
    CII_CURL_FUNCTIONS(CII_CURL_POINTER)
#undef CII_CURL_POINTER
} cii_curl_functions;
extern cii_curl_functions cii_curl;

/* Once, whoever comes first; any thread. CI_ERR_MISSING: it is not installed, or too old. */
ci_status cii_curl_load(ci_error **ret_error);

#endif
