/*
 * A line is a JSON object {"name": "…", "input": {…}}; other members are ignored. The input is not rebuilt but handed on
 * as it stands in the line, found by the parser's position. Every line gets one result, a malformed one a refusal.
 */
#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

enum { LINE_MAX_BYTES = 160 << 20, READ_BYTES = 64 << 10 };

/* ---- lines ---- */

/* What was read and not yet answered. Of a line that is too long nothing is kept but that it was. */
struct reader {
    const char *path;
    int fd;
    char *data;
    size_t start, end, capacity;
    size_t searched; /* no newline before this */
    int too_long;
    int ended;
};

static void drop(struct reader *reader) {
    free(reader->data);
    *reader =
        (struct reader){.path = reader->path, .fd = reader->fd, .too_long = reader->too_long, .ended = reader->ended};
}

/* Makes room for one more read. Returns -1 without memory. */
static int make_room(struct reader *reader) {
    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->searched -= reader->start;
        reader->start = 0;
    }
    if (reader->capacity - reader->end >= READ_BYTES)
        return 0;
    size_t capacity = 2 * (reader->end + READ_BYTES);
    char *data = realloc(reader->data, capacity);
    if (!data)
        return -1;
    reader->data = data;
    reader->capacity = capacity;
    return 0;
}

/* The next line without its newline. Returns 1; 0 at the end; -1 when ci-run has to end. */
static int next_line(struct terminal *terminal, struct reader *reader, const char **ret_line, size_t *ret_size) {
    for (;;) {
        const char *newline = reader->end > reader->searched
                                  ? memchr(reader->data + reader->searched, '\n', reader->end - reader->searched)
                                  : NULL;
        if (newline || (reader->ended && (reader->end > reader->start || reader->too_long))) {
            *ret_line = reader->data + reader->start;
            *ret_size = newline ? (size_t)(newline - *ret_line) : reader->end - reader->start;
            reader->start = reader->searched = newline ? (size_t)(newline + 1 - reader->data) : reader->end;
            return 1;
        }
        if (reader->ended)
            return 0;
        reader->searched = reader->end;
        if (reader->end - reader->start > LINE_MAX_BYTES || reader->too_long) {
            reader->too_long = 1;
            drop(reader);
        }
        if (make_room(reader)) {
            if (!reader->capacity) {
                terminal->end_status = STATUS_FAILED;
                return -1;
            }
            reader->too_long = 1; /* longer than memory lasts */
            drop(reader);
            continue;
        }
        if (terminal_await(terminal, reader->fd))
            return -1;
        ssize_t size = read(reader->fd, reader->data + reader->end, READ_BYTES);
        if (size > 0) {
            reader->end += (size_t)size;
        } else if (size == 0) {
            reader->ended = 1;
        } else if (errno != EINTR && errno != EAGAIN) {
            note("ci-run: --calls %s: %s", reader->path, strerror(errno));
            terminal->end_status = STATUS_FAILED;
            return -1;
        }
    }
}

/* ---- one line's object ---- */

/* Members of the outer object, while yajl goes through it. Offsets are positions in the line. */
struct request {
    yajl_handle parser;
    const char *line;
    char *name;
    size_t input_start, input_size;
    size_t after_key; /* where the key of the outer member at hand ends */
    int depth;        /* objects and arrays that are open */
    int outer_is_array;
    enum { OTHER, NAME, INPUT } member;
    const char *wrong;
};

/* A member's value ends here. */
static int value_ends(struct request *request) {
    if (request->depth == 0)
        request->wrong = "the line is not a JSON object";
    if (request->depth == 1 && request->member == NAME && !request->name)
        request->wrong = "\"name\" must be a string that names a tool";
    if (request->depth == 1 && request->member == INPUT) {
        size_t start = request->after_key;
        while (strchr(" \t\r\n:", request->line[start]))
            start++;
        request->input_start = start;
        request->input_size = yajl_get_bytes_consumed(request->parser) - start;
    }
    return request->wrong == NULL;
}

static int on_null(void *user) {
    return value_ends(user);
}

static int on_boolean(void *user, int value) {
    (void)value;
    return value_ends(user);
}

static int on_number(void *user, const char *text, size_t size) {
    (void)text, (void)size;
    return value_ends(user);
}

static int on_string(void *user, const unsigned char *text, size_t size) {
    struct request *request = user;
    if (request->depth == 1 && request->member == NAME && !memchr(text, 0, size)) {
        free(request->name);
        request->name = strndup((const char *)text, size);
    }
    return value_ends(request);
}

static int on_key(void *user, const unsigned char *text, size_t size) {
    struct request *request = user;
    if (request->depth != 1)
        return 1;
    request->member = size == 4 && !memcmp(text, "name", 4)    ? NAME
                      : size == 5 && !memcmp(text, "input", 5) ? INPUT
                                                               : OTHER;
    request->after_key = yajl_get_bytes_consumed(request->parser);
    return 1;
}

