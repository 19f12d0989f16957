/* ci-run's command line. All strings are those of argv, or live as long as the options. */
#ifndef CI_RUN_OPTIONS_H
#define CI_RUN_OPTIONS_H

#include "../common/workspace.h"

#include <stddef.h>
#include <stdint.h>

enum unit_kind { UNIT_FILE, UNIT_CODE, UNIT_COMMAND };

/** One thing to run: FILE or `-`, -e CODE, -c COMMAND. */
struct unit {
    enum unit_kind kind;
    const char *argument;
};

struct list {
    const char **items;
    size_t count;
};

struct options {
    struct unit *units; /* in the order given */
    size_t unit_count;
    char **arguments; /* after "--" */
    size_t argument_count;
    struct list uploads;
    struct list outputs;
    struct list allow; /* rules, NULL-ended; without items: none was given */
    struct list deny;
    int allow_nothing;
    const char *language;
    const char *workspace;
    struct server server; /* where the workspace is one of S3 */
    const char *sandbox;  /* "agentcore", else the local one */
    const char *interpreter;
    const char *service;
    const char *attach;
    int64_t session_time_ms;
    int keep;
    const char *user;
    const char *uploads_prefix;
    const char *output_prefix;
    struct list prefixes; /* NULL-ended */
    const char *session_id;
    const char *python;
    const char *preload;
    const char *kernels;
    const char *pip_config;
    const char *npm_config;
    const char *ca_file;
    const char *package_cache;
    const char *calls;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t process_count;
    int64_t timeout_ms;
    int32_t network;
    int host_packages;
    int push;
    int json;
    int check;
    int version;
    int help;
    char *absolute[5]; /* paths that were relative, as they are now */
};

/** Reads the command line. Returns 0, or -1 after a sentence on stderr. Free with options_free(), also after -1. */
int options_parse(struct options *options, int argc, char **argv);

void options_free(struct options *options);

/** The page of --help, on stdout. */
void options_help(void);

#endif
