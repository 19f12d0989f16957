/* The floor of AgentCore's figures: a bare libcurl handle that says again what libci has said, signature and all, and lets the
 * answer fall. bench_agentcore_floor URL FOLDER: the request is in FOLDER's files "headers", a line each, and "body", read
 * anew for each line of stdin, which says how often; answered with the microseconds of each. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

enum { BODY_MAX = 1 << 16 };

static void must(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static FILE *open_in(const char *folder, const char *name) {
    _cleanup_free_ char *path = cii_str_printf("%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    must(file != NULL, path);
    return file;
}

static struct curl_slist *read_headers(const char *folder) {
    char line[4096];
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    FILE *file = open_in(folder, "headers");
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        headers = curl_slist_append(headers, line);
    }
    fclose(file);
    return headers;
}

static size_t drop(char *data, size_t size, size_t count, void *of) {
    (void)data;
    (void)of;
    return size * count;
}

static void answer(CURL *easy, const char *folder, int count) {
    static char body[BODY_MAX];
    struct curl_slist *headers = read_headers(folder);
    FILE *file = open_in(folder, "body");
    size_t size = fread(body, 1, sizeof body, file);
    fclose(file);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)size);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    for (; count > 0; count--) {
        int64_t start_us = cii_clock_us();
        CURLcode code = curl_easy_perform(easy);
        printf("%lld ", (long long)(cii_clock_us() - start_us));
        must(code == CURLE_OK, curl_easy_strerror(code));
    }
    printf("\n");
    fflush(stdout);
    curl_slist_free_all(headers);
}

int main(int argc, char **argv) {
    char line[64];
    if (argc != 3)
        return 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *easy = curl_easy_init();
    must(easy != NULL, "no handle");
    curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    while (fgets(line, sizeof line, stdin))
        answer(easy, argv[2], atoi(line));
    curl_easy_cleanup(easy);
    return 0;
}
