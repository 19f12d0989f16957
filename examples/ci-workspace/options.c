/* The command line: options may stand anywhere, as GNU programs have it. */
#include "options.h"

#include "../common/note.h"
#include "../common/seconds.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PARALLEL = 8, MOST_PARALLEL = 64 };
enum { ENDPOINT = 256, REGION, PROFILE, CA_FILE, PARALLEL, TIMEOUT, CHANGED, JSON };

static const struct {
    const char *name;
    size_t least, most; /* operands after the workspace */
} commands[] = {
    [COMMAND_LIST] = {"list", 0, 1},
    [COMMAND_GET] = {"get", 1, SIZE_MAX},
    [COMMAND_PUT] = {"put", 1, SIZE_MAX},
    [COMMAND_RM] = {"rm", 1, SIZE_MAX},
};

static int refuse(const char *sentence) {
    note("ci-workspace: %s", sentence);
    return -1;
}

static int find_command(struct options *options, const char *name) {
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0) {
            options->command = (enum command)i;
            return 0;
        }
    note("ci-workspace: \"%s\" is no command: list, get, put or rm", name);
    return -1;
}

static int ends_in_slash(const char *text) {
    size_t size = strlen(text);
    return size > 0 && text[size - 1] == '/';
}

/* What each option is right about alone can still be wrong together. */
static int check_together(const struct options *options) {
    const char *wrong = workspace_wrong(options->workspace, &options->server);
    int is_transfer = options->command == COMMAND_GET || options->command == COMMAND_PUT;
    if (!wrong && options->output && options->command != COMMAND_GET)
        wrong = "-o says where `get` writes to: leave it out";
    if (!wrong && options->long_format && options->command != COMMAND_LIST)
        wrong = "-l is for `list`: leave it out";
    if (!wrong && options->recursive && options->command != COMMAND_RM)
        wrong = "-r is for `rm`; `get` and `put` take a PREFIX/ or a folder as it is";
    if (!wrong && options->changed && !is_transfer)
        wrong = "--changed is for `get` and `put`: leave it out";
    for (size_t i = 0; !wrong && i < options->operand_count; i++) {
        if (!*options->operands[i] && options->command != COMMAND_LIST)
            wrong = "a name is empty; all there is in the workspace is \"/\"";
        else if (options->command == COMMAND_RM && !options->recursive && ends_in_slash(options->operands[i]))
            wrong = "rm removes what a PREFIX/ holds only with -r";
    }
    return wrong ? refuse(wrong) : 0;
}

static int parse_parallel(struct options *options, const char *text) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || *end || value > MOST_PARALLEL)
        return refuse("--parallel: give a whole number, 1 to 64");
    options->parallel = (unsigned)value;
    return 0;
}

static int set(struct options *options, int code, const char *value) {
    const char **text = code == ENDPOINT  ? &options->server.endpoint
                        : code == REGION  ? &options->server.region
                        : code == PROFILE ? &options->server.profile
                        : code == CA_FILE ? &options->server.ca_file
                        : code == 'o'     ? &options->output
                                          : NULL;
    if (text && !*value) /* a script's variable that was never set */
        return refuse("an option's value is empty");
    if (text)
        *text = value;
    else if (code == PARALLEL)
        return parse_parallel(options, value);
    else if (code == TIMEOUT)
        return parse_seconds(value, &options->timeout_ms) ? refuse("--timeout: " SECONDS_WANTED) : 0;
    else if (code == 'l')
        options->long_format = 1;
    else if (code == 'r')
        options->recursive = 1;
    else if (code == CHANGED)
        options->changed = 1;
    else if (code == JSON)
        options->json = 1;
    else if (code == 'V')
        options->version = 1;
    else if (code == 'h')
        options->help = 1;
    else
        return refuse("--help shows what there is");
    return 0;
}

