/* The table of options, from which both the parser and the page of help are made. */
#include "options.h"

#include "../common/seconds.h"

#include <ci/ci.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum kind { TEXT, LIST, FLAG, UNIT, SIZE, COUNT, SECONDS, NETWORK };

struct row {
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;
    size_t offset; /* in struct options; of UNIT rows: the kind of unit */
    enum kind kind;
    char letter; /* 0: no short form */
};

#define AT(field) offsetof(struct options, field)

static const struct row rows[] = {
    {"execute", "CODE", "run CODE and print the value of its last expression", UNIT_CODE, UNIT, 'e'},
    {"command", "COMMAND", "run a shell command", UNIT_COMMAND, UNIT, 'c'},
    {"language", "NAME", "python (the default), javascript, typescript or bash", AT(language), TEXT, 'l'},
    {"upload", "PATH", "put a file or folder into the workspace's uploads; archives are unpacked", AT(uploads), LIST,
     0},
    {"output", "NAME", "save this file to the workspace afterwards", AT(outputs), LIST, 0},
    {"push", NULL, "save all files of the sandbox to the workspace afterwards", AT(push), FLAG, 0},
    {"workspace", "WORKSPACE", "a folder or s3://BUCKET/PREFIX; without it a temporary one, removed at the end",
     AT(workspace), TEXT, 0},
    {"endpoint", "URL", "a server of S3, as in https://s3.example.org:9000", AT(server.endpoint), TEXT, 0},
    {"region", "NAME", "the bucket's region, and that of --sandbox agentcore", AT(server.region), TEXT, 0},
    {"profile", "NAME", "a profile of ~/.aws/config and ~/.aws/credentials, for both", AT(server.profile), TEXT, 0},
    {"session", "ID", "the session's part of the workspace: 1 to 64 of A-Z a-z 0-9 _ -", AT(session_id), TEXT, 0},
    {"user", "ID", "what {user} stands for in the prefixes of keys", AT(user), TEXT, 0},
    {"uploads-prefix", "KEY/", "where uploads are in the workspace, as in in/{user}/", AT(uploads_prefix), TEXT, 0},
    {"output-prefix", "KEY/", "where it is saved to, as in out/{user}/{session}/", AT(output_prefix), TEXT, 0},
    {"prefix", "NAME/=KEY/", "more of the workspace for its tools: documents/=office/{user}/ (several: repeat it)",
     AT(prefixes), LIST, 0},
    {"sandbox", "NAME", "local (the default), or agentcore: AWS Bedrock AgentCore Code Interpreter", AT(sandbox), TEXT,
     0},
    {"interpreter", "ID", "with --sandbox agentcore: id or ARN of the interpreter (aws.codeinterpreter.v1)",
     AT(interpreter), TEXT, 0},
    {"service", "URL", "with --sandbox agentcore: where it is, when not at AWS", AT(service), TEXT, 0},
    {"session-time", "SECONDS", "with --sandbox agentcore: when the service ends the session (900; 28800 at most)",
     AT(session_time_ms), SECONDS, 0},
    {"keep", NULL, "with --sandbox agentcore: leave the session to --attach, and tell its id", AT(keep), FLAG, 0},
    {"attach", "ID", "with --sandbox agentcore: go on in a session that was kept, and end it, unless --keep",
     AT(attach), TEXT, 0},
    {"timeout", "SECONDS", "deadline of each run, or of each call; fractions are fine", AT(timeout_ms), SECONDS, 0},
    {"memory", "SIZE", "memory of all processes, as in 512M or 4G (2G)", AT(memory_bytes), SIZE, 0},
    {"disk", "SIZE", "size of the sandbox's folder (4G)", AT(disk_bytes), SIZE, 0},
    {"processes", "N", "processes and threads (256)", AT(process_count), COUNT, 0},
    {"network", "MODE", "none (the default), internet or host; with agentcore, what the interpreter was made for",
     AT(network), NETWORK, 0},
    {"allow", "RULE", "with --network internet: reach this alone (several: repeat it); none: nothing at all", AT(allow),
     LIST, 0},
    {"deny", "RULE", "with --network internet: do not reach this, whatever --allow says", AT(deny), LIST, 0},
    {"python", "NAME|PATH", "an environment of ci-env by its name, or the path of an environment or interpreter",
     AT(python), TEXT, 0},
    {"preload", "LIST", "modules imported beforehand: numpy,pandas; data; group:NAME (of ci-env); none", AT(preload),
     TEXT, 0},
    {"kernels", "LIST", "languages whose kernels are started with the session: javascript, typescript, bash",
     AT(kernels), TEXT, 0},
    {"pip-config", "FILE", "a pip.conf for the session, whose code can read it", AT(pip_config), TEXT, 0},
    {"npm-config", "FILE", "an .npmrc for the session, whose code can read it", AT(npm_config), TEXT, 0},
    {"ca-file", "FILE", "certificates (PEM) to trust besides the system's", AT(ca_file), TEXT, 0},
    {"host-packages", NULL, "hand in this machine's configuration of pip and npm, proxies and certificates",
     AT(host_packages), FLAG, 0},
    {"package-cache", "DIR", "keep wheels that sessions install there for the next ones", AT(package_cache), TEXT, 0},
    {"json", NULL, "print each result as one line of JSON, and nothing else to stdout", AT(json), FLAG, 0},
    {"calls", "FILE", "answer tool calls, one {\"name\": …, \"input\": {…}} a line; - is stdin", AT(calls), TEXT, 0},
    {"check", NULL, "tell what this machine gives, what is missing and the remedy", AT(check), FLAG, 0},
    {"version", NULL, "print the version", AT(version), FLAG, 'V'},
    {"help", NULL, "print this page", AT(help), FLAG, 'h'},
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]), LONG_ONLY = 256 };

