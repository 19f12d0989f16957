/* Credentials that services give: roles, web identities, SSO, containers, instances. What they are asked, and what becomes of
 * every kind of answer. */
#include "world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "failmalloc.h"
#include "os/fd.h"

#define KEYS \
    "\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"SEC\",\"Token\":\"TOK\",\"Expiration\":\"2199-01-01T00:00:00Z\""
#define ROLE_ANSWER(id)                                                                                                 \
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser><Arn>a" \
    "</Arn></AssumedRoleUser><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>S/&#43;</SecretAccessKey>"  \
    "<SessionToken>TOK=</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>"   \
    "</AssumeRoleResponse>"

static int set_up(void **state) {
    world *w = malloc(sizeof *w);
    world_init(w);
    *state = w;
    for (const char *const *name = (const char *const[]){".aws", ".aws/sso", ".aws/sso/cache", NULL}; *name; name++) {
        _cleanup_free_ char *folder = cii_str_printf("%s/%s", w->folder, *name);
        assert_int_equal(mkdir(folder, 0700), 0);
    }
    return 0;
}

static int tear_down(void **state) {
    world_free(*state);
    free(*state);
    return 0;
}

static void no_instance(world *w) {
    world_set(w, "AWS_EC2_METADATA_DISABLED", "TRUE");
}

/* --- instances ---------------------------------------------------------------------------------------------------- */

#define IMDS "http://169.254.169.254/latest/"
#define IMDS_KEYS IMDS "meta-data/iam/security-credentials/"

static void an_instance_is_asked_for_a_token_its_role_and_keys(void **state) {
    world *w = *state;
    w->answers = (const answer[]){{IMDS "api/token", 200, "TOKEN=="},
                                  {IMDS_KEYS "my-role%2B1", 200, "{\"Code\":\"Success\"," KEYS "}"},
                                  {IMDS_KEYS, 200, "my-role+1\n"},
                                  {0}};
    world_finds(w, "AK", "SEC", "TOK", "instance metadata");
    assert_string_equal(w->asked.data, "PUT " IMDS "api/token\nX-aws-ec2-metadata-token-ttl-seconds: 21600\n\n\n"
                                       "GET " IMDS_KEYS "\nX-aws-ec2-metadata-token: TOKEN==\n\n\n"
                                       "GET " IMDS_KEYS "my-role%2B1\nX-aws-ec2-metadata-token: TOKEN==\n\n\n");
}

