/* Regions, endpoints and where buckets are: as another client has them from the same settings, and what is none. */
#include "../unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "aws/endpoint.h"
#include "base/json.h"
#include "base/str.h"
#include "failmalloc.h"
#include "os/fd.h"

static char config_path[] = "/tmp/ci-aws-config-XXXXXX";

static int make_file(void **state) {
    (void)state;
    int fd = mkstemp(config_path);
    return fd < 0 || close(fd) < 0;
}

static int remove_file(void **state) {
    (void)state;
    return unlink(config_path);
}

static void write_config(const char *text) {
    _cleanup_close_ int fd = open(config_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(cii_fd_write_all(fd, text, strlen(text)), 0);
}

/* Settings of the file, with variables besides. */
typedef struct fixture {
    char texts[6][256];
    const char *env[8];
    cii_aws_settings *settings;
} fixture;

static void load(fixture *f, const char *profile) {
    snprintf(f->texts[0], sizeof f->texts[0], "AWS_CONFIG_FILE=%s", config_path);
    f->env[0] = f->texts[0];
    f->env[1] = "AWS_SHARED_CREDENTIALS_FILE=/dev/null";
    assert_int_equal(cii_aws_settings_load(f->env, profile, &f->settings, NULL), CI_OK);
}

/* --- another client's answers ------------------------------------------------------------------------------------- */

static const char *text_of(const cii_json *object, const char *key) {
    return cii_json_text_of(cii_json_get(object, key), NULL);
}

static void compare_case(const cii_json *given, const cii_json *wanted) {
    _cleanup_endpoint_ cii_aws_endpoint e = {0}, of_bucket = {0};
    fixture f = {0};
    const cii_json *env = cii_json_get(given, "env");
    const char *service = text_of(given, "service"), *bucket = text_of(given, "bucket");
    for (size_t i = 0; i < cii_json_count(env); i++) {
        snprintf(f.texts[i + 1], sizeof f.texts[0], "%s=%s", cii_json_key_at(env, i, NULL),
                 cii_json_text_of(cii_json_at(env, i), NULL));
        f.env[i + 2] = f.texts[i + 1];
    }
    load(&f, text_of(given, "profile"));
    service = service ? service : "s3";
    const char *region = cii_aws_region(f.settings, text_of(given, "region"));
    assert_non_null(region);
    assert_string_equal(region, text_of(wanted, "region"));
    assert_int_equal(cii_aws_endpoint_resolve(f.settings, service, text_of(given, "url"), region,
                                              cii_aws_endpoint_flags(f.settings, service), &e, NULL),
                     CI_OK);
    if (bucket)
        assert_int_equal(cii_aws_bucket_endpoint(&e, bucket, cii_aws_settings_style(f.settings), &of_bucket, NULL),
                         CI_OK);
    const cii_aws_endpoint *got = bucket ? &of_bucket : &e;
    _cleanup_free_ char *url = cii_str_printf("%s://%s%s", got->is_tls ? "https" : "http", got->host, got->path);
    _cleanup_free_ char *other = strdup(text_of(wanted, "url"));
    if (cii_str_ends(other, "/"))
        other[strlen(other) - 1] = '\0';
    assert_string_equal(url, other);
    cii_aws_settings_free(f.settings);
}

static void other_clients_resolve_the_same(void **state) {
    (void)state;
    size_t size;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, TEST_DATA "/endpoints.json", 1 << 20, &size);
    _cleanup_json_ cii_json *root = NULL;
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    write_config(text_of(root, "config"));
    const cii_json *cases = cii_json_get(root, "cases");
    assert_true(cii_json_count(cases) > 80);
    for (size_t i = 0; i < cii_json_count(cases); i++)
        compare_case(cii_json_get(cii_json_at(cases, i), "given"), cii_json_get(cii_json_at(cases, i), "wanted"));
}

/* --- regions ------------------------------------------------------------------------------------------------------ */