static int refuse(const char *name, const char *value, const char *allowed) {
    fprintf(stderr, "ci-run: --%s %s: %s\n", name, value, allowed);
    return -1;
}

/* A count of bytes: digits, then K, M, G or T (powers of 1024), "B" or "iB" after them if one likes. */
static int parse_size(const char *text, uint64_t *ret_bytes) {
    static const char units[] = "KMGTkmgt";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *text < '0' || *text > '9')
        return -1;
    const char *unit = *end ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)((unit - units) % 4 + 1) : 0;
    end += unit != NULL;
    if (unit && *end == 'i')
        end++;
    if (*end == 'B')
        end++;
    if (*end || value == 0 || value > UINT64_MAX >> shift)
        return -1;
    *ret_bytes = (uint64_t)value << shift;
    return 0;
}

static int parse_network(const char *text, int32_t *ret_mode) {
    static const char *const modes[] = {"none", "internet", "host"};
    for (int32_t i = 0; i < 3; i++)
        if (strcmp(text, modes[i]) == 0) {
            *ret_mode = i; /* CI_NETWORK_NONE, _INTERNET, _HOST */
            return 0;
        }
    return -1;
}

static int set(struct options *options, const struct row *row, const char *value) {
    char *field = (char *)options + row->offset;
    if ((row->kind == TEXT || row->kind == LIST) && !*value) /* a script's variable that was never set */
        return refuse(row->name, "\"\"", "give a value that is not empty");
    switch (row->kind) {
    case TEXT:
        *(const char **)field = value;
        return 0;
    case LIST: {
        struct list *list = (struct list *)field;
        list->items[list->count++] = value;
        options->allow_nothing |= list == &options->allow && strcasecmp(value, "none") == 0;
        return 0;
    }
    case FLAG:
        *(int *)field = 1;
        return 0;
    case UNIT:
        options->units[options->unit_count++] = (struct unit){(enum unit_kind)row->offset, value};
        return 0;
    case SIZE:
        if (parse_size(value, (uint64_t *)field) == 0)
            return 0;
        return refuse(row->name, value, "give a number of bytes above 0, as in 1048576, 512M or 4G");
    case COUNT:
        if (parse_size(value, (uint64_t *)field) == 0 && *(uint64_t *)field <= UINT32_MAX)
            return 0;
        return refuse(row->name, value, "give a whole number above 0");
    case SECONDS:
        if (parse_seconds(value, (int64_t *)field) == 0)
            return 0;
        return refuse(row->name, value, SECONDS_WANTED);
    case NETWORK:
        if (parse_network(value, (int32_t *)field) == 0)
            return 0;
        return refuse(row->name, value, "give none, internet or host");
    }
    return -1;
}

