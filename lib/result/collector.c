/* The sink: turns a backend's calls into a result, and into calls of the host's callback.
 *
 * Sink functions return nothing, so that a lack of memory is remembered and told by cii_collector_take(). */
#include "base/utf8.h"
#include "result/object.h"
#include "result/stream.h"

/* The beginning of a character whose rest has not come yet, kept from the callback. */
typedef struct holdback {
    char data[8];
    size_t size;
} holdback;

struct cii_collector {
    ci_sink sink;
    ci_result *result; /* NULL once taken */
    cii_collector_options options;
    cii_stream streams[CII_TEXT_VALUE]; /* stdout, stderr, background */
    holdback held[2];
    bool spill_ended[2];
    bool done;
    ci_status status;
};

static void emit(cii_collector *c, int32_t event, const char *mime_type, const void *data, size_t size) {
    if (c->options.output && c->options.output(c->options.output_user, event, mime_type, data, size) != 0)
        c->options.output = NULL;
}

static int32_t event_of(size_t index) {
    return index == CII_TEXT_STDOUT ? CI_EVENT_STDOUT : CI_EVENT_STDERR;
}

/* Hands on a character begun before, with as much of the new bytes as it takes; returns how many those are. */
static size_t complete_held(cii_collector *c, size_t index, const char *data, size_t size) {
    holdback *held = &c->held[index];
    if (held->size == 0)
        return 0;
    size_t taken = CII_MIN(size, (size_t)3);
    memcpy(held->data + held->size, data, taken);
    size_t have = held->size + taken;
    size_t ready = have - cii_utf8_incomplete_tail(held->data, have);
    if (ready == 0) {
        held->size = have;
        return size;
    }
    taken = ready - held->size;
    held->size = 0;
    emit(c, event_of(index), NULL, held->data, ready);
    return taken;
}

static void stream_out(cii_collector *c, size_t index, const char *data, size_t size) {
    if (!c->options.output)
        return;
    size_t used = complete_held(c, index, data, size);
    data += used;
    size -= used;
    size_t incomplete = cii_utf8_incomplete_tail(data, size);
    if (size > incomplete)
        emit(c, event_of(index), NULL, data, size - incomplete);
    if (incomplete > 0) {
        memcpy(c->held[index].data, data + (size - incomplete), incomplete);
        c->held[index].size = incomplete;
    }
}

static void flush_held(cii_collector *c) {
    for (size_t i = 0; i < CII_ELEMENTS(c->held); i++) {
        size_t size = c->held[i].size;
        c->held[i].size = 0;
        if (size > 0)
            emit(c, event_of(i), NULL, c->held[i].data, size);
    }
}

/* To be called before the write that may overflow: up to then the stream's buffer holds all that came. */
static void spill(cii_collector *c, size_t index, const void *data, size_t size) {
    const cii_stream *stream = &c->streams[index];
    int32_t name = index == CII_TEXT_STDOUT ? CI_STREAM_STDOUT : CI_STREAM_STDERR;
    if (!c->options.spill || c->spill_ended[index] || stream->total + size <= stream->limit)
        return;
    int ended = 0;
    if (!cii_stream_truncated(stream) && stream->size > 0)
        ended = c->options.spill(c->options.spill_user, name, stream->data, stream->size);
    if (ended == 0)
        ended = c->options.spill(c->options.spill_user, name, data, size);
    c->spill_ended[index] = ended != 0;
}

static void write_stream(cii_collector *c, size_t index, const void *data, size_t size) {
    if (cii_stream_write(&c->streams[index], data, size) != CI_OK)
        c->status = CI_ERR_NOMEM;
}

static void sink_output(void *user, int32_t stream, const void *data, size_t size) {
    cii_collector *c = user;
    if (!c->result || size == 0 || (stream != CI_STREAM_STDOUT && stream != CI_STREAM_STDERR))
        return;
    size_t index = stream == CI_STREAM_STDOUT ? CII_TEXT_STDOUT : CII_TEXT_STDERR;
    spill(c, index, data, size);
    write_stream(c, index, data, size);
    stream_out(c, index, data, size);
}

static void sink_item(void *user, const char *mime_type, const void *data, size_t size, uint64_t stdout_offset) {
    cii_collector *c = user;
    if (!c->result)
        return;
    if (cii_result_add_item(c->result, mime_type, data, size, stdout_offset) != CI_OK)
        c->status = CI_ERR_NOMEM;
    emit(c, CI_EVENT_ITEM, mime_type, data, size);
}

static void sink_background(void *user, const void *data, size_t size) {
    cii_collector *c = user;
    if (c->result && size > 0)
        write_stream(c, CII_TEXT_BACKGROUND, data, size);
}

static void sink_refusal(void *user, const ci_refusal *refusal) {
    cii_collector *c = user;
    if (c->result && cii_refusals_add(&c->result->refusals, refusal) != CI_OK)
        c->status = CI_ERR_NOMEM;
}

static void sink_done(void *user, const ci_run_outcome *outcome) {
    cii_collector *c = user;
    if (!c->result || c->done)
        return;
    c->done = true;
    if (cii_result_set_end(c->result, outcome) != CI_OK)
        c->status = CI_ERR_NOMEM;
    flush_held(c);
}

ci_status cii_collector_new(ci_result *result, const cii_collector_options *options, cii_collector **ret_collector) {
    cii_collector *c = calloc(1, sizeof *c);
    if (!c)
        return CI_ERR_NOMEM;
    c->sink = (ci_sink){sizeof(ci_sink), c, sink_output, sink_item, sink_background, sink_done, sink_refusal};
    c->result = result;
    if (options)
        c->options = *options;
    for (size_t i = 0; i < CII_ELEMENTS(c->streams); i++)
        cii_stream_init(&c->streams[i], result->limits.stream_bytes);
    *ret_collector = c;
    return CI_OK;
}

const ci_sink *cii_collector_sink(cii_collector *collector) {
    return &collector->sink;
}

bool cii_collector_done(const cii_collector *collector) {
    return collector->done;
}

static ci_status take_text(cii_stream *stream, cii_text *text) {
    if (stream->total == 0)
        return CI_OK;
    text->total = stream->total;
    text->data = cii_stream_take(stream, &text->size, &text->kept);
    return text->data ? CI_OK : CI_ERR_NOMEM;
}

ci_status cii_collector_take(cii_collector *c, ci_result **ret_result, ci_error **ret_error) {
    if (!c->result)
        return cii_error_set(ret_error, CI_ERR_INVALID, "result", "the result was taken before");
    flush_held(c);
    _cleanup_result_ ci_result *result = TAKE_PTR(c->result);
    for (size_t i = 0; i < CII_ELEMENTS(c->streams) && c->status == CI_OK; i++)
        c->status = take_text(&c->streams[i], &result->texts[i]);
    if (c->status == CI_OK && !c->done)
        c->status = cii_result_override(result, CI_OUTCOME_LOST, NULL);
    if (c->status != CI_OK)
        return cii_error_nomem(ret_error);
    *ret_result = TAKE_PTR(result);
    return CI_OK;
}

void cii_collector_free(cii_collector *collector) {
    if (!collector)
        return;
    for (size_t i = 0; i < CII_ELEMENTS(collector->streams); i++)
        cii_stream_free(&collector->streams[i]);
    ci_result_free(collector->result);
    free(collector);
}
