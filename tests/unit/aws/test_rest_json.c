/* Refusals of AgentCore and of what stands before it: what they are as errors, and what is never told. */
#include "aws/rest_json.h"

#include "../unit.h"
#include "base/utf8.h"
#include "failmalloc.h"

static const cii_aws_keys keys = {"AKIDEXAMPLE", "hidden/secret", "hidden+token"};
static const cii_rest_json_call call = {.domain = "agentcore", .action = "bedrock-agentcore:Invoke", .keys = &keys};
static const cii_rest_json_call of_session = {
    .domain = "agentcore", .action = "bedrock-agentcore:Invoke", .is_of_session = true, .keys = &keys};

/* headers: pairs of name and value, each ended by "\n". */
static ci_status refused(const cii_rest_json_call *c, int32_t status, const char *headers, const char *body,
                         unsigned *ret_correction, ci_error **ret_error) {
    char pairs[500];
    size_t size = strlen(headers);
    assert_true(size < sizeof pairs);
    for (size_t i = 0; i <= size; i++)
        pairs[i] = (char)(headers[i] == '\n' ? '\0' : headers[i]);
    const cii_http_response response = {
        .status = status, .body = body, .body_bytes = strlen(body), .headers = pairs, .headers_bytes = size};
    return cii_rest_json_error(c, &response, ret_correction, ret_error);
}

static ci_status refused_within(const cii_rest_json_call *c, cii_event_kind kind, const char *name, const char *payload,
                                unsigned *ret_correction, ci_error **ret_error) {
    cii_event event = {.kind = kind, .payload = payload, .payload_size = strlen(payload)};
    snprintf(event.name, sizeof event.name, "%s", name);
    return cii_rest_json_event_error(c, &event, "17", ret_correction, ret_error);
}

#define ID "x-amzn-RequestId\n17\n"
#define NAMED(name) ID "x-amzn-ErrorType\n" name "\n"

/* --- what each is ------------------------------------------------------------------------------------------------- */

