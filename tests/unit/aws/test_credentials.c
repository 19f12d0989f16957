/* Credentials of environment, files and programs: in the order another client has, kept, renewed, and told of in errors
 * without a secret. */
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include "aws/resolve.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "failmalloc.h"
#include "os/fd.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

static int set_up(void **state) {
    world *w = malloc(sizeof *w);
    world_init(w);
    *state = w;
    world_set(w, "AWS_EC2_METADATA_DISABLED", "true");
    _cleanup_free_ char *folder = cii_str_printf("%s/.aws", w->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    return 0;
}

static int tear_down(void **state) {
    world_free(*state);
    free(*state);
    return 0;
}

/* --- another client's answers ------------------------------------------------------------------------------------- */

static const char *text_of(const cii_json *object, const char *key) {
    return cii_json_text_of(cii_json_get(object, key), NULL);
}

static void compare_case(size_t number, const cii_json *root, const cii_json *given, const cii_json *wanted) {
    void *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    set_up(&state);
    world *w = state;
    const cii_json *env = cii_json_get(given, "env");
    const char *config = text_of(given, "config"), *credentials = text_of(given, "credentials");
    world_write(w, ".aws/config", config ? config : text_of(root, "config"));
    world_write(w, ".aws/credentials", credentials ? credentials : text_of(root, "credentials"));
    for (size_t i = 0; i < cii_json_count(env); i++)
        world_set(w, cii_json_key_at(env, i, NULL), cii_json_text_of(cii_json_at(env, i), NULL));
    w->options.profile = text_of(given, "profile");
    ci_status status = world_find(w, &identity, NULL);
    bool is_none = cii_json_type_of(wanted) == CII_JSON_NULL, fails = text_of(wanted, "fails");
    if ((status == CI_ERR_NOTFOUND) != is_none || (status < 0) != (is_none || fails))
        fail_msg("case %zu: %s", number, ci_status_name(status));
    if (status == CI_OK) {
        const cii_aws_keys *keys = cii_aws_identity_keys(identity);
        assert_string_equal(keys->id, text_of(wanted, "id"));
        assert_string_equal(keys->secret, text_of(wanted, "secret"));
        assert_true(!keys->token == !text_of(wanted, "token"));
        assert_string_equal(keys->token ? keys->token : "", keys->token ? text_of(wanted, "token") : "");
    }
    tear_down(&state);
}

static void other_clients_find_the_same(void **state) {
    (void)state;
    size_t size;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, TEST_DATA "/credentials.json", 1 << 20, &size);
    _cleanup_json_ cii_json *root = NULL;
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    const cii_json *cases = cii_json_get(root, "cases");
    assert_true(cii_json_count(cases) > 40);
    for (size_t i = 0; i < cii_json_count(cases); i++) {
        compare_case(i, root, cii_json_get(cii_json_at(cases, i), "given"),
                     cii_json_get(cii_json_at(cases, i), "wanted"));
    }
}

/* --- where they come from ----------------------------------------------------------------------------------------- */

static void the_source_is_told(void **state) {
    world *w = *state;
    world_write(w, ".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = S\n");
    world_write(w, ".aws/config",
                "[profile p]\ncredential_process = printf '{\"Version\":1,\"AccessKeyId\":\"P\","
                "\"SecretAccessKey\":\"$HOME\"}'\n[profile c]\naws_access_key_id = C\n"
                "aws_secret_access_key = D\n");
    world_finds(w, "A", "S", "", "profile 'default': credentials file");
    w->options.profile = "p";
    world_finds(w, "P", "$HOME", "", "profile 'p': credential_process"); /* nothing is expanded */
    w->options.profile = "c";
    world_finds(w, "C", "D", "", "profile 'c': config file");
    w->options.profile = NULL;
    world_set(w, "AWS_ACCESS_KEY_ID", "E");
    world_set(w, "AWS_SECRET_ACCESS_KEY", "F");
    world_finds(w, "E", "F", "", "environment");
    w->options.keys = &(cii_aws_keys){"G", "H", "T"};
    world_finds(w, "G", "H", "T", "options");
}