static void the_region_is_of_whoever_says_it_first(void **state) {
    (void)state;
    fixture f = {.env = {NULL, NULL, "AWS_REGION=b-1", "AWS_DEFAULT_REGION=c-1"}}, none = {0};
    write_config("[default]\nregion = d-1\n[profile x]\n");
    load(&f, NULL);
    assert_string_equal(cii_aws_region(f.settings, "a-1"), "a-1");
    assert_string_equal(cii_aws_region(f.settings, ""), "b-1");
    f.env[2] = "AWS_REGION=";
    assert_string_equal(cii_aws_region(f.settings, NULL), "c-1");
    f.env[3] = NULL;
    assert_string_equal(cii_aws_region(f.settings, NULL), "d-1");
    load(&none, "x");
    assert_null(cii_aws_region(none.settings, NULL));
    cii_aws_settings_free(f.settings);
    cii_aws_settings_free(none.settings);
}

static void a_region_cannot_lead_to_another_host(void **state) {
    (void)state;
    fixture f = {0};
    cii_aws_endpoint e;
    load(&f, NULL);
    for (const char *const *bad =
             (const char *const[]){"", "a.b", "a/b", "a@b", "-a", "a-", "A-1", "a b", "a\n", "x#", NULL};
         *bad; bad++)
        FAILS(CI_ERR_INVALID, "region", cii_aws_endpoint_resolve(f.settings, "s3", NULL, *bad, 0, &e, &error));
    FAILS(CI_ERR_INVALID, "region", cii_aws_endpoint_resolve(f.settings, "s3", NULL, NULL, 0, &e, &error));
    cii_aws_settings_free(f.settings);
}

static void a_host_of_aws_is_made_of_a_region_of_aws(void **state) {
    (void)state;
    static const char *const bad[] = {"us",         "us-east",    "east-1",   "u-east-1",  "us-east-1a",
                                      "us--east-1", "us-1-east",  "us-1",     "1-us-east", "us-east-1-1",
                                      "us-east1",   "aws-global", "localhost"};
    static const char *const good[] = {"us-east-1", "ap-southeast-12", "us-isob-east-1", "eusc-de-east-1"};
    fixture f = {0};
    cii_aws_endpoint e = {0};
    load(&f, NULL);
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        FAILS(CI_ERR_INVALID, "region: AWS has none",
              cii_aws_endpoint_resolve(f.settings, "bedrock-agentcore", NULL, bad[i], 0, &e, &error));
        assert_int_equal(cii_aws_endpoint_resolve(f.settings, "s3", "http://h", bad[i], 0, &e, NULL), CI_OK);
        cii_aws_endpoint_free(&e);
    }
    for (size_t i = 0; i < CII_ELEMENTS(good); i++) {
        assert_int_equal(cii_aws_endpoint_resolve(f.settings, "bedrock-agentcore", NULL, good[i], 0, &e, NULL), CI_OK);
        cii_aws_endpoint_free(&e);
    }
    cii_aws_settings_free(f.settings);
}

/* --- endpoints ---------------------------------------------------------------------------------------------------- */

static void an_endpoint_is_host_port_and_path(void **state) {
    (void)state;
    static const struct {
        const char *url, *host, *path;
        bool is_tls;
    } cases[] = {
        {"http://h", "h", "", false},
        {"https://h/", "h", "", true},
        {"HTTP://H.example:80", "H.example", "", false},
        {"https://h:443/a/", "h", "/a", true},
        {"http://h:443", "h:443", "", false},
        {"https://h:80/a/b//", "h:80", "/a/b", true},
        {"http://[::1]:8000/x", "[::1]:8000", "/x", false},
        {"http://[fd00:ec2::254]", "[fd00:ec2::254]", "", false},
        {"http://127.0.0.1:65535/%20", "127.0.0.1:65535", "/%20", false},
        {"http://under_score", "under_score", "", false},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_endpoint_ cii_aws_endpoint e = {0};
        assert_int_equal(cii_aws_endpoint_parse(cases[i].url, "x", &e, NULL), CI_OK);
        assert_string_equal(e.host, cases[i].host);
        assert_string_equal(e.path, cases[i].path);
        assert_true(e.is_tls == cases[i].is_tls && e.is_custom);
    }
}