static void each_refusal_has_its_status_and_says_what_to_do(void **state) {
    (void)state;
    enum { CLOCK = CII_AWS_CORRECT_CLOCK, IDENTITY = CII_AWS_CORRECT_IDENTITY };
    static const struct {
        int32_t http_status;
        const char *name;
        ci_status wanted;
        bool is_retryable;
        unsigned correction;
        const char *hint;
    } cases[] = {
        {400, "ValidationException", CI_ERR_INVALID, false, 0, ""},
        {402, "ServiceQuotaExceededException", CI_ERR_LIMIT, true, 0, "ask AWS for a higher quota"},
        {403, "AccessDeniedException", CI_ERR_PERMISSION, false, 0, "must allow bedrock-agentcore:Invoke"},
        {404, "ResourceNotFoundException", CI_ERR_NOTFOUND, false, 0, "the id and the region"},
        {409, "ConflictException", CI_ERR_BUSY, true, 0, "try again later"},
        {429, "ThrottlingException", CI_ERR_BUSY, true, 0, "with fewer requests at once"},
        {400, "ThrottledException", CI_ERR_BUSY, true, 0, "with fewer requests at once"},
        {500, "InternalServerException", CI_ERR_IO, true, 0, "try again later"},
        {503, "ServiceUnavailableException", CI_ERR_BUSY, true, 0, "try again later"},
        {403, "ExpiredTokenException", CI_ERR_PERMISSION, false, IDENTITY, "get new ones"},
        {403, "UnrecognizedClientException", CI_ERR_PERMISSION, false, IDENTITY, "the access key id"},
        {403, "InvalidSignatureException", CI_ERR_PERMISSION, false, CLOCK,
         "secret access key and the region are right, and set this machine's clock"},
        {403, "RequestTimeTooSkewed", CI_ERR_PERMISSION, false, CLOCK, "set this machine's clock"},
        {403, "MissingAuthenticationTokenException", CI_ERR_PERMISSION, false, 0, "a proxy"},
        {403, "IncompleteSignatureException", CI_ERR_PERMISSION, false, 0, "a proxy"},
        {404, "UnknownOperationException", CI_ERR_NOTSUP, false, 0, "the endpoint"},
        {403, "SomeOtherException", CI_ERR_PERMISSION, false, 0, ""},
        {418, "SomeOtherException", CI_ERR_INVALID, false, 0, ""},
        {500, "SomeOtherException", CI_ERR_IO, true, 0, ""},
        {599, "SomeOtherException", CI_ERR_IO, true, 0, ""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_error_ ci_error *error = NULL;
        char headers[200], message[200];
        unsigned correction = 99;
        snprintf(headers, sizeof headers, NAMED("%s"), cases[i].name);
        snprintf(message, sizeof message, "%s: why (%d, request 17)", cases[i].name, (int)cases[i].http_status);
        assert_int_equal(refused(&call, cases[i].http_status, headers, "{\"message\": \"why\"}", &correction, &error),
                         cases[i].wanted);
        assert_int_equal(ci_error_status(error), cases[i].wanted);
        assert_string_equal(ci_error_message(error), message);
        assert_string_equal(ci_error_domain(error), "agentcore");
        assert_int_equal(ci_error_http_status(error), cases[i].http_status);
        assert_int_equal(ci_error_retryable(error), cases[i].is_retryable);
        assert_int_equal(ci_error_handle_usable(error), 1);
        assert_int_equal(correction, cases[i].correction);
        assert_non_null(strstr(ci_error_hint(error), cases[i].hint));
        assert_int_equal(*ci_error_hint(error) == '\0', *cases[i].hint == '\0');
    }
}

static void a_session_that_is_not_found_is_lost(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL, *within = NULL, *other = NULL, *page = NULL;
    assert_int_equal(refused(&of_session, 404, NAMED("ResourceNotFoundException"), "{}", NULL, &error), CI_ERR_LOST);
    assert_string_equal(ci_error_message(error),
                        "ResourceNotFoundException: there is no such resource (404, request 17)");
    assert_int_equal(ci_error_handle_usable(error), 0);
    assert_int_equal(ci_error_retryable(error), 0);
    assert_non_null(strstr(ci_error_hint(error), "open another session"));
    assert_int_equal(refused_within(&of_session, CII_EVENT_EXCEPTION, "resourceNotFoundException", "{}", NULL, &within),
                     CI_ERR_LOST);
    assert_int_equal(refused(&of_session, 429, NAMED("ThrottlingException"), "{}", NULL, &other), CI_ERR_BUSY);
    assert_int_equal(ci_error_handle_usable(other), 1);
    assert_int_equal(refused(&of_session, 404, "", "<html>", NULL, &page), CI_ERR_NOTFOUND);
    assert_int_equal(ci_error_handle_usable(page), 1);
}

static void a_failure_within_an_answer_is_told_alike(void **state) {
    (void)state;
    static const struct {
        cii_event_kind kind;
        const char *name, *payload, *message;
        ci_status wanted;
    } cases[] = {
        {CII_EVENT_EXCEPTION, "accessDeniedException", "{}", "AccessDeniedException: not allowed (request 17)",
         CI_ERR_PERMISSION},
        {CII_EVENT_EXCEPTION, "conflictException", "{\"message\":\"no\"}", "ConflictException: no (request 17)",
         CI_ERR_BUSY},
        {CII_EVENT_EXCEPTION, "internalServerException", "{}",
         "InternalServerException: the service failed (request 17)", CI_ERR_IO},
        {CII_EVENT_EXCEPTION, "serviceQuotaExceededException", "not JSON",
         "ServiceQuotaExceededException: a quota of the account is used up (request 17)", CI_ERR_LIMIT},
        {CII_EVENT_EXCEPTION, "throttlingException", "{\"message\":\"slow down\"}",
         "ThrottlingException: slow down (request 17)", CI_ERR_BUSY},
        {CII_EVENT_EXCEPTION, "validationException", "{\"Message\":\"bad\"}", "ValidationException: bad (request 17)",
         CI_ERR_INVALID},
        {CII_EVENT_EXCEPTION, "someOtherException", "{\"message\":\"x\"}", "SomeOtherException: x (request 17)",
         CI_ERR_IO},
        {CII_EVENT_ERROR, "InternalFailure", "boom", "InternalFailure: boom (request 17)", CI_ERR_IO},
        {CII_EVENT_ERROR, "Unheard", "{\"message\":\"x\"}", "Unheard: {\"message\":\"x\"} (request 17)", CI_ERR_IO},
        {CII_EVENT_ERROR, "", "", "the service failed (request 17)", CI_ERR_IO},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_error_ ci_error *error = NULL;
        assert_int_equal(refused_within(&call, cases[i].kind, cases[i].name, cases[i].payload, NULL, &error),
                         cases[i].wanted);
        assert_string_equal(ci_error_message(error), cases[i].message);
        assert_int_equal(ci_error_http_status(error), 0);
    }
}

/* --- where it is said --------------------------------------------------------------------------------------------- */

static void the_name_is_of_the_header_or_the_bodys_code_or_its_type(void **state) {
    (void)state;
    static const struct {
        const char *headers, *body;
    } cases[] = {
        {"x-amzn-errortype\nConflictException\n", "{\"code\":\"A\",\"__type\":\"B\"}"},
        {"X-AMZN-ErrorType\nConflictException:http://internal.amazon.com/coral/com.amazon.x/\n", ""},
        {"x-amzn-ErrorType\ncom.amazon.x#ConflictException\n", ""},
        {"x-amzn-ErrorType\naws.x#ConflictException:http://a#b/\n", ""},
        {"x-amzn-ErrorType\nConflictException,AccessDeniedException\n", ""},
        {"", "{\"code\":\"ConflictException\",\"__type\":\"B\"}"},
        {"", "{\"code\":7,\"__type\":\"com.amazon.x#ConflictException\"}"},
        {"", "{\"__type\":\"ConflictException:http://x\"}"},
        {"x-amzn-ErrorType\n\n", "{\"code\":\"conflictException\"}"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_error_ ci_error *error = NULL;
        assert_int_equal(refused(&call, 400, cases[i].headers, cases[i].body, NULL, &error), CI_ERR_BUSY);
        assert_string_equal(ci_error_message(error), "ConflictException: another operation is in its way (400)");
    }
}

static void a_reason_stands_behind_the_name(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(refused_within(&call, CII_EVENT_EXCEPTION, "validationException",
                                    "{\"message\":\"no\",\"reason\":\"IdempotentParameterMismatchException\"}", NULL,
                                    &error),
                     CI_ERR_INVALID);
    assert_string_equal(ci_error_message(error),
                        "ValidationException, IdempotentParameterMismatchException: no (request 17)");
    (void)refused(&call, 400, ID, "{\"reason\":\"CannotParse\"}", NULL, &error);
    assert_string_equal(ci_error_message(error), "the server refused (400, request 17)");
}

static void fields_that_are_wrong_are_named(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL, *many = NULL, *odd = NULL;
    assert_int_equal(refused(&call, 400, NAMED("ValidationException"),
                             "{\"message\":\"not valid\",\"reason\":\"FieldValidationFailed\",\"fieldList\":["
                             "{\"name\":\"arguments.language\",\"message\":\"must be one of\\npython, javascript\"},"
                             "{\"name\":\"name\",\"message\":\"too long\"}]}",
                             NULL, &error),
                     CI_ERR_INVALID);
    assert_string_equal(ci_error_message(error),
                        "ValidationException, FieldValidationFailed: not valid (400, request 17)");
    assert_string_equal(ci_error_hint(error),
                        "correct the fields: arguments.language (must be one of?python, javascript), "
                        "name (too long)");
    char body[4000] = "{\"fieldList\":[";
    for (int i = 0; i < 20; i++)
        snprintf(body + strlen(body), sizeof body - strlen(body), "%s{\"name\":\"f%d\",\"message\":\"m\"}",
                 i > 0 ? "," : "", i);
    snprintf(body + strlen(body), sizeof body - strlen(body), "]}");
    (void)refused(&call, 400, NAMED("ValidationException"), body, NULL, &many);
    assert_non_null(strstr(ci_error_hint(many), "f7 (m)"));
    assert_null(strstr(ci_error_hint(many), "f8"));
    (void)refused(&call, 400, NAMED("ValidationException"), "{\"message\":[],\"fieldList\":{\"name\":1}}", NULL, &odd);
    assert_string_equal(ci_error_message(odd), "ValidationException: the request is not valid (400, request 17)");
    assert_string_equal(ci_error_hint(odd), "");
}

/* --- what is not the service's ------------------------------------------------------------------------------------ */

static void a_page_is_told_by_its_status_alone(void **state) {
    (void)state;
    static const struct {
        int32_t http_status;
        ci_status wanted;
        bool is_retryable;
        const char *message;
    } cases[] = {
        {400, CI_ERR_INVALID, false, "the server refused (400)"},
        {401, CI_ERR_PERMISSION, false, "not allowed (401)"},
        {402, CI_ERR_LIMIT, true, "a quota of the account is used up (402)"},
        {403, CI_ERR_PERMISSION, false, "not allowed (403)"},
        {404, CI_ERR_NOTFOUND, false, "there is nothing at this address (404)"},
        {407, CI_ERR_PERMISSION, false, "a proxy wants to know who asks (407)"},
        {413, CI_ERR_LIMIT, false, "the request is too large (413)"},
        {429, CI_ERR_BUSY, true, "too many requests (429)"},
        {500, CI_ERR_IO, true, "the service failed (500)"},
        {501, CI_ERR_INVALID, false, "the server refused (501)"},
        {502, CI_ERR_IO, true, "the service cannot be reached (502)"},
        {503, CI_ERR_BUSY, true, "the service is busy (503)"},
        {504, CI_ERR_IO, true, "the service did not answer in time (504)"},
    };
    static const char *const bodies[] = {
        "", "<html><body><h1>Bad</h1></body></html>", "{\"message\":", "[1]", "\"x\"", "\xff\xfe"};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++)
        for (size_t j = 0; j < CII_ELEMENTS(bodies); j++) {
            _cleanup_error_ ci_error *error = NULL;
            assert_int_equal(refused(&call, cases[i].http_status, "content-type\ntext/html\n", bodies[j], NULL, &error),
                             cases[i].wanted);
            assert_string_equal(ci_error_message(error), cases[i].message);
            assert_int_equal(ci_error_retryable(error), cases[i].is_retryable);
        }
}

static void words_are_one_line_and_not_endless(void **state) {
    (void)state;
    static char body[3000] = "{\"message\":\"a\\r\\nb";
    _cleanup_error_ ci_error *error = NULL;
    size_t size = strlen(body);
    memset(body + size, 'w', 2000);
    snprintf(body + size + 2000, sizeof body - size - 2000, "\"}");
    (void)refused(&call, 400, NAMED("ValidationException"), body, NULL, &error);
    assert_non_null(strstr(ci_error_message(error), "ValidationException: a  bw"));
    assert_true(strlen(ci_error_message(error)) < 400);
    for (size_t i = 0; i < 400; i++) /* an odd number of bytes, and characters of two */
        memcpy(body + size + 1 + i * 2, "é", 2);
    (void)refused(&call, 400, NAMED("ValidationException"), body, NULL, &error);
    assert_true(cii_utf8_valid(ci_error_message(error), strlen(ci_error_message(error))));
    static char huge[(64 << 10) + 50] = "{\"message\":\"kept\"";
    size = strlen(huge);
    memset(huge + size, ' ', (64 << 10) - size - 1);
    huge[(64 << 10) - 1] = '}';
    (void)refused_within(&call, CII_EVENT_EXCEPTION, "a", huge, NULL, &error);
    assert_string_equal(ci_error_message(error), "A: kept (request 17)");
    memcpy(huge + (64 << 10) - 1, " }", 2);
    (void)refused_within(&call, CII_EVENT_EXCEPTION, "a", huge, NULL, &error);
    assert_string_equal(ci_error_message(error), "A: the service failed (request 17)");
}

static void credentials_are_never_told(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"message\":\"The canonical string should have been x-amz-security-token:hidden+token\"}",
        "{\"message\":\"your secret is hidden/secret\"}",
        "{\"code\":\"hidden+token\"}",
        "{\"code\":\"ValidationException\",\"reason\":\"hidden/secret\"}",
        "{\"message\":\"x\",\"fieldList\":[{\"name\":\"hidden+token\",\"message\":\"m\"},{\"name\":\"n\",\"message\":\"hidden/secret\"}]}",
    };
    for (size_t i = 0; i < CII_ELEMENTS(bodies); i++) {
        _cleanup_error_ ci_error *error = NULL, *within = NULL;
        (void)refused(&call, 403, "x-amzn-requestid\nhidden+token\n", bodies[i], NULL, &error);
        assert_null(strstr(ci_error_message(error), "idden"));
        assert_null(strstr(ci_error_hint(error), "hidden"));
        (void)refused_within(&call, CII_EVENT_ERROR, "hidden+token", bodies[i], NULL, &within);
        assert_null(strstr(ci_error_message(within), "idden"));
    }
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static ci_status refuse_twice(void *user) {
    (void)user;
    _cleanup_error_ ci_error *error = NULL, *within = NULL;
    const char *body = "{\"message\":\"m\",\"fieldList\":[{\"name\":\"n\",\"message\":\"w\"}]}";
    ci_status status = refused(&call, 400, NAMED("ValidationException"), body, NULL, &error);
    ci_status other = refused_within(&call, CII_EVENT_ERROR, "InternalFailure", "boom", NULL, &within);
    assert_true(status == CI_ERR_INVALID || status == CI_ERR_NOMEM);
    assert_true(other == CI_ERR_IO || other == CI_ERR_NOMEM);
    assert_true(error != NULL && within != NULL);
    return status == CI_ERR_INVALID && other == CI_ERR_IO ? CI_OK : CI_ERR_NOMEM;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(failmalloc_each(refuse_twice, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_has_its_status_and_says_what_to_do),
        cmocka_unit_test(a_session_that_is_not_found_is_lost),
        cmocka_unit_test(a_failure_within_an_answer_is_told_alike),
        cmocka_unit_test(the_name_is_of_the_header_or_the_bodys_code_or_its_type),
        cmocka_unit_test(a_reason_stands_behind_the_name),
        cmocka_unit_test(fields_that_are_wrong_are_named),
        cmocka_unit_test(a_page_is_told_by_its_status_alone),
        cmocka_unit_test(words_are_one_line_and_not_endless),
        cmocka_unit_test(credentials_are_never_told),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