static void an_error_names_what_was_tried_and_why_it_did_not_serve(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_free_ char *wanted = cii_str_printf(
        "no credentials: environment: AWS_ACCESS_KEY_ID is not set; profile 'default': no such profile in "
        "%s/.aws/credentials and %s/.aws/config; web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; container: "
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set; instance metadata: AWS_EC2_METADATA_DISABLED "
        "is set",
        w->folder, w->folder);
    _cleanup_error_ ci_error *told = NULL;
    assert_int_equal(world_find(w, &identity, &told), CI_ERR_NOTFOUND);
    assert_string_equal(ci_error_message(told), wanted);
    assert_non_null(strstr(ci_error_hint(told), "AWS_ACCESS_KEY_ID"));
    w->options.profile = "x";
    FAILS(CI_ERR_INVALID, "left out, as a profile was given; profile 'x': no such profile in ",
          world_find(w, &identity, &error));
}

static void what_is_set_up_and_fails_ends_the_search(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    world_write(w, ".aws/credentials",
                "[default]\naws_access_key_id = A\naws_secret_access_key = hidden\n[half]\n"
                "aws_access_key_id = A\n[bad]\naws_access_key_id = A\naws_secret_access_key = hid den\n");
    world_write(
        w, ".aws/config",
        "[profile circle]\nrole_arn = r\nsource_profile = other\n[profile other]\nrole_arn = r\nsource_profile = circle\n"
        "[profile half2]\naws_secret_access_key = hidden\n");
    w->options.profile = "circle";
    FAILS(CI_ERR_INVALID, "source_profile 'circle' leads round in a circle", world_find(w, &identity, &error));
    w->options.profile = "half";
    FAILS(CI_ERR_INVALID, "profile 'half': credentials file: aws_secret_access_key is missing",
          world_find(w, &identity, &error));
    w->options.profile = "half2";
    FAILS(CI_ERR_INVALID, "profile 'half2': config file: aws_access_key_id is missing",
          world_find(w, &identity, &error));
    w->options.profile = "bad";
    FAILS(CI_ERR_INVALID, "the secret access key is missing, or is none", world_find(w, &identity, &error));
    w->options.profile = NULL;
    world_set(w, "AWS_ACCESS_KEY_ID", "A");
    FAILS(CI_ERR_INVALID, "no credentials: environment: AWS_SECRET_ACCESS_KEY is missing",
          world_find(w, &identity, &error));
    world_set(w, "AWS_SECRET_ACCESS_KEY", "hidden");
    world_set(w, "AWS_CREDENTIAL_EXPIRATION", "soon");
    FAILS(CI_ERR_INVALID, "AWS_CREDENTIAL_EXPIRATION is not a time", world_find(w, &identity, &error));
    w->options.keys = &(cii_aws_keys){"A", "hidden\n", NULL};
    FAILS(CI_ERR_INVALID, "credentials given by option: the secret access key", world_find(w, &identity, &error));
}