static int is_agentcore(const struct options *options) {
    return options->sandbox && strcmp(options->sandbox, "agentcore") == 0;
}

/* Options that only one kind of sandbox has. */
static const char *wrong_for_sandbox(const struct options *options) {
    if (options->sandbox && !is_agentcore(options) && strcmp(options->sandbox, "local") != 0)
        return "--sandbox is local or agentcore";
    if (!is_agentcore(options))
        return options->interpreter || options->service || options->attach || options->keep || options->session_time_ms
                   ? "--interpreter, --service, --session-time, --keep and --attach are for --sandbox agentcore: add it"
                   : NULL;
    if (options->check)
        return "--check tells of this machine: leave out --sandbox agentcore";
    return options->python || options->preload || options->kernels || options->pip_config || options->npm_config ||
                   options->ca_file || options->package_cache || options->host_packages
               ? "--sandbox agentcore has interpreters and packages of its own: leave out what is for those of this machine"
               : NULL;
}

/* --region and --profile are the sandbox's too, and then need no bucket. */
static struct server server_of_bucket(const struct options *options) {
    struct server server = options->server;
    if (is_agentcore(options) && !(options->workspace && workspace_is_s3(options->workspace)))
        server.region = server.profile = NULL;
    return server;
}

/* What each option is right about alone can still be wrong together. */
static int check_together(const struct options *options) {
    const struct server server = server_of_bucket(options);
    const char *wrong = NULL;
    if ((options->outputs.count || options->push) && !options->workspace)
        wrong = "--output and --push save to a workspace that stays: add --workspace DIR or s3://BUCKET/PREFIX";
    else if (options->calls && (options->unit_count || options->argument_count))
        wrong = "--calls takes its work from the calls alone: leave out FILE, -e, -c and --";
    else if ((options->allow.count || options->deny.count) && options->network != CI_NETWORK_INTERNET)
        wrong = "--allow and --deny are rules for --network internet: add it";
    else if (options->allow_nothing && options->allow.count > 1)
        wrong = "--allow none is the empty list: leave out the other --allow";
    else if (!(wrong = wrong_for_sandbox(options)))
        wrong = workspace_wrong(options->workspace ? options->workspace : "", &server);
    if (!wrong)
        return 0;
    fprintf(stderr, "ci-run: %s\n", wrong);
    return -1;
}

/* "venv/bin/python" is meant from here; libci takes absolute paths alone. A link stays one: it makes the environment. */
static int make_absolute(struct options *options) {
    const struct {
        const char *name, **path;
    } paths[] = {{"python", &options->python},
                 {"pip-config", &options->pip_config},
                 {"npm-config", &options->npm_config},
                 {"ca-file", &options->ca_file},
                 {"package-cache", &options->package_cache}};
    char *folder = getcwd(NULL, 0);
    int status = 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && !status; i++) {
        const char *path = *paths[i].path;
        if (!path || *path == '/' || (i == 0 && !strchr(path, '/'))) /* a name alone is no file but a mistake */
            continue;
        if (!folder || asprintf(&options->absolute[i], "%s/%s", folder, path) < 0)
            status = refuse(paths[i].name, path, strerror(errno));
        else
            *paths[i].path = options->absolute[i];
    }
    free(folder);
    return status;
}

static int allocate(struct options *options, int argc) {
    size_t most = (size_t)argc + 1; /* nothing comes more often than there are arguments */
    options->units = calloc(most, sizeof(*options->units));
    struct list *const lists[] = {&options->uploads, &options->outputs, &options->allow, &options->deny,
                                  &options->prefixes};
    int failed = !options->units;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        failed |= !(lists[i]->items = calloc(most, sizeof(char *)));
    if (!failed)
        return 0;
    fprintf(stderr, "ci-run: out of memory\n");
    return -1;
}

