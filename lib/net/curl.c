#include "net/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define LIBRARY "libcurl.so.4"
#define OLDEST 0x075100 /* 7.81 */

cii_curl_functions cii_curl;

static struct {
    pthread_once_t once;
    char reason[256]; /* why it cannot be used; "": it can */
} loaded = {.once = PTHREAD_ONCE_INIT};

static bool find(void *library, const char *name, void *ret_function) {
    void *found = dlsym(library, name);
    memcpy(ret_function, &found, sizeof found); /* as dlsym(3) wants a function's address to be taken */
    return found != NULL;
}

/* It stays, initialized: others in the process may use it too. */
static void load(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool whole = library != NULL;
#define FIND(name) whole = whole && find(library, "curl_" #name, &cii_curl.name);
    CII_CURL_FUNCTIONS(FIND)
#undef FIND
    if (!whole) {
        const char *why = dlerror();
        snprintf(loaded.reason, sizeof loaded.reason, "%s", why != NULL ? why : LIBRARY " cannot be loaded");
        return;
    }
    const curl_version_info_data *version = cii_curl.version_info(CURLVERSION_NOW);
    if (version->version_num < OLDEST)
        snprintf(loaded.reason, sizeof loaded.reason, "libcurl %s is too old: 7.81 or later", version->version);
    else if (cii_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        snprintf(loaded.reason, sizeof loaded.reason, "libcurl cannot be initialized");
}

ci_status cii_curl_load(ci_error **ret_error) {
    pthread_once(&loaded.once, load);
    if (loaded.reason[0] == 0)
        return CI_OK;
    ci_status status = cii_error_set(ret_error, CI_ERR_MISSING, "http", "%s", loaded.reason);
    cii_error_hint(ret_error, "install libcurl 7.81 or later with OpenSSL: apt-get install libcurl4");
    return status;
}