static void what_is_read_names_no_secret(void **state) {
    world *w = *state;
    static const char *const configs[] = {
        "hidden\n",
        "[profile p]\nhidden\n",
        "[profile p]\naws_access_key_id = hidden hidden\naws_secret_access_key = hidden\n",
        "[profile p]\ncredential_process = echo hidden\n",
        "[profile p]\ncredential_process = echo '{\"Version\": 1, \"SecretAccessKey\": \"hidden\"}'\n",
        "[profile p]\ncredential_process = echo '{\"Version\": 1, \"SecretAccessKey\": \"hidden\", \"Expiration\": \"hidden\"}'\n",
        "[profile p]\ncredential_process = echo '{\"SecretAccessKey\": \"hidden'\n",
        "[profile p]\ncredential_process = sh -c 'echo hidden; exit 1'\n",
        "[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\naws_secret_access_key = hidden\n",
    };
    w->options.profile = "p";
    for (size_t i = 0; i < CII_ELEMENTS(configs); i++) {
        _cleanup_identity_ cii_aws_identity *identity = NULL;
        _cleanup_error_ ci_error *error = NULL;
        world_write(w, ".aws/config", configs[i]);
        assert_true(world_find(w, &identity, &error) < 0);
        assert_null(strstr(ci_error_message(error), "hidden"));
        assert_null(strstr(ci_error_hint(error), "hidden"));
    }
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

static void a_program_that_fails_is_heard(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    w->options.profile = "p";
    world_write(w, ".aws/config", "[profile p]\ncredential_process = sh -c 'echo no ticket >&2; exit 3'\n");
    FAILS(CI_ERR_IO, "credential_process: it ended with exit status 3: no ticket", world_find(w, &identity, &error));
    world_write(w, ".aws/config", "[profile p]\ncredential_process = /nonexistent/program\n");
    FAILS(CI_ERR_IO, "exit status 127: ", world_find(w, &identity, &error));
    world_write(w, ".aws/config", "[profile p]\ncredential_process = sh -c 'kill -9 $PPID'\n");
    FAILS(CI_ERR_IO, "it ended with a signal", world_find(w, &identity, &error));
    world_write(w, ".aws/config", "[profile p]\ncredential_process = sh -c 'yes | head -c 1000000 >&2; exit 1'\n");
    FAILS(CI_ERR_IO, "it ended with", world_find(w, &identity, &error));
}

static void a_program_that_prints_too_much_is_ended(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    w->options.profile = "p";
    world_write(w, ".aws/config", "[profile p]\ncredential_process = yes\n");
    FAILS(CI_ERR_LIMIT, "it printed more than 65536 bytes", world_find(w, &identity, &error));
}

/* It and what it has started: both hold the FIFO open for writing, whose other end is told when they are gone. */
static void a_program_that_does_not_end_is_ended(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_free_ char *fifo = cii_str_printf("%s/fifo", w->folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    _cleanup_close_ int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    w->options.profile = "p";
    world_write(w, ".aws/config",
                "[profile p]\ncredential_process = sh -c 'exec 9>@/fifo; sleep 1000 & echo x >&9; sleep 1000'\n");
    char text[8];
    int64_t timeout_ms = 150;
    do { /* until it came so far within its time */
        w->options.process_timeout_ms = timeout_ms *= 2;
        assert_true(timeout_ms < PATIENCE_MS);
        FAILS(CI_ERR_TIMEOUT, "it has not ended in time", world_find(w, &identity, &error));
    } while (read(fd, text, sizeof text) != 2);
    assert_int_equal(cii_fd_wait(fd, POLLIN | POLLHUP, PATIENCE_MS) & POLLHUP, POLLHUP);
}

static void a_search_that_is_given_up_ends_its_program(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *op;
    _cleanup_free_ char *fifo = cii_str_printf("%s/fifo", w->folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    _cleanup_close_ int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    w->options.profile = "p";
    world_write(w, ".aws/config", "[profile p]\ncredential_process = sh -c 'exec 9>@/fifo; echo x >&9; sleep 1000'\n");
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &op, NULL), CI_OK);
    assert_int_equal(op->ops->process(op, NULL), 0);
    assert_int_equal(cii_fd_wait(fd, POLLIN, PATIENCE_MS) & POLLIN, POLLIN);
    op->ops->free(op);
    char text[8];
    assert_int_equal(cii_fd_wait(fd, POLLIN | POLLHUP, PATIENCE_MS) & POLLIN, POLLIN);
    assert_int_equal(read(fd, text, sizeof text), 2);
    assert_int_equal(cii_fd_wait(fd, POLLIN | POLLHUP, PATIENCE_MS), POLLHUP);
    cii_aws_credentials_free(c);
}

static void words_are_split_as_a_shell_does(void **state) {
    (void)state;
    static const struct {
        const char *line, *joined;
    } cases[] = {
        {"a b  c", "a|b|c"},
        {"  a\tb\nc ", "a|b|c"},
        {"'a b' \"c d\"", "a b|c d"},
        {"a\\ b", "a b"},
        {"'a\\b'", "a\\b"},
        {"\"a\\b\"", "a\\b"},
        {"\"a\\\"b\\\\\"", "a\"b\\"},
        {"a''b\"\"c", "abc"},
        {"'' \"\"", "|"},
        {"a$HOME `x` *", "a$HOME|`x`|*"},
        {"a\\", "a\\"},
        {"x'\"'y", "x\"y"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_strv_ char **argv = NULL;
        _cleanup_buf_ cii_buf joined = {0};
        assert_int_equal(cii_aws_split(cases[i].line, &argv, NULL), CI_OK);
        for (size_t k = 0; argv[k]; k++)
            cii_buf_printf(&joined, "%s%s", k > 0 ? "|" : "", argv[k]);
        assert_string_equal(joined.data, cases[i].joined);
    }
    char **argv;
    static char many[300];
    for (size_t i = 0; i + 2 < sizeof many; i += 2)
        memcpy(many + i, "a ", 2);
    FAILS(CI_ERR_INVALID, "quote", cii_aws_split("a 'b", &argv, &error));
    FAILS(CI_ERR_INVALID, "empty", cii_aws_split(" \t", &argv, &error));
    FAILS(CI_ERR_LIMIT, "64 words", cii_aws_split(many, &argv, &error));
}

static void times_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t time_s; /* -1: not one */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2013-05-24T00:00:00Z", 1369353600},
        {"2013-05-24T00:00:00.123Z", 1369353600},
        {"2013-05-24T02:00:00+02:00", 1369353600},
        {"2013-05-23T22:30:00-0130", 1369353600},
        {"2013-05-24T00:00:00UTC", 1369353600},
        {"2013-05-24 00:00:00", 1369353600},
        {"2013-05-24", -1},
        {"", -1},
        {"2013-13-24T00:00:00Z", -1},
        {"2013-05-24T00:00:00X", -1},
        {"2013-05-24T00:00:00+2", -1},
        {"x013-05-24T00:00:00Z", -1},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        int64_t time_s = -1;
        assert_true(cii_aws_parse_time(cases[i].text, &time_s) == (cases[i].time_s >= 0));
        assert_int_equal(time_s, cases[i].time_s);
    }
}

