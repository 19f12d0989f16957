/* Secrets in this process's memory, as a core dump would show it: the key's secret and its token while a sandbox of AgentCore
 * uses them, and not any more when it was freed, though all that it has told is still there. libcurl frees the text of a
 * request, a token among its headers, as it is: this host makes it wipe first, so that what is left would be libci's. */
#include "public.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MASK = 0x55, SECRET_MAX = 64, CHUNK = 1 << 20 };

/* A text that stands nowhere in this process but masked. */
typedef struct secret {
    char masked[SECRET_MAX];
    size_t size;
} secret;

static secret key_id, key, token;
static unsigned char chunk[CHUNK + SECRET_MAX];

/* Wipes it where it is. */
static void hide(char *text, secret *to) {
    to->size = strlen(text);
    assert_in_range(to->size, 8, SECRET_MAX - 1);
    for (size_t i = 0; i < to->size; i++)
        to->masked[i] = (char)(text[i] ^ MASK);
    explicit_bzero(text, to->size);
}

static void show(const secret *from, char text[SECRET_MAX]) {
    for (size_t i = 0; i < from->size; i++)
        text[i] = (char)(from->masked[i] ^ MASK);
    text[from->size] = '\0';
}

static size_t count_in(const unsigned char *data, size_t size, const secret *what) {
    size_t count = 0;
    for (size_t at = 0; at + what->size <= size; at++) {
        size_t same = 0;
        while (same < what->size && data[at + same] == (unsigned char)(what->masked[same] ^ MASK))
            same++;
        count += same == what->size;
    }
    return count;
}

static size_t count_in_mapping(int memory, uint64_t from, uint64_t to, const secret *what) {
    size_t count = 0;
    for (uint64_t at = from; at < to; at += CHUNK) {
        size_t size = to - at < sizeof chunk ? (size_t)(to - at) : sizeof chunk;
        ssize_t got = pread(memory, chunk, size, (off_t)at);
        count += got > 0 ? count_in(chunk, (size_t)got, what) : 0;
    }
    return count;
}

/* In all that can be written to, but the chunk that is being looked at. */
static size_t count_in_memory(const secret *what) {
    char line[512];
    size_t count = 0;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_true(memory >= 0 && maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to, own = (uintptr_t)chunk, own_end = own + sizeof chunk;
        char rights[5];
        assert_int_equal(sscanf(line, "%llx-%llx %4s", &from, &to, rights), 3);
        if (rights[0] != 'r' || rights[1] != 'w')
            continue;
        if (from <= own && own_end <= to) {
            count += count_in_mapping(memory, from, own, what) + count_in_mapping(memory, own_end, to, what);
            continue;
        }
        count += count_in_mapping(memory, from, to, what);
    }
    fclose(maps);
    close(memory);
    explicit_bzero(chunk, sizeof chunk);
    return count;
}

/* --- libcurl's memory ------------------------------------------------------------------------------------------------- */

static void free_wiped(void *data) {
    if (data)
        explicit_bzero(data, malloc_usable_size(data));
    free(data);
}

static void *realloc_wiped(void *data, size_t size) {
    size_t had = data ? malloc_usable_size(data) : 0;
    void *fresh = malloc(size);
    if (!fresh)
        return NULL;
    memcpy(fresh, data ? data : "", had < size ? had : size);
    free_wiped(data);
    return fresh;
}

/* --- what is told ------------------------------------------------------------------------------------------------------ */

typedef struct told {
    ci_error *refused;
    ci_result *inside;
    char *info;
    char log[1 << 16];
    size_t log_size;
} told;

static void on_log(void *user, int32_t level, const char *domain, const char *message) {
    told *t = user;
    (void)level;
    int size = snprintf(t->log + t->log_size, sizeof t->log - t->log_size, "%s: %s\n", domain, message);
    if (size > 0 && (size_t)size < sizeof t->log - t->log_size)
        t->log_size += (size_t)size;
}

static void use(ci_sandbox *sandbox, told *t) {
    ci_session *session;
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    options.log = on_log;
    options.log_user = t;
    MUST(ci_session_open(&options, &session, &error));
    MUST(ci_execute_command(session, "env; cat /proc/self/environ", NULL, &t->inside, &error));
    MUST(ci_session_info(session, &t->info, &error));
    ci_session_close(session);
    options.attach_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert_int_equal(ci_session_open(&options, &session, &t->refused), CI_ERR_NOTFOUND);
}