static void what_is_no_endpoint_is_refused_and_not_quoted(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://h",
                                      "http://",
                                      "http:///x",
                                      "http://h:",
                                      "http://h:0",
                                      "http://h:65536",
                                      "http://h:1x",
                                      "http://h:99999999999",
                                      "http://user@h",
                                      "http://u:hidden@h",
                                      "http://h?hidden=1",
                                      "http://h#x",
                                      "http://h/a?b",
                                      "http://h/a b",
                                      "http://[::1",
                                      "http://[x]",
                                      "http://[::1]x",
                                      "http://a b",
                                      "http://a\r\nb",
                                      "http://\xc3\xa9",
                                      "http://h/\xc3\xa9",
                                      "http://h/a\\b"};
    cii_aws_endpoint e;
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        _cleanup_error_ ci_error *error = NULL;
        assert_int_equal(cii_aws_endpoint_parse(bad[i], "AWS_ENDPOINT_URL", &e, &error), CI_ERR_INVALID);
        assert_string_equal(ci_error_message(error), "AWS_ENDPOINT_URL: not an endpoint");
    }
}

static void an_error_says_where_the_endpoint_was_named(void **state) {
    (void)state;
    fixture f = {.env = {NULL, NULL, "AWS_ENDPOINT_URL_S3=x"}}, g = {0};
    cii_aws_endpoint e;
    write_config("[default]\nservices = s\nendpoint_url = y\n[services s]\nsts =\n  endpoint_url = z\n");
    load(&f, NULL);
    load(&g, NULL);
    FAILS(CI_ERR_INVALID,
          "AWS_ENDPOINT_URL_S3: ", cii_aws_endpoint_resolve(f.settings, "s3", NULL, "a-1", 0, &e, &error));
    FAILS(CI_ERR_INVALID, "endpoint: ", cii_aws_endpoint_resolve(f.settings, "s3", "q", "a-1", 0, &e, &error));
    FAILS(CI_ERR_INVALID, "sts in section services",
          cii_aws_endpoint_resolve(g.settings, "sts", NULL, "a-1", 0, &e, &error));
    FAILS(CI_ERR_INVALID, "of the profile", cii_aws_endpoint_resolve(g.settings, "s3", NULL, "a-1", 0, &e, &error));
    FAILS(CI_ERR_INVALID, "dual-stack",
          cii_aws_endpoint_resolve(f.settings, "s3", "http://h", "a-1", CII_AWS_DUAL_STACK, &e, &error));
    cii_aws_settings_free(f.settings);
    cii_aws_settings_free(g.settings);
}

/* --- buckets ------------------------------------------------------------------------------------------------------ */