/* --- what is kept ------------------------------------------------------------------------------------------------- */

/* A program that prints its serial number as the id, and a time to expire, after which it fails. */
static void write_counter(world *w, const char *expiration) {
    _cleanup_free_ char *config = cii_str_printf(
        "[default]\ncredential_process = sh -c 'echo x >> @/runs; test -e @/broken && exit 1; printf "
        "\"{\\\"Version\\\": 1, \\\"AccessKeyId\\\": \\\"%%s\\\", \\\"SecretAccessKey\\\": \\\"S\\\", \\\"Expiration\\\": "
        "\\\"%s\\\"}\" $(wc -l < @/runs)'\n",
        expiration);
    world_write(w, ".aws/config", config);
}

static void gets(cii_aws_credentials *c, const char *id) {
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    assert_int_equal(world_get(c, &identity, NULL), CI_OK);
    assert_string_equal(cii_aws_identity_keys(identity)->id, id);
}

static void they_are_kept_and_renewed_before_they_expire(void **state) {
    world *w = *state;
    write_counter(w, "2013-05-24T01:00:00Z");
    w->now_s = 1369353600;
    cii_aws_credentials *c = world_credentials(w);
    gets(c, "1");
    gets(c, "1");
    w->now_s += 3600 - 901;
    gets(c, "1");
    w->now_s += 1;
    write_counter(w, "2013-05-24T02:00:00Z");
    gets(c, "2");
    gets(c, "2");
    cii_aws_credentials_free(c);
}

