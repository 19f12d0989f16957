/* Credentials by real HTTP: the misbehaving server (tests/http) plays an instance's metadata service, a container's, and STS
 * and SSO over TLS. */
#include "world.h"

#include <sys/stat.h>

#include "../net/server.h"
#include "../os/census.h"
#include "aws/http.h"
#include "base/str.h"
#include "failmalloc.h"

#define KEYS                                                                                                         \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"hidden-secret\",\"Token\":\"hidden-token\"," \
    "\"Expiration\":\"2199-01-01T00:00:00Z\"}"
#define ROLE                                                                                                       \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE<%2FAccessKeyId><SecretAccessKey>hidden-" \
    "secret<%2FSecretAccessKey><SessionToken>hidden-token<%2FSessionToken><Expiration>2199-01-01T00:00:00Z"        \
    "<%2FExpiration><%2FCredentials><%2FAssumeRoleResult><%2FAssumeRoleResponse>"
#define NO_ONE "http://hidden-user:hidden-password@127.0.0.1:1" /* a proxy that is not there */

static int set_up(void **state) {
    world *w = malloc(sizeof *w);
    world_init(w);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world_free(*state);
    free(*state);
    return 0;
}

/* The requests of this method have the time that the library gives them, all others more than a busy machine needs: an
 * instance's metadata service has a second. */
static const char *hasty_method = "";

static ci_status fetch(void *user, const cii_aws_fetch_request *request, cii_aws_fetch_response *response,
                       ci_op **ret_op, ci_error **ret_error) {
    cii_aws_fetch_request same = *request;
    same.timeout_ms *= strcmp(request->method, hasty_method) == 0 ? 1 : 100;
    return cii_aws_http_fetch(user, &same, response, ret_op, ret_error);
}

/* Makes the world's HTTP real, as its environment and files say. */
static cii_aws_http *connect_world(world *w, const char *ca_file) {
    _cleanup_settings_ cii_aws_settings *settings = NULL;
    cii_aws_http *made = NULL;
    assert_int_equal(cii_aws_settings_load(w->env, w->options.profile, &settings, NULL), CI_OK);
    assert_int_equal(cii_aws_http_new(settings, ca_file, NULL, &made, NULL), CI_OK);
    w->options.fetch = fetch;
    w->options.fetch_user = made;
    return made;
}

static void finds(world *w, const char *id, const char *source) {
    cii_aws_http *h = connect_world(w, NULL);
    world_finds(w, id, "hidden-secret", "hidden-token", source);
    cii_aws_http_free(h);
}

/* That they are not found, for this reason; nothing hidden is told. */
static void fails(world *w, ci_status status, const char *text) {
    cii_aws_http *h = connect_world(w, NULL);
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status found = world_find(w, &identity, &error);
    const char *message = ci_error_message(error);
    if (found != status || !strstr(message, text) || strstr(message, "hidden"))
        fail_msg("%d: %s", (int)found, message);
    assert_null(strstr(ci_error_hint(error), "hidden"));
    cii_aws_http_free(h);
}

/* --- an instance -------------------------------------------------------------------------------------------------- */