static void an_instance_may_be_elsewhere(void **state) {
    world *w = *state;
    static const answer at_six[] = {{"http://[fd00:ec2::254]/latest/api/token", 403, ""}, {0}};
    static const answer at_own[] = {{"http://localhost:1338/x/latest/api/token", 403, ""}, {0}};
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    world_write(w, ".aws/config", "[default]\nec2_metadata_service_endpoint_mode = ipv6\n");
    w->answers = at_six;
    FAILS(CI_ERR_PERMISSION, "instance metadata: ask for a token: HTTP status 403", world_find(w, &identity, &error));
    world_set(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://localhost:1338/x/");
    w->answers = at_own;
    FAILS(CI_ERR_PERMISSION, "HTTP status 403", world_find(w, &identity, &error));
}

static void what_an_instance_answers_is_checked(void **state) {
    world *w = *state;
    static const struct {
        const char *token, *role, *keys, *message;
        int32_t statuses[3];
        ci_status status;
    } cases[] = {
        {"", "r", "", "ask for a token: the answer is none", {200, 200, 200}, CI_ERR_PROTOCOL},
        {"a b", "r", "", "ask for a token: the answer is none", {200, 200, 200}, CI_ERR_PROTOCOL},
        {"T", "../x y", "", "ask for the role: the answer is none", {200, 200, 200}, CI_ERR_PROTOCOL},
        {"T", "", "", "the instance has no role", {200, 404, 200}, CI_ERR_INVALID},
        {"T", "r", "", "ask for credentials: HTTP status 500", {200, 200, 500}, CI_ERR_IO},
        {"T", "r", "hidden", "not JSON", {200, 200, 200}, CI_ERR_PROTOCOL},
        {"T",
         "r",
         "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}",
         "Code AssumeRole",
         {200, 200, 200},
         CI_ERR_PERMISSION},
        {"T",
         "r",
         "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hid\\nden\"}",
         "secret access key",
         {200, 200, 200},
         CI_ERR_INVALID},
        {"T", "r", "{\"Expiration\":\"hidden\"}", "Expiration is not a time", {200, 200, 200}, CI_ERR_PROTOCOL},
        {"T", "r", "[]", "access key id", {200, 200, 200}, CI_ERR_INVALID},
        {"", "", "", "nobody answers", {0, 200, 200}, CI_ERR_TIMEOUT},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_identity_ cii_aws_identity *identity = NULL;
        _cleanup_error_ ci_error *error = NULL;
        w->answers = (const answer[]){{IMDS "api/token", cases[i].statuses[0], cases[i].token},
                                      {IMDS_KEYS "r", cases[i].statuses[2], cases[i].keys},
                                      {IMDS_KEYS, cases[i].statuses[1], cases[i].role},
                                      {0}};
        assert_int_equal(world_find(w, &identity, &error), cases[i].status);
        if (!strstr(ci_error_message(error), cases[i].message))
            assert_string_equal(ci_error_message(error), cases[i].message);
        assert_null(strstr(ci_error_message(error), "hid"));
        assert_true(ci_error_retryable(error) == (cases[i].statuses[2] == 500));
    }
}

static void without_http_it_is_said(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    w->options.fetch = NULL;
    FAILS(CI_ERR_NOTSUP, "instance metadata: needs HTTP", world_find(w, &identity, &error));
}

/* --- containers --------------------------------------------------------------------------------------------------- */

static void a_container_is_asked_with_its_token(void **state) {
    world *w = *state;
    static const answer answers[] = {{"http://169.254.170.2/v2/credentials/1?a=b", 200, "{" KEYS "}"}, {0}};
    world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1?a=b");
    world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://not.asked/");
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
    w->answers = answers;
    world_finds(w, "AK", "SEC", "TOK", "container");
    assert_string_equal(w->asked.data, "GET http://169.254.170.2/v2/credentials/1?a=b\nAccept: application/json\n"
                                       "Authorization: Basic abc\n\n\n");
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", world_write(w, "token", "of file\n"));
    cii_buf_clear(&w->asked);
    world_finds(w, "AK", "SEC", "TOK", "container");
    assert_non_null(strstr(w->asked.data, "Authorization: of file\n\n"));
}

static void a_container_is_plain_http_beside_this_machine_alone(void **state) {
    static const struct {
        const char *url;
        bool is_allowed;
    } cases[] = {
        {"http://127.0.0.1:80/x", true},
        {"http://127.1.2.3/x", true},
        {"http://localhost/x", true},
        {"http://[::1]:1/x", true},
        {"http://169.254.170.2/x", true},
        {"http://169.254.170.23/x", true},
        {"http://[fd00:ec2::23]/x", true},
        {"https://example.com/x", true},
        {"http://example.com/x", false},
        {"http://10.0.0.1/x", false},
        {"http://127.0.0.1.example.com/x", false},
        {"http://localhost.example.com/x", false},
        {"http://169.254.170.21/x", false},
        {"http://[::2]/x", false},
        {"http://127.0.0.1@example.com/x", false},
        {"ftp://localhost/x", false},
        {"https://h/a b", false},
        {"http://localhost/x?a b", false},
        {"localhost", false},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        set_up(state);
        world *w = *state;
        _cleanup_identity_ cii_aws_identity *identity = NULL;
        world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", cases[i].url);
        w->answers = (const answer[]){{cases[i].url, 200, "{" KEYS "}"}, {0}};
        assert_int_equal(world_find(w, &identity, NULL), cases[i].is_allowed ? CI_OK : CI_ERR_INVALID);
        assert_int_equal(w->asked_count, cases[i].is_allowed);
        tear_down(state);
    }
}

static void a_container_that_cannot_be_asked_ends_the_search(void **state) {
    world *w = *state;
    static const answer silent[] = {{"http://169.254.170.2/x", 0, ""}, {0}};
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    w->answers = silent;
    FAILS(CI_ERR_TIMEOUT, "container: connect: nobody answers", world_find(w, &identity, &error));
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token");
    FAILS(CI_ERR_INVALID, "container: read: /nonexistent/token: No such file", world_find(w, &identity, &error));
}

static void a_container_token_cannot_add_headers(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\tb");
    FAILS(CI_ERR_INVALID, "authorization token is none", world_find(w, &identity, &error));
}

/* --- roles -------------------------------------------------------------------------------------------------------- */

#define STS "https://sts.eu-west-1.amazonaws.com/"

static void a_role_is_assumed_with_another_profiles_keys(void **state) {
    world *w = *state;
    static const answer answers[] = {{STS, 200, ROLE_ANSWER("ROLE")}, {0}};
    no_instance(w);
    world_write(
        w, ".aws/config",
        "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/x y\nsource_profile = base\nregion = eu-west-1\n"
        "external_id = e&f\nduration_seconds = 900\nrole_session_name = me=home\n[profile base]\n"
        "aws_access_key_id = BASE\naws_secret_access_key = S\naws_session_token = T\nregion = us-west-2\n");
    w->options.profile = "p";
    w->answers = answers;
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'p': assume role");
    assert_non_null(strstr(w->asked.data,
                           "POST " STS "\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n"
                           "Host: sts.eu-west-1.amazonaws.com\nX-Amz-Date: 20231114T221320Z\n"
                           "X-Amz-Security-Token: T\nAuthorization: AWS4-HMAC-SHA256 Credential=BASE/20231114/"
                           "eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;"
                           "x-amz-security-token, Signature="));
    assert_non_null(strstr(w->asked.data,
                           "\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012"
                           "%3Arole%2Fx%20y&RoleSessionName=me%3Dhome&DurationSeconds=900&ExternalId=e%26f\n"));
}

static void roles_are_assumed_one_after_another(void **state) {
    world *w = *state;
    static const answer answers[] = {{"https://sts.ca-west-1.amazonaws.com/", 200, ROLE_ANSWER("ROLE")}, {0}};
    no_instance(w);
    world_write(w, ".aws/config",
                "[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\nrole_arn = B\n"
                "source_profile = c\n[profile c]\nrole_arn = C\nsource_profile = c\n"
                "aws_access_key_id = BASE\naws_secret_access_key = S\n");
    w->options.profile = "a";
    w->options.region = "ca-west-1";
    w->answers = answers;
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'a': assume role");
    assert_int_equal(w->asked_count, 2); /* c has keys: its own role is not assumed */
    const char *first = strstr(w->asked.data, "RoleArn=B&RoleSessionName=libci-1700000000\n");
    assert_non_null(first);
    assert_non_null(strstr(first, "RoleArn=A&"));
    assert_non_null(strstr(w->asked.data, "Credential=BASE/"));
    assert_non_null(strstr(first, "Credential=ROLE/"));
    cii_buf_clear(&w->asked);
    w->asked_count = 0;
    w->options.profile = "c";
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'c': assume role"); /* asked for by name it is, with its own keys */
    assert_int_equal(w->asked_count, 1);
}

static void a_role_may_begin_at_a_named_source(void **state) {
    world *w = *state;
    static const answer answers[] = {{"https://sts.us-east-1.amazonaws.com/", 200, ROLE_ANSWER("ROLE")},
                                     {"http://169.254.170.2/x", 200, "{" KEYS "}"},
                                     {0}};
    world_write(w, ".aws/config",
                "[profile e]\nrole_arn = E\ncredential_source = Environment\n[profile c]\nrole_arn = C\n"
                "credential_source = EcsContainer\n[profile i]\nrole_arn = I\ncredential_source = "
                "Ec2InstanceMetadata\n");
    no_instance(w);
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    w->answers = answers;
    w->options.profile = "c";
    FAILS(CI_ERR_INVALID, "credential_source EcsContainer: AWS_CONTAINER", world_find(w, &identity, &error));
    w->options.profile = "i";
    FAILS(CI_ERR_INVALID, "credential_source Ec2InstanceMetadata: AWS_EC2_METADATA_DISABLED",
          world_find(w, &identity, &error));
    w->options.profile = "e";
    FAILS(CI_ERR_INVALID, "credential_source: AWS_ACCESS_KEY_ID is not set", world_find(w, &identity, &error));
    world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    world_set(w, "AWS_ACCESS_KEY_ID", "ENV");
    world_set(w, "AWS_SECRET_ACCESS_KEY", "S");
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'e': assume role");
    assert_non_null(strstr(w->asked.data, "Credential=ENV/"));
    w->options.profile = "c";
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'c': assume role");
    assert_non_null(strstr(w->asked.data, "Credential=AK/"));
}

static void what_sts_answers_is_checked(void **state) {
    world *w = *state;
    static const struct {
        int32_t status;
        const char *body, *message;
        ci_status wanted;
    } cases[] = {
        {403,
         "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no &amp; no</Message></Error></ErrorResponse>",
         "assume role: STS: HTTP status 403, AccessDenied: no & no", CI_ERR_PERMISSION},
        {503, "busy", "STS: HTTP status 503", CI_ERR_IO},
        {403, "<ErrorResponse><Error><Code>Acc", "STS: HTTP status 403", CI_ERR_PERMISSION},
        {200, "hidden", "STS: syntax error", CI_ERR_PROTOCOL},
        {200, "<a><r><Expiration>2199-01-01T00:00:00Z</Expiration></r></a>", "no Credentials", CI_ERR_PROTOCOL},
        {200, "<a><r><AccessKeyId>hidden</AccessKeyId></r></a>", "no Expiration", CI_ERR_PROTOCOL},
        {200, "<a><r><AccessKeyId>hidden</AccessKeyId><Expiration>2199-01-01T00:00:00Z</Expiration></r></a>",
         "secret access key", CI_ERR_INVALID},
        {200, "<!DOCTYPE a [<!ENTITY x \"hidden\">]><a>&x;</a>", "STS: has a document type", CI_ERR_PROTOCOL},
        {0, "", "nobody answers", CI_ERR_TIMEOUT},
    };
    no_instance(w);
    world_write(w, ".aws/config",
                "[default]\nrole_arn = R\nsource_profile = b\n[profile b]\naws_access_key_id = A\n"
                "aws_secret_access_key = hidden\n");
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_identity_ cii_aws_identity *identity = NULL;
        _cleanup_error_ ci_error *error = NULL;
        w->answers = (const answer[]){{"https://sts.us-east-1.amazonaws.com/", cases[i].status, cases[i].body}, {0}};
        assert_int_equal(world_find(w, &identity, &error), cases[i].wanted);
        if (!strstr(ci_error_message(error), cases[i].message))
            assert_string_equal(ci_error_message(error), cases[i].message);
        assert_null(strstr(ci_error_message(error), "hidden"));
        assert_int_equal(ci_error_http_status(error), cases[i].status == 200 ? 0 : cases[i].status);
    }
}