static void old_ones_serve_while_new_ones_cannot_be_had(void **state) {
    world *w = *state;
    write_counter(w, "2013-05-24T01:00:00Z");
    w->now_s = 1369353600;
    cii_aws_credentials *c = world_credentials(w);
    gets(c, "1");
    world_write(w, "broken", "");
    w->now_s += 3000;
    gets(c, "1"); /* the second run */
    gets(c, "1");
    w->now_s += 59;
    gets(c, "1"); /* still none */
    _cleanup_free_ char *broken = cii_str_printf("%s/broken", w->folder);
    unlink(broken);
    w->now_s += 1;
    write_counter(w, "2013-05-24T03:00:00Z");
    gets(c, "3");
    world_write(w, "broken", "");
    w->now_s += 3 * 3600;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    FAILS(CI_ERR_IO, "exit status 1", world_get(c, &identity, &error));
    cii_aws_credentials_free(c);
}

static void short_lived_ones_are_kept_too(void **state) {
    world *w = *state;
    write_counter(w, "2013-05-24T00:01:00Z");
    w->now_s = 1369353600;
    cii_aws_credentials *c = world_credentials(w);
    gets(c, "1");
    w->now_s += 44;
    gets(c, "1");
    w->now_s += 1;
    gets(c, "2");
    cii_aws_credentials_free(c);
}

static void expired_ones_are_none(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    write_counter(w, "2013-05-24T00:00:00Z");
    FAILS(CI_ERR_PERMISSION, "profile 'default': credential_process: they have expired",
          world_find(w, &identity, &error));
}

static void rejected_ones_are_not_handed_out_again(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *first = NULL;
    write_counter(w, "2199-01-01T00:00:00Z");
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(world_get(c, &first, NULL), CI_OK);
    cii_aws_credentials_reject(c, first);
    gets(c, "2");
    cii_aws_credentials_reject(c, first); /* by somebody who is late */
    gets(c, "2");
    cii_aws_credentials_free(c);
    assert_string_equal(cii_aws_identity_keys(first)->id, "1"); /* outlives it */
    w->options.keys = &(cii_aws_keys){"G", "H", NULL};
    c = world_credentials(w);
    _cleanup_identity_ cii_aws_identity *given = NULL;
    assert_int_equal(world_get(c, &given, NULL), CI_OK);
    cii_aws_credentials_reject(c, given);
    gets(c, "G");
    cii_aws_credentials_free(c);
}

static void one_searches_and_the_others_wait_for_it(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *search, *wait, *given_up;
    write_counter(w, "2199-01-01T00:00:00Z");
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &search, NULL), CI_OK);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &given_up, NULL), CI_OK);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &wait, NULL), CI_OK);
    assert_int_equal(wait->ops->process(wait, NULL), 0);
    given_up->ops->free(given_up);
    assert_int_equal(world_drive(search, NULL), CI_OK);
    assert_int_equal(world_drive(wait, NULL), CI_OK);
    gets(c, "1");
    cii_aws_credentials_free(c);
}

static void a_failure_is_told_to_all_who_wait(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *search, *wait;
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &search, NULL), CI_OK);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &wait, NULL), CI_OK);
    FAILS(CI_ERR_NOTFOUND, "no credentials", world_drive(search, &error));
    FAILS(CI_ERR_NOTFOUND, "no credentials", world_drive(wait, &error));
    cii_aws_credentials_free(c);
}

static void a_search_that_has_ended_is_no_more_waited_for(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *ended, *next;
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &ended, NULL), CI_OK);
    assert_int_equal(ended->ops->process(ended, NULL), CI_ERR_NOTFOUND);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &next, NULL), CI_OK);
    assert_int_equal(next->ops->process(next, NULL), CI_ERR_NOTFOUND);
    next->ops->free(next);
    ended->ops->free(ended);
    cii_aws_credentials_free(c);
}

