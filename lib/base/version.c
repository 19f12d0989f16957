/* The version, and the one function that frees what libci handed out. */
#include <archive.h>
#include <ci/version.h>
#include <curl/curlver.h>
#include <yajl/yajl_version.h>

#include "base/common.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define DOTTED(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

int32_t ci_version_number(void) {
    return CI_VERSION_NUMBER;
}

const char *ci_version_string(void) {
    return "libci " DOTTED(
        CI_VERSION_MAJOR, CI_VERSION_MINOR,
        CI_VERSION_PATCH) " (local, agentcore, dir, s3; yajl " DOTTED(YAJL_MAJOR, YAJL_MINOR,
                                                                      YAJL_MICRO) ", libarchive " ARCHIVE_VERSION_ONLY_STRING
                                                                                  ", libcurl " LIBCURL_VERSION ")";
}

void ci_free(void *memory) {
    free(memory);
}