static void a_role_that_cannot_be_assumed_is_told(void **state) {
    world *w = *state;
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    static const char base[] =
        "role_arn = R\nsource_profile = b\n[profile b]\naws_access_key_id = A\naws_secret_access_key = S\n";
    static const struct {
        const char *more, *message;
        ci_status status;
    } cases[] = {
        {"mfa_serial = m\n", "mfa_serial", CI_ERR_NOTSUP},
        {"duration_seconds = 1h\n", "duration_seconds", CI_ERR_INVALID},
        {"endpoint_url = nonsense\n", "endpoint_url of the profile", CI_ERR_INVALID},
        {"region = a/b\n", "region", CI_ERR_INVALID},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_free_ char *config = cii_str_printf("[default]\n%s%s", cases[i].more, base);
        world_write(w, ".aws/config", config);
        FAILS(cases[i].status, cases[i].message, world_find(w, &identity, &error));
    }
}

static void eight_roles_may_follow_one_another(void **state) {
    world *w = *state;
    static const answer answers[] = {{"https://sts.us-east-1.amazonaws.com/", 200, ROLE_ANSWER("ROLE")}, {0}};
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_buf_ cii_buf chain = {0};
    cii_buf_append_str(&chain, "[profile p0]\naws_access_key_id = A\naws_secret_access_key = S\n");
    for (int i = 1; i <= 9; i++)
        cii_buf_printf(&chain, "[profile p%d]\nrole_arn = R\nsource_profile = p%d\n", i, i - 1);
    world_write(w, ".aws/config", chain.data);
    w->answers = answers;
    w->options.profile = "p8";
    world_finds(w, "ROLE", "S/+", "TOK=", "profile 'p8': assume role");
    assert_int_equal(w->asked_count, 8);
    w->options.profile = "p9";
    FAILS(CI_ERR_LIMIT, "more than 8 roles", world_find(w, &identity, &error));
}