static void the_next_takes_over_a_search_that_is_given_up(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *search, *wait;
    write_counter(w, "2199-01-01T00:00:00Z");
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &search, NULL), CI_OK);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &wait, NULL), CI_OK);
    search->ops->free(search);
    assert_int_equal(world_drive(wait, NULL), CI_OK);
    gets(c, "1");
    cii_aws_credentials_free(c);
}

static void the_others_go_on_with_old_ones_while_one_renews_them(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *search;
    write_counter(w, "2013-05-24T01:00:00Z");
    w->now_s = 1369353600;
    cii_aws_credentials *c = world_credentials(w);
    gets(c, "1");
    w->now_s += 3000;
    assert_int_equal(cii_aws_credentials_get(c, &identity, &search, NULL), CI_OK);
    assert_non_null(search);
    gets(c, "1");
    write_counter(w, "2013-05-24T02:00:00Z");
    assert_int_equal(world_drive(search, NULL), CI_OK);
    gets(c, "2");
    cii_aws_credentials_free(c);
}

static void operations_outlive_the_object(void **state) {
    world *w = *state;
    cii_aws_identity *identity;
    ci_op *search, *wait;
    write_counter(w, "2199-01-01T00:00:00Z");
    cii_aws_credentials *c = world_credentials(w);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &search, NULL), CI_OK);
    assert_int_equal(cii_aws_credentials_get(c, &identity, &wait, NULL), CI_OK);
    cii_aws_credentials_free(c);
    assert_int_equal(world_drive(search, NULL), CI_OK);
    wait->ops->free(wait);
}

static void *get_often(void *user) {
    for (int i = 0; i < 200; i++) {
        _cleanup_identity_ cii_aws_identity *identity = NULL;
        if (world_get(user, &identity, NULL) != CI_OK)
            return (void *)"failed";
        if (i % 50 == 0)
            cii_aws_credentials_reject(user, identity);
    }
    return NULL;
}

static void threads_share_it(void **state) {
    world *w = *state;
    pthread_t threads[4];
    write_counter(w, "2199-01-01T00:00:00Z");
    cii_aws_credentials *c = world_credentials(w);
    for (size_t i = 0; i < CII_ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_often, c), 0);
    for (size_t i = 0; i < CII_ELEMENTS(threads); i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        assert_null(failure);
    }
    cii_aws_credentials_free(c);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static ci_status find_some(void *user) {
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = world_find(user, &identity, &error);
    assert_int_equal(ci_error_status(error), status);
    return status;
}

static void each_allocation_may_fail(void **state) {
    world *w = *state;
    write_counter(w, "2199-01-01T00:00:00Z");
    assert_true(failmalloc_each(find_some, w) > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_clients_find_the_same),
        TEST(the_source_is_told),
        TEST(an_error_names_what_was_tried_and_why_it_did_not_serve),
        TEST(what_is_set_up_and_fails_ends_the_search),
        TEST(what_is_read_names_no_secret),
        TEST(a_program_that_fails_is_heard),
        TEST(a_program_that_prints_too_much_is_ended),
        TEST(a_program_that_does_not_end_is_ended),
        TEST(a_search_that_is_given_up_ends_its_program),
        cmocka_unit_test(words_are_split_as_a_shell_does),
        cmocka_unit_test(times_are_read),
        TEST(they_are_kept_and_renewed_before_they_expire),
        TEST(old_ones_serve_while_new_ones_cannot_be_had),
        TEST(short_lived_ones_are_kept_too),
        TEST(expired_ones_are_none),
        TEST(rejected_ones_are_not_handed_out_again),
        TEST(one_searches_and_the_others_wait_for_it),
        TEST(a_failure_is_told_to_all_who_wait),
        TEST(a_search_that_has_ended_is_no_more_waited_for),
        TEST(the_next_takes_over_a_search_that_is_given_up),
        TEST(the_others_go_on_with_old_ones_while_one_renews_them),
        TEST(operations_outlive_the_object),
        TEST(threads_share_it),
        TEST(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