static void instance(world *w, const char *name) {
    world_set(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", URL("/%s", name));
}

#define ROLES "/latest/meta-data/iam/security-credentials/"

static void an_instance_gives_a_token_a_role_and_keys(void **state) {
    world *w = *state;
    instance(w, "imds");
    world_set(w, "http_proxy", NO_ONE); /* which is not for it */
    server_rules("1 PUT /imds/latest/api/token text-hidden-session\n"
                 "1 GET /imds" ROLES " text-my-role%0A\n"
                 "1 GET /imds" ROLES "my-role text-" KEYS "\n");
    finds(w, "AK", "instance metadata");
    assert_true(log_has("/imds/latest/api/token", "> X-aws-ec2-metadata-token-ttl-seconds: 21600\n"));
    assert_true(log_has("/imds/latest/api/token", "> Content-Length: 0\n"));
    assert_true(log_has("/imds" ROLES "my-role", "> X-aws-ec2-metadata-token: hidden-session\n"));
}

static void a_metadata_service_that_misbehaves_is_given_up(void **state) {
    static const struct {
        const char *name, *token, *role, *text;
        ci_status status;
        const char *hasty;
    } cases[] = {
        {"stall", "stall", "", "not done in 1000 ms", CI_ERR_TIMEOUT, "PUT"},
        {"freeze", "freeze", "", "not done in 1000 ms", CI_ERR_TIMEOUT, "PUT"},
        {"drip", "drip-1000-30", "", "not done in 1000 ms", CI_ERR_TIMEOUT, "PUT"},
        {"rolestall", "text-T", "stall", "not done in 1000 ms", CI_ERR_TIMEOUT, "GET"},
        {"long", "endless", "", "larger than 65536 bytes", CI_ERR_LIMIT, ""},
        {"longrole", "text-T", "endless", "larger than 65536 bytes", CI_ERR_LIMIT, ""},
        {"reset", "reset", "", "the connection broke", CI_ERR_IO, ""},
        {"error", "status-500/text-hidden", "", "ask for a token: HTTP status 500", CI_ERR_IO, ""},
        {"longerror", "status-403/bytes-100000", "", "ask for a token: HTTP status 403", CI_ERR_PERMISSION, ""},
        {"rolemoved", "text-T", "status-302/header-Location=%2Felsewhere", "ask for the role: HTTP status 302",
         CI_ERR_PERMISSION, ""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++, tear_down(state), set_up(state)) {
        world *w = *state;
        _cleanup_free_ char *rules = cii_str_printf("9 PUT /%s/latest/api/token %s\n9 GET /%s" ROLES " %s\n",
                                                    cases[i].name, cases[i].token, cases[i].name, cases[i].role);
        _cleanup_free_ char *asked = cii_str_printf("/%s/latest/api/token", cases[i].name);
        instance(w, cases[i].name);
        server_rules(rules);
        hasty_method = cases[i].hasty;
        fails(w, cases[i].status, cases[i].text);
        hasty_method = "";
        assert_int_equal(log_count(asked), 1);
    }
    assert_int_equal(log_count("/elsewhere"), 0);
}

/* --- a container -------------------------------------------------------------------------------------------------- */

static void a_container_is_asked_again_and_past_any_proxy(void **state) {
    world *w = *state;
    world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", URL("/do/until-2/status-500?id=container"));
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "hidden-authorization");
    world_set(w, "http_proxy", NO_ONE);
    fails(w, CI_ERR_PROTOCOL, "container:"); /* what it says then is no JSON */
    assert_int_equal(log_count("container"), 3);
    assert_true(log_has("container", "> Authorization: hidden-authorization\n"));
}

/* --- STS ---------------------------------------------------------------------------------------------------------- */

static void role(world *w, const char *origin, const char *name) {
    w->options.profile = "p";
    world_set(w, "AWS_EC2_METADATA_DISABLED", "true");
    world_set(w, "AWS_ENDPOINT_URL_STS", server_url(origin, "/%s", name));
    mkdir(server_url(w->folder, "/.aws"), 0700);
    world_write(w, ".aws/config",
                "[profile p]\nrole_arn = R\nsource_profile = q\n"
                "[profile q]\naws_access_key_id = OTHER\naws_secret_access_key = hidden-key\n");
}

static void a_role_is_assumed_over_tls(void **state) {
    world *w = *state;
    role(w, https, "sts");
    fails(w, CI_ERR_PERMISSION, "its certificate is not trusted");
    assert_int_equal(log_count("/sts/"), 0);
    world_set(w, "AWS_CA_BUNDLE", ca);
    server_rules("1 POST /sts/ body/text-" ROLE "\n");
    finds(w, "ROLE", "profile 'p': assume role");
    assert_true(log_has("/sts/", "> Authorization: AWS4-HMAC-SHA256 Credential=OTHER/"));
    assert_true(log_has("/sts/", "> Content-Type: application/x-www-form-urlencoded; charset=utf-8\n"));
    assert_true(log_has("/sts/", " whole connection "));
}

static void a_given_authority_counts_before_the_settings(void **state) {
    world *w = *state;
    role(w, https, "given");
    world_set(w, "AWS_CA_BUNDLE", "/nowhere.pem");
    server_rules("1 POST /given/ body/text-" ROLE "\n");
    cii_aws_http *h = connect_world(w, ca);
    world_finds(w, "ROLE", "hidden-secret", "hidden-token", "profile 'p': assume role");
    cii_aws_http_free(h);
}

static void what_passes_is_repeated_and_not_twice_over(void **state) {
    world *w = *state;
    role(w, https, "passes");
    world_set(w, "AWS_CA_BUNDLE", ca);
    server_rules("1 POST /passes/ body/status-500\n1 POST /passes/ body/length-5000/text-<AssumeRole/reset\n"
                 "1 POST /passes/ body/text-" ROLE "\n");
    finds(w, "ROLE", "profile 'p': assume role");
    assert_int_equal(log_count("/passes/"), 3);
    server_rules("9 POST /passes/ body/status-500/text-hidden\n");
    fails(w, CI_ERR_IO, "STS: HTTP status 500");
    assert_int_equal(log_count("/passes/"), 6);
    server_rules(
        "9 POST /passes/ body/status-400/text-<ErrorResponse><Error><Code>X<%2FCode><%2FError><%2FErrorResponse>\n");
    fails(w, CI_ERR_PERMISSION, "STS: HTTP status 400, X");
    assert_int_equal(log_count("/passes/"), 7);
    server_rules("9 POST /passes/ body/status-307/header-Location=%2Felsewhere\n");
    fails(w, CI_ERR_PERMISSION, "STS: HTTP status 307");
    assert_int_equal(log_count("/elsewhere"), 0);
}

/* --- proxies ------------------------------------------------------------------------------------------------------ */

static void a_proxy_stands_before_sts_by_its_scheme(void **state) {
    world *w = *state;
    role(w, "http://sts.invalid", "proxied");
    world_set(w, "HTTP_PROXY", http + strlen("http://")); /* as one without a scheme is taken too */
    world_set(w, "https_proxy", NO_ONE);
    server_rules("1 POST http://sts.invalid/proxied/ body/text-" ROLE "\n");
    finds(w, "ROLE", "profile 'p': assume role");
    assert_true(log_has("/proxied/", "> : http://sts.invalid/proxied/\n"));
    world_set(w, "http_proxy", NO_ONE); /* which counts first */
    fails(w, CI_ERR_IO, "no connection");
    world_set(w, "no_proxy", "elsewhere.invalid,sts.invalid");
    fails(w, CI_ERR_IO, "there is no address for this name");
    assert_int_equal(log_count("/proxied/"), 1);
}

static void a_proxy_stands_before_tls(void **state) {
    world *w = *state;
    role(w, https, "tls-proxied");
    world_set(w, "https_proxy", NO_ONE);
    fails(w, CI_ERR_IO, "no connection");
    assert_int_equal(log_count("/tls-proxied/"), 0);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static ci_op *begin(cii_aws_credentials *c) {
    cii_aws_identity *identity = NULL;
    ci_op *op = NULL;
    assert_int_equal(cii_aws_credentials_get(c, &identity, &op, NULL), CI_OK);
    assert_null(identity);
    assert_int_equal(op->ops->process(op, NULL), 0);
    return op;
}

static void a_search_may_be_given_up_at_any_time(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    size_t before = open_fd_count();
    role(w, http, "given-up");
    server_rules("1 POST /given-up/ stall\n1 POST /given-up/ body/text-" ROLE "\n");
    cii_aws_http *h = connect_world(w, NULL);
    cii_aws_credentials *c = world_credentials(w);
    ci_op *op = begin(c), *waiting = begin(c);
    while (log_count("/given-up/") == 0)
        assert_int_equal(op->ops->process(op, NULL), 0);
    op->ops->free(op);
    assert_int_equal(world_drive(waiting, NULL), CI_OK);
    assert_int_equal(world_get(c, &identity, NULL), CI_OK);
    assert_string_equal(cii_aws_identity_keys(identity)->id, "ROLE");
    cii_aws_credentials_free(c);
    cii_aws_http_free(h);
    assert_int_equal(open_fd_count(), before);
}

static ci_status search(void *user) {
    world *w = user;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_settings_ cii_aws_settings *settings = NULL;
    cii_aws_http *h = NULL;
    ci_status status = cii_aws_settings_load(w->env, NULL, &settings, NULL);
    if (status == CI_OK)
        status = cii_aws_http_new(settings, NULL, NULL, &h, NULL);
    w->options.fetch_user = h;
    if (status == CI_OK)
        status = world_find(w, &identity, NULL);
    cii_aws_http_free(h);
    return status;
}

static void each_allocation_may_fail(void **state) {
    world *w = *state;
    size_t before = open_fd_count();
    instance(w, "nomem");
    world_set(w, "http_proxy", "127.0.0.1:1");
    w->options.fetch = fetch;
    server_rules("9999 PUT /nomem/latest/api/token text-T\n"
                 "9999 GET /nomem" ROLES " text-r\n"
                 "9999 GET /nomem" ROLES "r text-" KEYS "\n");
    assert_true(failmalloc_each(search, w) > 50);
    assert_int_equal(open_fd_count(), before);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_instance_gives_a_token_a_role_and_keys),     TEST(a_metadata_service_that_misbehaves_is_given_up),
        TEST(a_container_is_asked_again_and_past_any_proxy), TEST(a_role_is_assumed_over_tls),
        TEST(a_given_authority_counts_before_the_settings),  TEST(what_passes_is_repeated_and_not_twice_over),
        TEST(a_proxy_stands_before_sts_by_its_scheme),       TEST(a_proxy_stands_before_tls),
        TEST(a_search_may_be_given_up_at_any_time),          TEST(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
