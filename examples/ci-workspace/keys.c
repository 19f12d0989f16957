/* See keys.h. While a page is listed what is in progress goes on; so the next page is asked for when the last is used up. */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000 };

struct keys {
    struct job job; /* the page that is listed; its call is NULL when none is */
    struct program *program;
    char **names;
    size_t name_count, name_at;
    struct found page[PAGE];
    size_t page_count, page_at;
    size_t skip; /* of each key: its prefix */
    int any;     /* objects below it */
    char *after; /* NULL: from the first */
};

struct keys *keys_new(struct program *program, char **names, size_t count) {
    struct keys *keys = calloc(1, sizeof(*keys));
    if (keys)
        *keys = (struct keys){.program = program, .names = names, .name_count = count, .job.input_fd = -1};
    return keys;
}

void keys_free(struct keys *keys) {
    if (!keys)
        return;
    for (; keys->page_at < keys->page_count; keys->page_at++)
        free(keys->page[keys->page_at].key);
    ci_call_free(keys->job.call); /* begun, but a signal came */
    free(keys->after);
    free(keys);
}

static int32_t on_object(void *user, const ci_object *object) {
    struct keys *keys = user;
    char *key = strdup(object->key);
    if (!key)
        return -1;
    keys->page[keys->page_count++] = (struct found){.key = key,
                                                    .rest = key + keys->skip,
                                                    .is_listed = 1,
                                                    .size_bytes = object->size_bytes,
                                                    .modified_ms = object->modified_ms};
    return 0;
}

static void next_name(struct keys *keys) {
    keys->name_at++;
    keys->any = 0;
    free(keys->after);
    keys->after = NULL;
}

static void end_page(struct job *job, ci_status status, ci_error *error) {
    struct keys *keys = (struct keys *)job;
    const char *name = keys->names[keys->name_at];
    job->call = NULL;
    keys->any |= keys->page_count > 0;
    if (status != CI_OK)
        report_error(keys->program, name, NULL, error);
    else if (!keys->any)
        report_failure(keys->program, name, NULL, "there is no file below it");
    if (status != CI_OK || keys->page_count < PAGE) {
        next_name(keys);
        return;
    }
    free(keys->after);
    keys->after = strdup(keys->page[PAGE - 1].key);
    if (!keys->after) {
        report_failure(keys->program, name, NULL, "out of memory");
        next_name(keys);
    }
}

/* Returns the job, or NULL when it could not start: then the name is done with. */
static struct job *list_page(struct keys *keys) {
    const char *name = keys->names[keys->name_at];
    const char *prefix = strcmp(name, "/") == 0 ? "" : name;
    ci_storage_list_options options = CI_STORAGE_LIST_OPTIONS_INIT;
    ci_error *error = NULL;
    options.timeout_ms = keys->program->options->timeout_ms;
    options.after = keys->after;
    options.max_count = PAGE;
    keys->skip = strlen(prefix);
    keys->page_count = keys->page_at = 0;
    keys->job.end = end_page;
    if (ci_storage_list_start(keys->program->storage, prefix, &options, on_object, keys, &keys->job.call, &error) ==
        CI_OK)
        return &keys->job;
    report_error(keys->program, name, NULL, error);
    next_name(keys);
    return NULL;
}

int keys_next(struct keys *keys, struct found *ret_found, struct job **ret_job) {
    *ret_job = NULL;
    if (keys->job.call) /* a page is handed out when it is whole: its last key is where the next begins */
        return -1;
    if (keys->page_at < keys->page_count) {
        *ret_found = keys->page[keys->page_at++];
        return 1;
    }
    while (keys->name_at < keys->name_count) {
        const char *name = keys->names[keys->name_at];
        if (name[strlen(name) - 1] == '/') {
            if ((*ret_job = list_page(keys)))
                return -1;
            continue;
        }
        keys->name_at++;
        char *key = strdup(name);
        if (!key) {
            report_failure(keys->program, name, NULL, "out of memory");
            continue;
        }
        const char *slash = strrchr(key, '/');
        *ret_found = (struct found){.key = key, .rest = slash ? slash + 1 : key};
        return 1;
    }
    return 0;
}