int options_parse(struct options *options, int argc, char **argv) {
    static const struct option longs[] = {
        {"endpoint", required_argument, NULL, ENDPOINT},
        {"region", required_argument, NULL, REGION},
        {"profile", required_argument, NULL, PROFILE},
        {"ca-file", required_argument, NULL, CA_FILE},
        {"parallel", required_argument, NULL, PARALLEL},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"changed", no_argument, NULL, CHANGED},
        {"json", no_argument, NULL, JSON},
        {"long", no_argument, NULL, 'l'},
        {"output", required_argument, NULL, 'o'},
        {"recursive", no_argument, NULL, 'r'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    *options = (struct options){.parallel = DEFAULT_PARALLEL};
    argv[0] = (char *)"ci-workspace"; /* getopt names it in its own sentences */
    int code;
    while ((code = getopt_long(argc, argv, "lo:rVh", longs, NULL)) != -1)
        if (set(options, code, optarg))
            return -1;
    if (options->help || options->version)
        return 0;
    if (argc - optind < 2)
        return refuse("give a command (list, get, put or rm) and a workspace; --help shows how");
    if (find_command(options, argv[optind]))
        return -1;
    options->workspace = argv[optind + 1];
    options->operands = argv + optind + 2;
    options->operand_count = (size_t)(argc - optind - 2);
    if (options->operand_count < commands[options->command].least)
        return refuse("the command wants a name after the workspace; --help shows how");
    if (options->operand_count > commands[options->command].most)
        return refuse("list takes one PREFIX");
    for (size_t i = 0; i < options->operand_count; i++)
        if (strncmp(options->operands[i], "s3://", 5) == 0)
            return refuse("the workspace comes first, then names within it; --help shows how");
    return check_together(options);
}

void options_help(void) {
    fputs(
        "Lists, fetches, stores and removes the files of a workspace.\n\n"
        "  ci-workspace [OPTION…] list [-l] WORKSPACE [PREFIX]\n"
        "  ci-workspace [OPTION…] get WORKSPACE KEY|PREFIX/… [-o FILE|DIR|-]\n"
        "  ci-workspace [OPTION…] put WORKSPACE FILE|DIR|-… [KEY|PREFIX/]\n"
        "  ci-workspace [OPTION…] rm [-r] WORKSPACE KEY|PREFIX/…\n\n"
        "list  keys, one a line; -l: with size and time (UTC). PREFIX may end anywhere.\n"
        "get   a KEY into a file of its last part, what PREFIX/ holds by what follows the prefix; \"/\" is all there is.\n"
        "      -o says where: a FILE, or a folder (one that is there, or DIR/); - is standard output.\n"
        "put   a FILE by its name, a DIR with all it holds below its name, DIR/ what it holds alone; - is standard input.\n"
        "      Of two names and more the last is where to: a KEY for one file, or PREFIX/; \"/\" is the workspace itself.\n"
        "      Links and what is no file are left out.\n"
        "rm    KEY; with -r also all that PREFIX/ holds.\n\n"
        "  -l, --long          list: size, time and key\n"
        "  -o, --output WHERE  get: a file, a folder, or - for standard output\n"
        "  -r, --recursive     rm: take what a PREFIX/ holds\n"
        "      --changed       get, put: only what differs in size or is newer than what is there\n"
        "      --parallel N    transfers at once, 1 to 64 (8)\n"
        "      --timeout SECONDS\n"
        "                      deadline of each file's transfer, or of a listing; fractions are fine (none; a server that\n"
        "                      stalls, 60 s without a byte, is given up after three attempts)\n"
        "      --json          a line of JSON for each file to stdout\n"
        "      --endpoint URL  a server of S3, as in https://s3.example.org:9000\n"
        "      --region NAME   the bucket's region\n"
        "      --profile NAME  a profile of ~/.aws/config and ~/.aws/credentials\n"
        "      --ca-file FILE  certificates (PEM) of those who may sign the server's\n"
        "  -V, --version       print the version\n"
        "  -h, --help          print this page\n\n",
        stdout);
    fputs(workspace_help, stdout);
    puts(
        "\nFiles are written whole or not at all, on both sides. One that fails is told of on stderr, and the rest goes on.\n"
        "--json tells a name that is not UTF-8 with \\xNN for its bytes and \\\\ for \\, and says so: \"path_escaped\": true.\n"
        "Exit status: 0; 1 when something failed or was left out; 2 for wrong use; 128 and the signal's number when one ended\n"
        "it. Ctrl-C leaves neither a half-written file nor an upload behind; a second one ends ci-workspace at once.\n\n"
        "Examples:\n"
        "  ci-workspace list -l s3://bucket/team code-interpreter/\n"
        "  ci-workspace get s3://bucket/team code-interpreter/chart.png\n"
        "  ci-workspace get s3://bucket/team code-interpreter/ -o results\n"
        "  ci-workspace put s3://bucket/team report.csv data/ uploads/\n"
        "  ci-workspace put --changed --endpoint http://localhost:9000 s3://bucket/team data/ uploads/\n"
        "  tar c src | ci-workspace put s3://bucket/team - uploads/src.tar\n"
        "  ci-workspace rm -r s3://bucket/team code-interpreter/");
}