static void free_told(told *t) {
    ci_error_free(t->refused);
    ci_result_free(t->inside);
    ci_free(t->info);
}

static void assert_wiped_after(ci_status (*make)(ci_sandbox **ret_sandbox, ci_error **ret_error)) {
    static told t;
    ci_sandbox *sandbox;
    memset(&t, 0, sizeof t);
    assert_int_equal(count_in_memory(&key) + count_in_memory(&token), 0);
    MUST(make(&sandbox, &error));
    use(sandbox, &t);
    assert_true(count_in_memory(&key) > 0 && count_in_memory(&token) > 0);
    ci_sandbox_free(sandbox);
    assert_int_equal(count_in_memory(&key), 0);
    assert_int_equal(count_in_memory(&token), 0);
    free_told(&t);
}

/* --- where keys come from ---------------------------------------------------------------------------------------------- */

static ci_sandbox_agentcore_options usual(void) {
    ci_sandbox_agentcore_options options = CI_SANDBOX_AGENTCORE_OPTIONS_INIT;
    options.endpoint = getenv("CI_TEST_AGENTCORE_ENDPOINT");
    options.region = getenv("AWS_REGION");
    return options;
}

static ci_status make_with_keys(ci_sandbox_agentcore_options *options, ci_sandbox **ret_sandbox, ci_error **ret_error) {
    char texts[3][SECRET_MAX];
    show(&key_id, texts[0]);
    show(&key, texts[1]);
    show(&token, texts[2]);
    options->access_key_id = texts[0];
    options->secret_access_key = texts[1];
    options->session_token = texts[2];
    options->no_environment = 1;
    ci_status status = ci_sandbox_agentcore_new(options, ret_sandbox, ret_error);
    explicit_bzero(texts, sizeof texts);
    return status;
}

static ci_status make_by_options(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    ci_sandbox_agentcore_options options = usual();
    return make_with_keys(&options, ret_sandbox, ret_error);
}

static ci_status make_over_tls(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    ci_sandbox_agentcore_options options = usual();
    options.endpoint = getenv("CI_TEST_AGENTCORE_TLS");
    options.ca_file = getenv("CI_TEST_AGENTCORE_CA");
    return make_with_keys(&options, ret_sandbox, ret_error);
}

static void write_line(int fd, const char *name, const secret *value) {
    char text[SECRET_MAX];
    show(value, text);
    assert_int_equal(write(fd, name, strlen(name)), strlen(name));
    assert_int_equal(write(fd, text, value->size), value->size);
    explicit_bzero(text, sizeof text);
}

static char file[] = "/tmp/ci-test-XXXXXX";

static ci_status make_by_file(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    ci_sandbox_agentcore_options options = usual();
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    write_line(fd, "[default]\naws_access_key_id = ", &key_id);
    write_line(fd, "\naws_secret_access_key = ", &key);
    write_line(fd, "\naws_session_token = ", &token);
    close(fd);
    setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
    return ci_sandbox_agentcore_new(&options, ret_sandbox, ret_error);
}

static void keys_of_options_are_wiped(void **state) {
    (void)state;
    assert_wiped_after(make_by_options);
}

static void keys_that_went_over_tls_are_wiped(void **state) {
    (void)state;
    assert_wiped_after(make_over_tls);
}

static void keys_of_a_file_are_wiped(void **state) {
    (void)state;
    assert_wiped_after(make_by_file);
    unlink(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_options_are_wiped),
        cmocka_unit_test(keys_that_went_over_tls_are_wiped),
        cmocka_unit_test(keys_of_a_file_are_wiped),
    };
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free_wiped, realloc_wiped, strdup, calloc) != CURLE_OK)
        return 1;
    hide(getenv("AWS_ACCESS_KEY_ID"), &key_id);
    hide(getenv("AWS_SECRET_ACCESS_KEY"), &key);
    hide(getenv("AWS_SESSION_TOKEN"), &token);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_SESSION_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
