/**
 * @file ci/version.h
 * @brief The version of libci, at compile time and at run time.
 *
 * Every function here may be called from any thread at any time and never blocks.
 */
#ifndef CI_VERSION_H
#define CI_VERSION_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define CI_API __attribute__((visibility("default")))
#else
#define CI_API
#endif

#ifdef __cplusplus
#define CI_BEGIN_DECLS extern "C" {
#define CI_END_DECLS }
#else
#define CI_BEGIN_DECLS
#define CI_END_DECLS
#endif

/** Major version: changes when a program built against an older libci must be rebuilt. */
#define CI_VERSION_MAJOR 0
/** Minor version: changes when functions or fields are added. */
#define CI_VERSION_MINOR 1
/** Patch version: changes when neither is the case. */
#define CI_VERSION_PATCH 0
/** The three as one number that grows with every release: major * 1000000 + minor * 1000 + patch. */
#define CI_VERSION_NUMBER (CI_VERSION_MAJOR * 1000000 + CI_VERSION_MINOR * 1000 + CI_VERSION_PATCH)

CI_BEGIN_DECLS

/**
 * @brief The version of the library that is running, as CI_VERSION_NUMBER was when it was built.
 *
 * @return the number; never fails.
 * @since 0.1
 */
CI_API int32_t ci_version_number(void);

/**
 * @brief The running library's version and the features it was built with, in one line for people.
 *
 * For example "libci 0.1.0 (local, agentcore, dir, s3; yajl 2.1.0, libarchive 3.6.2, libcurl 7.88.1)".
 * They are the ones it was built with; libcurl is loaded when it is needed, and may be another.
 *
 * @return a string that lives as long as the library; never NULL.
 * @since 0.1
 */
CI_API const char *ci_version_string(void);

/**
 * @brief Releases memory that a libci function said is to be freed with ci_free().
 *
 * @param memory what such a function returned; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_free(void *memory);

CI_END_DECLS

#endif