static void a_bucket_cannot_lead_elsewhere(void **state) {
    (void)state;
    _cleanup_endpoint_ cii_aws_endpoint
        aws = {.host = strdup("s3.a-1.amazonaws.com"), .path = strdup(""), .is_tls = true},
        address = {.host = strdup("127.0.0.1:9"), .path = strdup(""), .is_custom = true};
    cii_aws_endpoint e;
    for (const char *const *bad =
             (const char *const[]){"", ".", "..", "a/b", "a b", "a?b", "a%2f", "a\n", "a@b", "\xc3\xa9", NULL};
         *bad; bad++)
        FAILS(CI_ERR_INVALID, "bucket", cii_aws_bucket_endpoint(&aws, *bad, CII_AWS_STYLE_AUTO, &e, &error));
    for (const char *const *bad = (const char *const[]){"Capital", "a.b", "a_b", "-abc", "abc-", "ab", NULL}; *bad;
         bad++) {
        _cleanup_endpoint_ cii_aws_endpoint path = {0};
        FAILS(CI_ERR_INVALID, "host's name", cii_aws_bucket_endpoint(&aws, *bad, CII_AWS_STYLE_VIRTUAL, &e, &error));
        assert_int_equal(cii_aws_bucket_endpoint(&aws, *bad, CII_AWS_STYLE_AUTO, &path, NULL), CI_OK);
        assert_string_equal(path.host, aws.host);
        assert_true(path.path[0] == '/' && strcmp(path.path + 1, *bad) == 0);
    }
    FAILS(CI_ERR_INVALID, "host's name", cii_aws_bucket_endpoint(&address, "abc", CII_AWS_STYLE_VIRTUAL, &e, &error));
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

static void files_are_where_the_environment_says(void **state) {
    (void)state;
    const char *home_only[] = {"HOME=/nowhere", "AWS_PROFILE=p", NULL}, *nothing[] = {NULL};
    _cleanup_settings_ cii_aws_settings *s = NULL, *none = NULL;
    assert_int_equal(cii_aws_settings_load(home_only, NULL, &s, NULL), CI_OK);
    assert_string_equal(cii_aws_settings_where(s), "/nowhere/.aws/credentials and /nowhere/.aws/config");
    assert_string_equal(cii_aws_settings_profile(s), "p");
    assert_true(cii_aws_settings_is_named(s) && !cii_aws_settings_has(s, "p"));
    assert_int_equal(cii_aws_settings_load(nothing, NULL, &none, NULL), CI_OK);
    assert_string_equal(cii_aws_settings_profile(none), "default");
    assert_false(cii_aws_settings_is_named(none));
    _cleanup_free_ char *path = cii_aws_settings_path(home_only, "~/x"), *same = cii_aws_settings_path(nothing, "~/x");
    assert_string_equal(path, "/nowhere/x");
    assert_string_equal(same, "~/x");
}

static void a_file_that_cannot_be_read_is_named(void **state) {
    (void)state;
    fixture f = {0};
    cii_aws_settings *s;
    const char *folder[] = {"AWS_CONFIG_FILE=/tmp", NULL};
    write_config("[default]\nhidden\n");
    snprintf(f.texts[0], sizeof f.texts[0], "AWS_SHARED_CREDENTIALS_FILE=%s", config_path);
    f.env[0] = f.texts[0];
    FAILS(CI_ERR_INVALID, config_path, cii_aws_settings_load(f.env, NULL, &s, &error));
    FAILS(CI_ERR_INVALID, "read /tmp: ", cii_aws_settings_load(folder, NULL, &s, &error));
}

static ci_status load_and_resolve(void *user) {
    (void)user;
    _cleanup_settings_ cii_aws_settings *s = NULL;
    _cleanup_endpoint_ cii_aws_endpoint e = {0}, own = {0}, b = {0};
    _cleanup_error_ ci_error *error = NULL;
    char variable[64];
    snprintf(variable, sizeof variable, "AWS_CONFIG_FILE=%s", config_path);
    const char *env[] = {variable, NULL};
    ci_status status = cii_aws_settings_load(env, NULL, &s, &error);
    if (status == CI_OK)
        status = cii_aws_endpoint_resolve(s, "s3", "http://h:1/x", "ca-west-1", 0, &e, &error);
    if (status == CI_OK)
        status = cii_aws_endpoint_resolve(s, "s3", NULL, "ca-west-1", 0, &own, &error);
    if (status == CI_OK)
        status = cii_aws_bucket_endpoint(&e, "bucket", CII_AWS_STYLE_VIRTUAL, &b, &error);
    assert_int_equal(ci_error_status(error), status);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    write_config("[default]\nregion = a-1\n");
    assert_int_equal(failmalloc_each(load_and_resolve, NULL), 14);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_clients_resolve_the_same),
        cmocka_unit_test(the_region_is_of_whoever_says_it_first),
        cmocka_unit_test(a_region_cannot_lead_to_another_host),
        cmocka_unit_test(a_host_of_aws_is_made_of_a_region_of_aws),
        cmocka_unit_test(an_endpoint_is_host_port_and_path),
        cmocka_unit_test(what_is_no_endpoint_is_refused_and_not_quoted),
        cmocka_unit_test(an_error_says_where_the_endpoint_was_named),
        cmocka_unit_test(a_bucket_cannot_lead_elsewhere),
        cmocka_unit_test(files_are_where_the_environment_says),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