/* --- web identities ----------------------------------------------------------------------------------------------- */

static void a_web_identity_is_exchanged_for_a_role(void **state) {
    world *w = *state;
    static const answer answers[] = {{STS, 200, ROLE_ANSWER("WEB")}, {0}};
    world_set(w, "AWS_WEB_IDENTITY_TOKEN_FILE", world_write(w, "token", "jwt.one+/\n"));
    world_set(w, "AWS_ROLE_ARN", "R");
    world_set(w, "AWS_ROLE_SESSION_NAME", "pod");
    world_set(w, "AWS_REGION", "eu-west-1");
    world_write(w, ".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = S\n");
    w->answers = answers;
    world_finds(w, "WEB", "S/+", "TOK=", "web identity");
    assert_string_equal(w->asked.data,
                        "POST " STS "\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n"
                        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=R&RoleSessionName=pod&"
                        "WebIdentityToken=jwt.one%2B%2F\n\n");
}

static void a_profile_has_a_web_identity_of_its_own(void **state) {
    world *w = *state;
    static const answer answers[] = {{"https://sts.us-east-1.amazonaws.com/", 200, ROLE_ANSWER("WEB")}, {0}};
    world_write(w, "token", "jwt");
    world_write(w, ".aws/config",
                "[profile p]\nrole_arn = P\nweb_identity_token_file = ~/token\nrole_session_name = s\n");
    w->options.profile = "p";
    w->answers = answers;
    world_finds(w, "WEB", "S/+", "TOK=", "profile 'p': web identity");
    assert_non_null(strstr(w->asked.data, "RoleArn=P&RoleSessionName=s&WebIdentityToken=jwt\n"));
}

