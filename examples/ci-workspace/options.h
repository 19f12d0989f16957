/* ci-workspace's command line. All strings are those of argv. */
#ifndef CI_WORKSPACE_OPTIONS_H
#define CI_WORKSPACE_OPTIONS_H

#include "../common/workspace.h"

enum { STATUS_FAILED = 1, STATUS_WRONG_USE = 2 };

enum command { COMMAND_LIST, COMMAND_GET, COMMAND_PUT, COMMAND_RM };

struct options {
    enum command command;
    const char *workspace;
    char **operands; /* what comes after it */
    size_t operand_count;
    struct server server;
    const char *output;
    unsigned parallel;
    int64_t timeout_ms; /* of each call; 0: none */
    int long_format;
    int recursive;
    int changed;
    int json;
    int version;
    int help;
};

/** Reads the command line. Returns 0, or -1 after a sentence on stderr. */
int options_parse(struct options *options, int argc, char **argv);

/** The page of --help, on stdout. */
void options_help(void);

#endif