int options_parse(struct options *options, int argc, char **argv) {
    static const struct row file = {.offset = UNIT_FILE, .kind = UNIT};
    struct option longs[ROW_COUNT + 1] = {0};
    char shorts[2 * ROW_COUNT + 2] = "-"; /* "-": what is no option comes in its turn, as 1 */
    char *next = shorts + 1;
    for (int i = 0; i < ROW_COUNT; i++) {
        longs[i] =
            (struct option){rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, LONG_ONLY + i};
        if (rows[i].letter) {
            *next++ = rows[i].letter;
            if (rows[i].argument)
                *next++ = ':';
        }
    }
    *options = (struct options){0};
    if (allocate(options, argc))
        return -1;
    argv[0] = (char *)"ci-run"; /* getopt names it in its own sentences */
    int code;
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct row *row = code == 1 ? &file : code >= LONG_ONLY ? &rows[code - LONG_ONLY] : NULL;
        for (int i = 0; !row && i < ROW_COUNT; i++)
            if (rows[i].letter == code)
                row = &rows[i];
        if (!row) {
            fprintf(stderr, "ci-run --help shows what there is.\n");
            return -1;
        }
        if (set(options, row, optarg))
            return -1;
    }
    options->arguments = argv + optind;
    options->argument_count = (size_t)(argc - optind);
    return check_together(options) || make_absolute(options) ? -1 : 0;
}

void options_free(struct options *options) {
    for (size_t i = 0; i < sizeof(options->absolute) / sizeof(options->absolute[0]); i++)
        free(options->absolute[i]);
    free(options->units);
    free(options->uploads.items);
    free(options->outputs.items);
    free(options->allow.items);
    free(options->deny.items);
    free(options->prefixes.items);
}

void options_help(void) {
    puts(
        "Runs Python, JavaScript, TypeScript, Bash and shell commands in a sandbox.\n\n"
        "  ci-run [OPTION…] [FILE | -] [-- ARG…]\n"
        "  ci-run [OPTION…] -e CODE -c COMMAND …\n"
        "  ci-run [OPTION…] --calls FILE\n\n"
        "FILE, -e and -c run in the order given, in one session that keeps variables and files; the first that fails\n"
        "ends it. With none of them the program is read from standard input. ARG… become sys.argv[1:], process.argv.slice(2), $1.\n"
        "The language is that of FILE's suffix: .py; .js .mjs .cjs; .ts .mts .cts; .sh .bash; any other is Python.\n");
    for (int i = 0; i < ROW_COUNT; i++) {
        char left[40];
        const char *argument = rows[i].argument;
        int width = rows[i].letter ? snprintf(left, sizeof(left), "-%c, ", rows[i].letter)
                                   : snprintf(left, sizeof(left), "    ");
        snprintf(left + width, sizeof(left) - (size_t)width, "--%s%s%s", rows[i].name, argument ? " " : "",
                 argument ? argument : "");
        printf("  %-25s %s\n", left, rows[i].help);
    }
    printf("\n%s", workspace_help);
    puts(
        "\nRULE: NAME, *.NAME (every name below it), an address, a CIDR, or * (all that is public); :PORT or :PORT-PORT may\n"
        "follow. --allow and --deny may come more than once; --deny wins. They never switch the network on themselves.\n"
        "Private addresses and the host's own are reached only where a rule has the address or a CIDR around it.\n"
        "What was refused is told on stderr.\n"
        "\nExit status: that of the code or command; 124 when a deadline ended it, 130 when Ctrl-C did, 125 when ci-run\n"
        "or libci could not do its part. Ctrl-C interrupts what runs; a second one ends ci-run.\n\n"
        "Examples:\n"
        "  ci-run -e '2 ** 100'\n"
        "  ci-run script.py -- --verbose input.txt\n"
        "  ci-run --upload data.zip --workspace out --output chart.png analyse.py\n"
        "  ci-run --workspace s3://bucket/team --output chart.png analyse.py\n"
        "  ci-run --sandbox agentcore --region us-west-2 -c 'uname -m'\n"
        "  ci-run -e 'x = 6' -c 'echo hello > note.txt' -e 'x * 7, open(\"note.txt\").read()'\n"
        "  ci-run --network internet --allow '*.example.org:443' -c 'curl -sS https://www.example.org'\n"
        "  echo '{\"name\": \"execute_code\", \"input\": {\"code\": \"print(1)\"}}' | ci-run --calls -");
}