/* --- SSO ---------------------------------------------------------------------------------------------------------- */

#define PORTAL "https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?role_name=r%20%2B&account_id=123"
#define SESSION                                                                                            \
    "[profile s]\nsso_session = my-sso\nsso_account_id = 123\nsso_role_name = r +\n[sso-session my-sso]\n" \
    "sso_region = eu-west-1\nsso_start_url = https://start.example/\n"
#define LEGACY                                                                                      \
    "[profile s]\nsso_start_url = https://start.example/\nsso_region = eu-west-1\nsso_account_id =" \
    " 123\nsso_role_name = r +\n"
/* The SHA-1 of "my-sso" and of "https://start.example/". */
#define SESSION_FILE ".aws/sso/cache/0ad374308c5a4e22f723adf10145eafad7c4031c.json"
#define LEGACY_FILE ".aws/sso/cache/49125fd26523180d5d8af830007783f37aef2a1e.json"

static void an_sso_session_gives_a_roles_keys(void **state) {
    world *w = *state;
    static const answer answers[] = {{PORTAL, 200,
                                      "{\"roleCredentials\":{\"accessKeyId\":\"AK\",\"secretAccessKey\":\"SEC\","
                                      "\"sessionToken\":\"TOK\",\"expiration\":7226582400000}}"},
                                     {0}};
    static const char token[] = "{\"accessToken\":\"BEARER\",\"expiresAt\":\"2199-01-01T00:00:00Z\"}";
    w->options.profile = "s";
    w->answers = answers;
    world_write(w, ".aws/config", SESSION);
    world_write(w, SESSION_FILE, token);
    world_finds(w, "AK", "SEC", "TOK", "profile 's': SSO");
    assert_string_equal(w->asked.data, "GET " PORTAL "\nx-amz-sso_bearer_token: BEARER\n\n\n");
    world_write(w, ".aws/config", LEGACY);
    world_write(w, LEGACY_FILE, token);
    world_finds(w, "AK", "SEC", "TOK", "profile 's': SSO");
}

