/* The floor of S3's figures: what a bare libcurl loop needs, with curl's own signer and without a hash of what is sent.
 *
 *     bench_s3_floor put FOLDER COUNT BUCKET/PREFIX    files 0000, 0001, … by 8 connections
 *     bench_s3_floor list BUCKET PREFIX                pages of 1,000, one after the other; prints the number of keys
 *     bench_s3_floor unchanged FOLDER COUNT BUCKET PREFIX    SHA-256 of each file and a list, one after the other; answers each
 *                                                      line of stdin with the microseconds that it took
 *
 * Server and keys as AWS's clients read them from the environment. */
#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

enum { PARALLEL = 8, PAGE_MAX = 1 << 20, FILE_MAX = 1 << 20 };

static struct curl_slist *headers;
static char user[512];

static void must(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static CURL *handle_new(void) {
    CURL *easy = curl_easy_init();
    must(easy != NULL, "no handle");
    curl_easy_setopt(easy, CURLOPT_USERPWD, user);
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    return easy;
}

static void set_url(CURL *easy, const char *target) {
    _cleanup_free_ char *url = cii_str_printf("%s/%s", getenv("AWS_ENDPOINT_URL_S3"), target);
    curl_easy_setopt(easy, CURLOPT_URL, url);
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

static size_t drop(char *data, size_t size, size_t count, void *of) {
    (void)data;
    (void)of;
    return size * count;
}

static FILE *open_numbered(const char *folder, unsigned number) {
    _cleanup_free_ char *path = cii_str_printf("%s/%04u", folder, number);
    FILE *file = fopen(path, "rb");
    must(file != NULL, path);
    return file;
}

static void begin(CURLM *multi, CURL *easy, const char *folder, unsigned number, const char *target) {
    _cleanup_free_ char *name = cii_str_printf("%s/%04u", target, number);
    FILE *file = open_numbered(folder, number);
    must(fseek(file, 0, SEEK_END) == 0, "seek");
    curl_easy_setopt(easy, CURLOPT_INFILESIZE, ftell(file));
    rewind(file);
    set_url(easy, name);
    curl_easy_setopt(easy, CURLOPT_READDATA, file);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, file);
    curl_multi_add_handle(multi, easy);
}

static void put(const char *folder, unsigned count, const char *target) {
    CURLM *multi = curl_multi_init();
    unsigned begun = 0, done = 0;
    for (; begun < PARALLEL && begun < count; begun++) {
        CURL *easy = handle_new();
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
        begin(multi, easy, folder, begun, target);
    }
    while (done < count) {
        int running, left;
        CURLMsg *message;
        curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &left))) {
            CURL *easy = message->easy_handle;
            char *file;
            must(message->data.result == CURLE_OK, curl_easy_strerror(message->data.result));
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, &file);
            fclose((FILE *)(void *)file);
            curl_multi_remove_handle(multi, easy);
            done++;
            if (begun < count)
                begin(multi, easy, folder, begun++, target);
            else
                curl_easy_cleanup(easy);
        }
        if (done < count)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    curl_multi_cleanup(multi);
}

/* --- list --------------------------------------------------------------------------------------------------------- */

typedef struct page {
    size_t size;
    char data[PAGE_MAX + 1];
} page;

static size_t keep(char *data, size_t size, size_t count, void *of) {
    page *p = of;
    size *= count;
    must(size <= PAGE_MAX - p->size, "page too large");
    memcpy(p->data + p->size, data, size);
    p->size += size;
    p->data[p->size] = '\0';
    return size;
}

/* The token of the next page, escaped as a parameter; NULL: this was the last. */
static char *next_token(CURL *easy, const page *p) {
    const char *at = strstr(p->data, "<NextContinuationToken>");
    if (!at)
        return NULL;
    at += strlen("<NextContinuationToken>");
    return curl_easy_escape(easy, at, (int)strcspn(at, "<"));
}

static unsigned list(CURL *easy, const char *bucket, const char *prefix) {
    static page p;
    unsigned keys = 0;
    char *escaped = curl_easy_escape(easy, prefix, 0), *token = NULL;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &p);
    do { /* parameters in the order in which curl 7.88 can sign them */
        _cleanup_free_ char *target =
            cii_str_printf("%s?%s%s%slist-type=2&max-keys=1000&prefix=%s", bucket, token ? "continuation-token=" : "",
                           token ? token : "", token ? "&" : "", escaped);
        set_url(easy, target);
        curl_free(token);
        p.size = 0;
        CURLcode code = curl_easy_perform(easy);
        must(code == CURLE_OK, curl_easy_strerror(code));
        for (const char *at = p.data; (at = strstr(at, "<Key>")); at++)
            keys++;
        token = next_token(easy, &p);
    } while (token);
    curl_free(escaped);
    return keys;
}

/* --- nothing changed ---------------------------------------------------------------------------------------------- */

static void hash(const char *folder, unsigned count) {
    static char data[FILE_MAX];
    unsigned char digest[32];
    for (unsigned i = 0; i < count; i++) {
        FILE *file = open_numbered(folder, i);
        size_t size = fread(data, 1, sizeof data, file);
        must(EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) == 1, "hash");
        fclose(file);
    }
}

static void answer(const char *folder, unsigned count, const char *bucket, const char *prefix) {
    char line[64];
    CURL *easy = handle_new();
    while (fgets(line, sizeof line, stdin)) {
        int64_t start_us = cii_clock_us();
        hash(folder, count);
        must(list(easy, bucket, prefix) == count, "another number of keys");
        printf("%lld\n", (long long)(cii_clock_us() - start_us));
        fflush(stdout);
    }
    curl_easy_cleanup(easy);
}

int main(int argc, char **argv) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    headers = curl_slist_append(headers, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    snprintf(user, sizeof user, "%s:%s", getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"));
    if (argc == 5 && strcmp(argv[1], "put") == 0)
        put(argv[2], (unsigned)atoi(argv[3]), argv[4]);
    else if (argc == 4 && strcmp(argv[1], "list") == 0)
        printf("%u\n", list(handle_new(), argv[2], argv[3]));
    else if (argc == 6 && strcmp(argv[1], "unchanged") == 0)
        answer(argv[2], (unsigned)atoi(argv[3]), argv[4], argv[5]);
    else
        return 2;
    return 0;
}
