/* Signature Version 4: published examples, the answers of another signer, and what must not be signed. */
#include "../unit.h"

#include <fcntl.h>
#include <pthread.h>

#include "aws/sigv4.h"
#include "base/json.h"
#include "base/str.h"
#include "failmalloc.h"
#include "os/fd.h"

#define EXAMPLE_TIME 1369353600 /* 2013-05-24T00:00:00Z */

static const cii_aws_keys example_keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};

static cii_sigv4 *new_signer(const char *region, const char *service, unsigned flags) {
    cii_sigv4 *signer;
    assert_int_equal(cii_sigv4_new(region, service, flags, &signer, NULL), CI_OK);
    return signer;
}

static const char *header(const cii_sigv4_signed *s, const char *name) {
    for (size_t i = 0; i < s->header_count; i++)
        if (strcasecmp(s->headers[i].name, name) == 0)
            return s->headers[i].value;
    return "";
}

/* --- published examples ------------------------------------------------------------------------------------------- */

static void the_examples_of_the_s3_documentation(void **state) {
    (void)state;
    static const cii_aws_pair range[] = {{"Range", "bytes=0-9"}};
    static const cii_aws_pair put[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    static const cii_aws_pair lifecycle[] = {{"lifecycle", NULL}}, list[] = {{"prefix", "J"}, {"max-keys", "2"}};
    char hash[65];
    assert_int_equal(cii_sigv4_hash("Welcome to Amazon S3.", 21, hash), CI_OK);
    const struct {
        cii_sigv4_request request;
        const char *target, *signature;
    } examples[] = {
        {{.method = "GET", .path = "/test.txt", .path_size = 9, .headers = range, .header_count = 1},
         "/test.txt",
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {{.method = "PUT",
          .path = "/test$file.text",
          .path_size = 15,
          .headers = put,
          .header_count = 2,
          .payload_hash = hash},
         "/test%24file.text",
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {{.method = "GET", .query = lifecycle, .query_count = 1},
         "/?lifecycle=",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {{.method = "GET", .query = list, .query_count = 2},
         "/?max-keys=2&prefix=J",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    for (size_t i = 0; i < CII_ELEMENTS(examples); i++) {
        cii_sigv4_request request = examples[i].request;
        request.host = "examplebucket.s3.amazonaws.com";
        assert_int_equal(cii_sigv4_sign(signer, &request, &example_keys, EXAMPLE_TIME, &s, NULL), CI_OK);
        assert_string_equal(s.signature, examples[i].signature);
        assert_string_equal(s.target, examples[i].target);
    }
    cii_sigv4_request get = {
        .method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = "/test.txt", .path_size = 9};
    assert_int_equal(cii_sigv4_presign(signer, &get, &example_keys, EXAMPLE_TIME, 86400, &s, NULL), CI_OK);
    assert_string_equal(s.signature, "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    assert_string_equal(s.target, "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
                                  "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires="
                                  "86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f9953"
                                  "30da4c265957d157751f604d404");
}

/* The services' common suite (aws-sig-v4-test-suite), which is for a service that normalises its paths. Lines that continue
 * a header cannot be sent: there they are headers of the same name. */
static void the_common_suite(void **state) {
    (void)state;
#define FORM "Param1=value1"
#define SUITE_TOKEN                                                                                                  \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUu" \
    "wthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQ"  \
    "cHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR"  \
    "/oLxBA=="
    static const struct {
        const char *name, *method, *path;
        cii_aws_pair query[2], headers[4];
        const char *body, *token, *signature;
    } cases[] = {
        {"get-vanilla", "GET", "/", .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-vanilla-query-order-key-case", "GET", "/", .query = {{"Param2", "value2"}, {"Param1", "value1"}},
         .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"get-vanilla-query-order-key", "GET", "/", .query = {{"Param1", "value2"}, {"Param1", "Value1"}},
         .signature = "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
        {"get-vanilla-query-order-value", "GET", "/", .query = {{"Param1", "value2"}, {"Param1", "value1"}},
         .signature = "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
        {"get-vanilla-empty-query-key", "GET", "/", .query = {{"Param1", "value1"}},
         .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
        {"get-vanilla-query-unreserved", "GET", "/",
         .query = {{"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}},
         .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
        {"get-vanilla-utf8-query", "GET", "/", .query = {{"\xe1\x88\xb4", "bar"}},
         .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
        {"get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
         .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
        {"get-utf8", "GET", "/\xe1\x88\xb4",
         .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"get-space", "GET", "/example space/",
         .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
        {"get-relative", "GET", "/example/..",
         .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-relative-relative", "GET", "/example1/example2/../..",
         .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-slash", "GET", "//", .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-slash-dot-slash", "GET", "/./",
         .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-slash-pointless-dot", "GET", "/./example",
         .signature = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
        {"get-slashes", "GET", "//example//",
         .signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
        {"get-header-key-duplicate", "GET", "/",
         .headers = {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
         .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
        {"get-header-value-order", "GET", "/",
         .headers =
             {{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}},
         .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
        {"get-header-value-multiline", "GET", "/",
         .headers = {{"My-Header1", "value1"}, {"My-Header1", "value2"}, {"My-Header1", "value3"}},
         .signature = "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
        {"get-header-value-trim", "GET", "/", .headers = {{"My-Header1", "  value1"}, {"My-Header2", " \"a   b   c\""}},
         .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
        {"post-vanilla", "POST", "/", .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"post-vanilla-query", "POST", "/", .query = {{"Param1", "value1"}},
         .signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
        {"post-header-key-sort", "POST", "/", .headers = {{"My-Header1", "value1"}},
         .signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
        {"post-header-value-case", "POST", "/", .headers = {{"My-Header1", "VALUE1"}},
         .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
        {"post-x-www-form-urlencoded", "POST", "/", .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
         .body = FORM, .signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
        {"post-x-www-form-urlencoded-parameters", "POST", "/",
         .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}}, .body = FORM,
         .signature = "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
        {"post-sts-header-before", "POST", "/", .token = SUITE_TOKEN,
         .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    };
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "service", CII_SIGV4_NORMALIZE);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        const cii_aws_keys keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", cases[i].token};
        char hash[65];
        size_t query_count = 0, header_count = 0;
        while (query_count < 2 && cases[i].query[query_count].name)
            query_count++;
        while (header_count < 4 && cases[i].headers[header_count].name)
            header_count++;
        cii_sigv4_hash(cases[i].body, cases[i].body ? strlen(cases[i].body) : 0, hash);
        const cii_sigv4_request r = {.method = cases[i].method,
                                     .host = "example.amazonaws.com",
                                     .path = cases[i].path,
                                     .path_size = strlen(cases[i].path),
                                     .query = cases[i].query,
                                     .query_count = query_count,
                                     .headers = cases[i].headers,
                                     .header_count = header_count,
                                     .payload_hash = hash};
        assert_int_equal(cii_sigv4_sign(signer, &r, &keys, 1440938160, &s, NULL), CI_OK);
        if (strcmp(s.signature, cases[i].signature) != 0)
            fail_msg("%s: %s, not %s", cases[i].name, s.signature, cases[i].signature);
    }
}

static void what_is_sent_for_s3(void **state) {
    (void)state;
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    cii_sigv4_request r = {.method = "GET", .host = "localhost:8000", .payload_hash = CII_SIGV4_UNSIGNED_PAYLOAD};
    cii_aws_keys keys = example_keys;
    keys.token = "TOKEN";
    assert_int_equal(cii_sigv4_sign(signer, &r, &keys, EXAMPLE_TIME, &s, NULL), CI_OK);
    assert_int_equal(s.header_count, 5);
    assert_string_equal(header(&s, "host"), "localhost:8000");
    assert_string_equal(header(&s, "x-amz-date"), "20130524T000000Z");
    assert_string_equal(header(&s, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_string_equal(header(&s, "x-amz-security-token"), "TOKEN");
    _cleanup_free_ char *wanted =
        cii_str_printf("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                       "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=%s",
                       s.signature);
    assert_string_equal(header(&s, "authorization"), wanted);
}

/* Of the service that encodes its path twice; made by a third signer. */
static void requests_of_another_service(void **state) {
    (void)state;
    static const char body[] =
        "{\"name\":\"executeCode\",\"arguments\":{\"code\":\"print(1)\",\"language\":\"python\"}}";
    static const cii_aws_pair headers[] = {{"content-type", "application/json"},
                                           {"x-amzn-code-interpreter-session-id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}};
    static const cii_aws_pair query[] = {{"sessionId", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}};
    static const char post_path[] = "/code-interpreters/aws.codeinterpreter.v1/tools/invoke";
    static const char get_path[] = "/code-interpreters/a%20b%2Fc/sessions/get";
    const char *const wanted[2][2] = {{"0582b83e2828854ba551a892b8e95cace7cdcf8e633d9e49d8f65d7ae571bb54",
                                       "baffea4823e8debf1aefbcad201f6542fb0ae059c314b520779adca89468bc16"},
                                      {"5386a36f5801571d958fcbbe2c87a3bc3cab4071cad3f96f2707c018358915e0",
                                       "565569dd086875637c1b44c15bb50c52ffe1537f664f345e559a090a0ff00101"}};
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "bedrock-agentcore", CII_SIGV4_OTHERS);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    char hash[65];
    cii_sigv4_hash(body, strlen(body), hash);
    cii_sigv4_request post = {.method = "POST",
                              .host = "bedrock-agentcore.us-east-1.amazonaws.com",
                              .path = post_path,
                              .path_size = strlen(post_path),
                              .headers = headers,
                              .header_count = 2,
                              .payload_hash = hash};
    cii_sigv4_request get = {.method = "GET",
                             .host = post.host,
                             .path = get_path,
                             .path_size = strlen(get_path),
                             .query = query,
                             .query_count = 1};
    for (int with_token = 0; with_token < 2; with_token++) {
        cii_aws_keys keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                             with_token ? "TOKENEXAMPLE" : NULL};
        assert_int_equal(cii_sigv4_sign(signer, &post, &keys, 1440938160, &s, NULL), CI_OK);
        assert_string_equal(s.signature, wanted[with_token][0]);
        assert_string_equal(header(&s, "x-amz-content-sha256"), "");
        assert_int_equal(cii_sigv4_sign(signer, &get, &keys, 1440938160, &s, NULL), CI_OK);
        assert_string_equal(s.signature, wanted[with_token][1]);
        assert_string_equal(s.target, "/code-interpreters/a%20b%2Fc/sessions/get?sessionId=01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }
}

/* Proxies rewrite the one, nobody the other. */
static void of_trace_headers_the_one_of_the_w3c_is_signed(void **state) {
    (void)state;
    static const cii_aws_pair headers[] = {{"X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793"},
                                           {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
                                           {"x-amzn-code-interpreter-session-id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}};
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "bedrock-agentcore", CII_SIGV4_OTHERS);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    const cii_sigv4_request r = {.method = "GET", .host = "h", .headers = headers, .header_count = 3};
    assert_int_equal(cii_sigv4_sign(signer, &r, &example_keys, 0, &s, NULL), CI_OK);
    assert_string_equal(s.signed_headers, "host;traceparent;x-amz-date;x-amzn-code-interpreter-session-id");
}

/* --- another signer's answers ------------------------------------------------------------------------------------- */

static const char *text_of(const cii_json *object, const char *key, const char *otherwise) {
    const char *text = cii_json_text_of(cii_json_get(object, key), NULL);
    return text ? text : otherwise;
}

static size_t read_pairs(const cii_json *list, cii_aws_pair *ret_pairs) {
    for (size_t i = 0; i < cii_json_count(list); i++) {
        const cii_json *pair = cii_json_at(list, i);
        ret_pairs[i].name = cii_json_text_of(cii_json_at(pair, 0), NULL);
        ret_pairs[i].value = cii_json_text_of(cii_json_at(pair, 1), NULL);
    }
    return cii_json_count(list);
}

static size_t read_path(const cii_json *c, char *ret_path) {
    size_t size = 0;
    const char *hex = text_of(c, "path_hex", NULL), *text = cii_json_text_of(cii_json_get(c, "path"), &size);
    if (!hex) {
        memcpy(ret_path, text, size);
        return size;
    }
    for (; hex[2 * size]; size++) {
        char digits[3] = {hex[2 * size], hex[2 * size + 1], '\0'};
        ret_path[size] = (char)strtoul(digits, NULL, 16);
    }
    return size;
}

static void compare_case(const cii_json *c, const char *secret, int64_t now_s) {
    char path[CII_SIGV4_PATH_MAX], hash[65];
    cii_aws_pair query[16], headers[16];
    const char *body = text_of(c, "body", ""), *service = text_of(c, "service", "s3");
    cii_aws_keys keys = {text_of(c, "id", "AKIAIOSFODNN7EXAMPLE"), secret, text_of(c, "token", NULL)};
    int64_t expires_s = cii_json_int_of(cii_json_get(c, "expires"));
    _cleanup_signed_ cii_sigv4_signed s = {0};
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer(text_of(c, "region", "us-east-1"), service,
                                                   strcmp(service, "s3") == 0 ? CII_SIGV4_S3 : CII_SIGV4_OTHERS);
    cii_sigv4_hash(body, strlen(body), hash);
    cii_sigv4_request r = {.method = text_of(c, "method", "GET"),
                           .host = text_of(c, "host", "127.0.0.1:8000"),
                           .path = path,
                           .path_size = read_path(c, path),
                           .query = query,
                           .query_count = read_pairs(cii_json_get(c, "query"), query),
                           .headers = headers,
                           .header_count = read_pairs(cii_json_get(c, "headers"), headers)};
    if (expires_s > 0) {
        assert_int_equal(cii_sigv4_presign(signer, &r, &keys, now_s, expires_s, &s, NULL), CI_OK);
        assert_true(cii_str_ends(s.target, s.signature));
    } else {
        r.payload_hash = cii_json_bool_of(cii_json_get(c, "unsigned")) ? CII_SIGV4_UNSIGNED_PAYLOAD : hash;
        assert_int_equal(cii_sigv4_sign(signer, &r, &keys, now_s, &s, NULL), CI_OK);
        assert_string_equal(s.target, text_of(c, "target", "?"));
    }
    assert_string_equal(s.signed_headers, text_of(c, "signed_headers", "?"));
    if (strcmp(s.signature, text_of(c, "signature", "?")) != 0)
        fail_msg("%s: another signature", text_of(c, "name", "?"));
}

static void other_signers_say_the_same(void **state) {
    (void)state;
    size_t size;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, TEST_DATA "/sigv4.json", 1 << 20, &size);
    _cleanup_json_ cii_json *root = NULL;
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    const cii_json *cases = cii_json_get(root, "cases");
    assert_true(cii_json_count(cases) > 200);
    for (size_t i = 0; i < cii_json_count(cases); i++)
        compare_case(cii_json_at(cases, i), text_of(root, "secret", ""), cii_json_int_of(cii_json_get(root, "time")));
}

/* --- paths that are given unencoded and normalised, as the services' common suite has them ------------------------ */

static void a_path_that_is_normalised_is_sent_as_it_was_given(void **state) {
    (void)state;
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "service", CII_SIGV4_NORMALIZE);
    _cleanup_signed_ cii_sigv4_signed one = {0}, other = {0};
    cii_sigv4_request r = {.method = "GET", .host = "h", .path = "/a/./b c//d/../", .path_size = 15};
    cii_sigv4_request plain = {.method = "GET", .host = "h", .path = "/a/b c/", .path_size = 7};
    assert_int_equal(cii_sigv4_sign(signer, &r, &example_keys, 0, &one, NULL), CI_OK);
    assert_int_equal(cii_sigv4_sign(signer, &plain, &example_keys, 0, &other, NULL), CI_OK);
    assert_string_equal(one.target, "/a/./b%20c//d/../");
    assert_string_equal(one.signature, other.signature);
    assert_string_equal(header(&one, "x-amz-date"), "19700101T000000Z");
}

/* --- the key that is kept ----------------------------------------------------------------------------------------- */

static void keep(cii_sigv4 *signer, const cii_aws_keys *keys, int64_t now_s, char ret_signature[65]) {
    _cleanup_signed_ cii_sigv4_signed s = {0};
    cii_sigv4_request r = {.method = "GET", .host = "h"};
    assert_int_equal(cii_sigv4_sign(signer, &r, keys, now_s, &s, NULL), CI_OK);
    memcpy(ret_signature, s.signature, 65);
}

static void the_kept_key_follows_the_day_and_the_secret(void **state) {
    (void)state;
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    cii_aws_keys other = {example_keys.id, "another secret", NULL};
    const cii_aws_keys *keys[] = {&example_keys, &example_keys, &other, &other};
    const int64_t times[] = {EXAMPLE_TIME, EXAMPLE_TIME + 86400, EXAMPLE_TIME + 86400, EXAMPLE_TIME};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < CII_ELEMENTS(times); i++) {
            char kept[65], fresh[65];
            _cleanup_sigv4_ cii_sigv4 *anew = new_signer("us-east-1", "s3", CII_SIGV4_S3);
            keep(signer, keys[i], times[i], kept);
            keep(anew, keys[i], times[i], fresh);
            assert_string_equal(kept, fresh);
        }
}

typedef struct task {
    cii_sigv4 *signer;
    cii_aws_keys keys;
    char wanted[65];
    int differing;
} task;

static void *sign_often(void *user) {
    task *t = user;
    _cleanup_signed_ cii_sigv4_signed s = {0};
    cii_sigv4_request r = {.method = "GET", .host = "h"};
    for (int i = 0; i < 2000; i++)
        if (cii_sigv4_sign(t->signer, &r, &t->keys, EXAMPLE_TIME, &s, NULL) != CI_OK ||
            strcmp(s.signature, t->wanted) != 0)
            t->differing++;
    return NULL;
}

static void threads_share_a_signer(void **state) {
    (void)state;
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    task tasks[4] = {
        {.keys = example_keys}, {.keys = {"id", "other", "t"}}, {.keys = example_keys}, {.keys = {"i", "s", 0}}};
    pthread_t threads[CII_ELEMENTS(tasks)];
    for (size_t i = 0; i < CII_ELEMENTS(tasks); i++) {
        tasks[i].signer = signer;
        keep(signer, &tasks[i].keys, EXAMPLE_TIME, tasks[i].wanted);
    }
    for (size_t i = 0; i < CII_ELEMENTS(tasks); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &tasks[i]), 0);
    for (size_t i = 0; i < CII_ELEMENTS(tasks); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(tasks[i].differing, 0);
    }
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void what_cannot_be_sent_is_refused(void **state) {
    (void)state;
    static const cii_aws_pair line[] = {{"x-amz-meta-a", "b\r\nEvil: 1"}}, name[] = {{"a b", "c"}},
                              mine[] = {{"HOST", "c"}};
    static const cii_aws_pair many[CII_SIGV4_PAIRS_MAX + 1];
    const struct {
        const char *text;
        ci_status status;
        cii_sigv4_request request;
        cii_aws_keys keys;
    } cases[] = {
        {"method", CI_ERR_INVALID, {.method = "GET /", .host = "h"}, example_keys},
        {"host", CI_ERR_INVALID, {.method = "GET", .host = ""}, example_keys},
        {"host", CI_ERR_INVALID, {.method = "GET", .host = "a\r\nb"}, example_keys},
        {"host", CI_ERR_INVALID, {.method = "GET", .host = "a@b"}, example_keys},
        {"payload_hash", CI_ERR_INVALID, {.method = "GET", .host = "h", .payload_hash = "abc"}, example_keys},
        {"path", CI_ERR_INVALID, {.method = "GET", .host = "h", .path = "a", .path_size = 1}, example_keys},
        {"path", CI_ERR_LIMIT, {.method = "GET", .host = "h", .path = "/", .path_size = 8193}, example_keys},
        {"x-amz-meta-a",
         CI_ERR_INVALID,
         {.method = "GET", .host = "h", .headers = line, .header_count = 1},
         example_keys},
        {"a b", CI_ERR_INVALID, {.method = "GET", .host = "h", .headers = name, .header_count = 1}, example_keys},
        {"HOST", CI_ERR_INVALID, {.method = "GET", .host = "h", .headers = mine, .header_count = 1}, example_keys},
        {"65 parameters", CI_ERR_LIMIT, {.method = "GET", .host = "h", .query = many, .query_count = 65}, example_keys},
        {"access key id", CI_ERR_INVALID, {.method = "GET", .host = "h"}, {"", "s", NULL}},
        {"access key id", CI_ERR_INVALID, {.method = "GET", .host = "h"}, {"a,b", "s", NULL}},
        {"secret access key", CI_ERR_INVALID, {.method = "GET", .host = "h"}, {"a", NULL, NULL}},
        {"session token", CI_ERR_INVALID, {.method = "GET", .host = "h"}, {"a", "s", "t\r\nx: y"}},
    };
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        FAILS(cases[i].status, cases[i].text,
              cii_sigv4_sign(signer, &cases[i].request, &cases[i].keys, EXAMPLE_TIME, &s, &error));
        assert_string_equal(s.target, "");
        assert_int_equal(s.header_count, 0);
    }
    cii_sigv4_request good = {.method = "GET", .host = "h"};
    FAILS(CI_ERR_INVALID, "expires", cii_sigv4_presign(signer, &good, &example_keys, 0, 604801, &s, &error));
    FAILS(CI_ERR_INVALID, "time", cii_sigv4_sign(signer, &good, &example_keys, INT64_MAX, &s, &error));
    FAILS(CI_ERR_INVALID, "region", cii_sigv4_new("a/b", "s3", 0, &signer, &error));
    FAILS(CI_ERR_INVALID, "service", cii_sigv4_new("a", "", 0, &signer, &error));
    _cleanup_sigv4_ cii_sigv4 *other = new_signer("us-east-1", "sts", CII_SIGV4_OTHERS);
    cii_sigv4_request raw = {.method = "GET", .host = "h", .path = "/a b", .path_size = 4};
    FAILS(CI_ERR_INVALID, "path", cii_sigv4_sign(other, &raw, &example_keys, 0, &s, &error));
}

static void a_message_has_no_secret(void **state) {
    (void)state;
    _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", CII_SIGV4_S3);
    _cleanup_signed_ cii_sigv4_signed s = {0};
    _cleanup_error_ ci_error *error = NULL;
    cii_sigv4_request r = {.method = "GET", .host = "h"};
    cii_aws_keys keys = {"id\n", "hidden-1", "hidden-2\n"};
    assert_int_equal(cii_sigv4_sign(signer, &r, &keys, 0, &s, &error), CI_ERR_INVALID);
    assert_null(strstr(ci_error_message(error), "hidden"));
    keys.id = "id";
    assert_int_equal(cii_sigv4_sign(signer, &r, &keys, 0, &s, &error), CI_ERR_INVALID);
    assert_null(strstr(ci_error_message(error), "hidden"));
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* The buffers have not grown while they were written: else what points into them would point elsewhere. */
static void points_into_its_text(const cii_sigv4_signed *s) {
    const char *start = s->text.data, *end = start + s->text.size;
    assert_true(s->target >= start && s->target < end);
    assert_true(s->signed_headers >= start && s->signed_headers < end);
    for (size_t i = 0; i < s->header_count; i++)
        assert_true(s->headers[i].value >= start && s->headers[i].value < end);
    assert_int_equal(strlen(s->signature), 64);
}

static void large_requests_fit(void **state) {
    (void)state;
    static char path[CII_SIGV4_PATH_MAX], name[500], value[24000], token[8000];
    cii_aws_pair query[CII_SIGV4_PAIRS_MAX], headers[CII_SIGV4_PAIRS_MAX];
    memset(path, '%', sizeof path);
    path[0] = '/';
    memset(name, 'N', sizeof name - 1);
    for (size_t size = 1; size < sizeof value; size += 1999)
        for (unsigned flags = 0; flags < 8; flags++) {
            memset(value, '\xff', size);
            memset(token, '%', size / 3);
            for (size_t i = 0; i < CII_SIGV4_PAIRS_MAX; i++) {
                query[i] = (cii_aws_pair){"%", i == 0 ? value : "%"};
                headers[i] = (cii_aws_pair){name, "a"};
            }
            cii_aws_keys keys = {"%%%%", "s", token};
            cii_sigv4_request r = {.method = "GET",
                                   .host = "h",
                                   .path = path,
                                   .path_size = sizeof path,
                                   .query = query,
                                   .query_count = CII_SIGV4_PAIRS_MAX,
                                   .headers = headers,
                                   .header_count = size % 2 ? CII_SIGV4_PAIRS_MAX : 0};
            _cleanup_sigv4_ cii_sigv4 *signer = new_signer("us-east-1", "s3", flags);
            _cleanup_signed_ cii_sigv4_signed one = {0}, other = {0};
            assert_int_equal(cii_sigv4_sign(signer, &r, &keys, 0, &one, NULL), CI_OK);
            points_into_its_text(&one);
            assert_int_equal(cii_sigv4_presign(signer, &r, &keys, 0, 60, &other, NULL), CI_OK);
            points_into_its_text(&other);
        }
}

static ci_status sign_and_presign(void *user) {
    (void)user;
    _cleanup_sigv4_ cii_sigv4 *signer = NULL;
    _cleanup_signed_ cii_sigv4_signed s = {0};
    _cleanup_error_ ci_error *error = NULL;
    cii_sigv4_request r = {.method = "GET", .host = "h", .path = "/a", .path_size = 2};
    ci_status status = cii_sigv4_new("us-east-1", "s3", CII_SIGV4_S3, &signer, &error);
    if (status == CI_OK)
        status = cii_sigv4_sign(signer, &r, &example_keys, 0, &s, &error);
    if (status == CI_OK)
        status = cii_sigv4_presign(signer, &r, &example_keys, 0, 60, &s, &error);
    assert_int_equal(ci_error_status(error), status);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(failmalloc_each(sign_and_presign, NULL), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_s3_documentation),
        cmocka_unit_test(the_common_suite),
        cmocka_unit_test(what_is_sent_for_s3),
        cmocka_unit_test(requests_of_another_service),
        cmocka_unit_test(of_trace_headers_the_one_of_the_w3c_is_signed),
        cmocka_unit_test(other_signers_say_the_same),
        cmocka_unit_test(a_path_that_is_normalised_is_sent_as_it_was_given),
        cmocka_unit_test(the_kept_key_follows_the_day_and_the_secret),
        cmocka_unit_test(threads_share_a_signer),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(a_message_has_no_secret),
        cmocka_unit_test(large_requests_fit),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
