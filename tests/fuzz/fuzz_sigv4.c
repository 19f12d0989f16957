/* Any bytes as a request: the first says how the service is, then a line each: a path ("/…"), parameters ("?NAME=VALUE"),
 * headers (":NAME:VALUE"), a token ("$TOKEN"). What is signed can be sent, says what was asked for, and is signed alike
 * again. */
#include <string.h>

#include "aws/sigv4.h"
#include "fuzz.h"

typedef struct input {
    unsigned flags;
    cii_aws_pair query[CII_SIGV4_PAIRS_MAX + 1], headers[CII_SIGV4_PAIRS_MAX + 1];
    cii_sigv4_request request;
    cii_aws_keys keys;
} input;

/* Splits at the first of `mark`; without one the rest is empty. */
static char *split(char *text, char mark) {
    char *at = strchr(text, mark);
    if (!at)
        return text + strlen(text);
    *at = '\0';
    return at + 1;
}

static void read_line(input *in, char *line) {
    cii_sigv4_request *r = &in->request;
    if (*line == '/') {
        r->path = line;
        r->path_size = strlen(line);
    } else if (*line == '?' && r->query_count <= CII_SIGV4_PAIRS_MAX) {
        char *value = split(line, '=');
        in->query[r->query_count++] = (cii_aws_pair){line + 1, value};
    } else if (*line == ':' && r->header_count <= CII_SIGV4_PAIRS_MAX) {
        char *value = split(++line, ':');
        in->headers[r->header_count++] = (cii_aws_pair){line, value};
    } else if (*line == '$') {
        in->keys.token = line + 1;
    }
}

static void read_input(input *in, char *text) {
    *in = (input){.flags = *text ? *text & 7u : 0, .keys = {"id", "secret", NULL}};
    in->request = (cii_sigv4_request){.method = "GET", .host = "host:1", .query = in->query, .headers = in->headers};
    for (char *line = text; *line;) {
        char *next = split(line, '\n');
        read_line(in, line);
        line = next;
    }
}

static int hex_digit(char c) {
    const char *digits = "0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Reads one byte back, which must be there; the rest is returned. */
static const char *decoded(const char *text, unsigned char wanted) {
    if (*text != '%') {
        FUZZ_CHECK((unsigned char)*text == wanted);
        return text + 1;
    }
    FUZZ_CHECK(hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0);
    FUZZ_CHECK(hex_digit(text[1]) * 16 + hex_digit(text[2]) == wanted);
    return text + 3;
}

static void check_target(const input *in, const cii_sigv4_signed *s) {
    const char *target = s->target;
    for (const char *p = target; *p; p++)
        FUZZ_CHECK(*p > ' ' && *p < 0x7f && *p != '#');
    FUZZ_CHECK(*target == '/');
    if (in->flags & CII_SIGV4_PATH_ENCODED)
        FUZZ_CHECK(strncmp(target, in->request.path_size ? in->request.path : "/", in->request.path_size) == 0);
    else
        for (size_t i = 0; i < in->request.path_size; i++)
            target = decoded(target, (unsigned char)in->request.path[i]);
    size_t parameters = 0;
    for (const char *p = strchr(s->target, '?'); p; p = strchr(p + 1, '&'))
        parameters++;
    FUZZ_CHECK(parameters == in->request.query_count);
}

static void check_headers(const input *in, const cii_sigv4_signed *s) {
    FUZZ_CHECK(strlen(s->signature) == 64 && strstr(s->signed_headers, "host") != NULL);
    for (size_t i = 0; i < s->header_count; i++)
        FUZZ_CHECK(s->headers[i].value[strcspn(s->headers[i].value, "\r\n")] == '\0');
    FUZZ_CHECK(strcmp(s->headers[s->header_count - 1].name, "Authorization") == 0);
    for (size_t i = 0; i < in->request.header_count; i++)
        FUZZ_CHECK(in->request.headers[i].name[strcspn(in->request.headers[i].name, "\r\n: ")] == '\0');
}

static void try_request(const input *in, cii_sigv4 *signer) {
    cii_sigv4_signed s = {0}, again = {0};
    ci_error *error = NULL;
    ci_status status = cii_sigv4_sign(signer, &in->request, &in->keys, 1369353600, &s, &error);
    FUZZ_CHECK(status == CI_OK || status == CI_ERR_INVALID || status == CI_ERR_LIMIT);
    FUZZ_CHECK(ci_error_status(error) == status);
    if (status == CI_OK) {
        check_target(in, &s);
        check_headers(in, &s);
        FUZZ_CHECK(cii_sigv4_sign(signer, &in->request, &in->keys, 1369353600, &again, NULL) == CI_OK);
        FUZZ_CHECK(strcmp(s.signature, again.signature) == 0 && strcmp(s.target, again.target) == 0);
    } else {
        FUZZ_CHECK(s.header_count == 0 && *s.target == '\0');
    }
    FUZZ_CHECK(cii_sigv4_presign(signer, &in->request, &in->keys, 1369353600, 60, &s, NULL) == status);
    if (status == CI_OK)
        FUZZ_CHECK(strcmp(s.target + strlen(s.target) - 64, s.signature) == 0);
    cii_sigv4_signed_free(&s);
    cii_sigv4_signed_free(&again);
    ci_error_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static input in;
    cii_sigv4 *signer = NULL;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    read_input(&in, text);
    FUZZ_CHECK(cii_sigv4_new("us-east-1", "s3", in.flags, &signer, NULL) == CI_OK);
    try_request(&in, signer);
    cii_sigv4_free(signer);
    free(text);
    return 0;
}