static int on_start(void *user) {
    struct request *request = user;
    request->depth++;
    return 1;
}

static int on_start_array(void *user) {
    struct request *request = user;
    if (request->depth++ == 0)
        request->wrong = "the line is not a JSON object";
    return request->wrong == NULL;
}

static int on_end(void *user) {
    struct request *request = user;
    return --request->depth == 0 || value_ends(request);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_map_key = on_key,
    .yajl_start_map = on_start,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

/* Reads the line's object. Returns NULL, or a sentence that says what is wrong, to be freed. */
static char *parse(struct request *request, const char *line, size_t size) {
    static const char form[] =
        "Each line is one JSON object: {\"name\": \"execute_code\", \"input\": {\"code\": \"print(1)\"}}.";
    char *sentence = NULL;
    request->line = line;
    request->parser = yajl_alloc(&callbacks, NULL, request);
    if (!request->parser)
        return strdup("out of memory");
    const unsigned char *bytes = (const unsigned char *)line;
    yajl_status status = yajl_parse(request->parser, bytes, size);
    size_t position = yajl_get_bytes_consumed(request->parser);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(request->parser);
    if (status == yajl_status_error) {
        unsigned char *why = yajl_get_error(request->parser, 0, bytes, size);
        why[strcspn((char *)why, "\n")] = 0;
        if (asprintf(&sentence, "the line is not JSON: %s (after %zu bytes). %s", (char *)why, position, form) < 0)
            sentence = NULL;
        yajl_free_error(request->parser, why);
    } else if (request->wrong || !request->name) {
        const char *wrong = request->wrong ? request->wrong : "\"name\" is missing";
        if (asprintf(&sentence, "%s. %s", wrong, form) < 0)
            sentence = NULL;
    }
    yajl_free(request->parser);
    return sentence || (request->name && !request->wrong) ? sentence : strdup("out of memory");
}

/* ---- the conversation ---- */

static int answer(struct terminal *terminal, ci_result *result) {
    if (!result) {
        note("ci-run: out of memory");
        return terminal->end_status = STATUS_FAILED;
    }
    terminal_note_preload(result);
    int failed = terminal_put_json(terminal, result);
    ci_result_free(result);
    return failed ? terminal->end_status : 0;
}

static int answer_refusal(struct terminal *terminal, const char *sentence) {
    ci_result *result = NULL;
    ci_tool_refuse(sentence, &result);
    return answer(terminal, result);
}

/* Calls the tool and answers. A call that libci could not carry out is answered too; then the session may be over. */
static int call_tool(struct terminal *terminal, ci_session *session, const struct request *request) {
    ci_call *call = NULL;
    ci_result *result = NULL;
    ci_error *error = NULL;
    const char *input = request->input_size ? request->line + request->input_start : "{}";
    size_t size = request->input_size ? request->input_size : 2;
    if (ci_tool_call_start(session, request->name, input, size, NULL, &call, &error) == CI_OK) {
        terminal_wait(terminal, call, 1);
        ci_call_take_result(call, &result, &error);
        ci_call_free(call);
    }
    if (!error)
        return answer(terminal, result);
    if (terminal->end_status) {
        ci_error_free(error);
        return terminal->end_status;
    }
    int status = answer_refusal(terminal, ci_error_message(error));
    if (status == 0 && !ci_error_handle_usable(error))
        return terminal_fail(error);
    ci_error_free(error);
    return status;
}

static int answer_line(struct terminal *terminal, ci_session *session, const char *line, size_t size) {
    struct request request = {0};
    char *sentence = parse(&request, line, size);
    int status = sentence ? answer_refusal(terminal, sentence) : call_tool(terminal, session, &request);
    free(sentence);
    free(request.name);
    return status;
}

int calls_answer(struct terminal *terminal, ci_session *session, const char *path, int fd) {
    struct reader reader = {.path = path, .fd = fd};
    int status = 0;
    for (int is_first = 1; status == 0; is_first = 0) {
        const char *line;
        size_t size;
        int got = next_line(terminal, &reader, &line, &size);
        if (got <= 0) {
            status = got < 0 ? terminal->end_status : 0;
            break;
        }
        if (is_first && size >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) { /* an editor's mark */
            line += 3;
            size -= 3;
        }
        if (reader.too_long)
            status = answer_refusal(terminal, "the line is longer than 160 MiB");
        else
            status = answer_line(terminal, session, line, size);
        reader.too_long = 0;
        if (reader.capacity > 16 * READ_BYTES && reader.start == reader.end)
            drop(&reader); /* one large line need not cost its memory for ever */
    }
    free(reader.data);
    return status;
}