static void an_sso_session_that_is_over_is_told(void **state) {
    world *w = *state;
    static const answer refusing[] = {{PORTAL, 401, ""}, {0}};
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    w->options.profile = "s";
    w->answers = refusing;
    world_write(w, ".aws/config", SESSION);
    FAILS(CI_ERR_PERMISSION, "nobody has logged in", world_find(w, &identity, &error));
    world_write(w, SESSION_FILE, "{\"accessToken\":\"hidden\",\"expiresAt\":\"2020-01-01T00:00:00Z\"}");
    FAILS(CI_ERR_PERMISSION, "SSO: the SSO session has expired", world_find(w, &identity, &error));
    world_write(w, SESSION_FILE, "{\"accessToken\":\"a\\nb\",\"expiresAt\":\"2199-01-01T00:00:00Z\"}");
    FAILS(CI_ERR_PERMISSION, "token is none", world_find(w, &identity, &error));
    world_write(w, SESSION_FILE, "{}");
    FAILS(CI_ERR_PERMISSION, "has no token", world_find(w, &identity, &error));
    world_write(w, SESSION_FILE, "{\"accessToken\":\"BEARER\",\"expiresAt\":\"2199-01-01T00:00:00UTC\"}");
    _cleanup_error_ ci_error *told = NULL;
    assert_int_equal(world_find(w, &identity, &told), CI_ERR_PERMISSION);
    assert_string_equal(ci_error_hint(told), "log in: aws sso login");
    world_write(w, ".aws/config", "[profile s]\nsso_session = my-sso\n[sso-session my-sso]\nsso_start_url = u\n");
    FAILS(CI_ERR_INVALID, "sso_region is missing", world_find(w, &identity, &error));
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
    w->answers =
        (const answer[]){{IMDS "api/token", 200, "T"},
                         {IMDS_KEYS "r", 200, "{" KEYS "}"},
                         {IMDS_KEYS, 200, "r"},
                         {STS, 200, ROLE_ANSWER("ROLE")},
                         {"http://169.254.170.2/x", 200, "{" KEYS "}"},
                         {PORTAL, 200, "{\"roleCredentials\":{\"accessKeyId\":\"A\",\"secretAccessKey\":\"S\"}}"},
                         {0}};
    world_write(w, SESSION_FILE, "{\"accessToken\":\"BEARER\",\"expiresAt\":\"2199-01-01T00:00:00Z\"}");
    world_write(w, "token", "jwt");
    world_write(w, ".aws/config",
                SESSION "[profile r]\nrole_arn = R\nsource_profile = i\n[profile i]\nrole_arn = I\n"
                        "credential_source = Ec2InstanceMetadata\n[profile w]\nrole_arn = W\n"
                        "web_identity_token_file = ~/token\n[profile c]\nregion = r\n");
    w->options.region = "eu-west-1";
    for (const char *const *name = (const char *const[]){"s", "r", "w", NULL}; *name; name++) {
        w->options.profile = *name;
        assert_true(failmalloc_each(find_some, w) > 30);
    }
    world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "t");
    w->options.profile = "c";
    assert_true(failmalloc_each(find_some, w) > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_instance_is_asked_for_a_token_its_role_and_keys),
        TEST(an_instance_may_be_elsewhere),
        TEST(what_an_instance_answers_is_checked),
        TEST(without_http_it_is_said),
        TEST(a_container_is_asked_with_its_token),
        cmocka_unit_test(a_container_is_plain_http_beside_this_machine_alone),
        TEST(a_container_that_cannot_be_asked_ends_the_search),
        TEST(a_container_token_cannot_add_headers),
        TEST(a_role_is_assumed_with_another_profiles_keys),
        TEST(roles_are_assumed_one_after_another),
        TEST(a_role_may_begin_at_a_named_source),
        TEST(what_sts_answers_is_checked),
        TEST(a_role_that_cannot_be_assumed_is_told),
        TEST(eight_roles_may_follow_one_another),
        TEST(a_web_identity_is_exchanged_for_a_role),
        TEST(a_profile_has_a_web_identity_of_its_own),
        TEST(an_sso_session_gives_a_roles_keys),
        TEST(an_sso_session_that_is_over_is_told),
        TEST(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
