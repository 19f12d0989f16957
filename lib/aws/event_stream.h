/* Decoder of application/vnd.amazon.eventstream, in which AWS's services answer piece by piece: bytes in, messages out,
 * without I/O.
 *
 *     cii_event_stream_new(NULL, on_message, user, &stream, &error)
 *     cii_event_stream_feed(stream, data, size, &error)      however the bytes were cut; calls on_message
 *         on_message: cii_event_read(message, &event, &error): event.kind, event.name, event.payload
 *     cii_event_stream_end(stream, &error)                   the answer has ended: fails within a message
 *
 *     4 bytes     4 bytes           4 bytes                                          4 bytes
 *     its size    headers' size     CRC-32 of the 8 before    headers    payload     CRC-32 of all before
 *
 * A message is told when both of its checksums are right and its headers are sound: in order, each once. Of a message only
 * what has come takes memory, whatever size it announces, and no other is kept beside it. Errors say which message, and at
 * which byte of the stream it began: CI_ERR_PROTOCOL what no message may be, CI_ERR_LIMIT beyond a bound. One thread. */
#ifndef CII_AWS_EVENT_STREAM_H
#define CII_AWS_EVENT_STREAM_H

#include "base/error.h"

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* Pointers live until the callback returns; it may write into the payload. */
typedef struct cii_event_message {
    const char *headers; /* cii_event_header_next() reads them */
    size_t headers_size;
    char *payload;
    size_t payload_size;
    uint64_t number; /* 1, 2, … */
    uint64_t offset; /* in the stream */
} cii_event_message;

typedef enum cii_event_type { /* as on the wire */
                              CII_EVENT_TRUE,
                              CII_EVENT_FALSE,
                              CII_EVENT_INT8,
                              CII_EVENT_INT16,
                              CII_EVENT_INT32,
                              CII_EVENT_INT64,
                              CII_EVENT_BYTES,
                              CII_EVENT_TEXT, /* valid UTF-8, as names are */
                              CII_EVENT_TIME,
                              CII_EVENT_UUID,
} cii_event_type;

typedef struct cii_event_header {
    const char *name; /* not NUL-ended, nor is data */
    size_t name_size;
    cii_event_type type;
    int64_t number;   /* 1, 0, an integer, milliseconds since 1970 */
    const char *data; /* of bytes, texts and UUIDs */
    size_t data_size;
} cii_event_header;

/* One after the other: *at is 0 at first. False: no more. No name comes twice. */
bool cii_event_header_next(const cii_event_message *message, size_t *at, cii_event_header *ret_header);
/* False: there is none of that name. */
bool cii_event_header_find(const cii_event_message *message, const char *name, cii_event_header *ret_header);

typedef enum cii_event_kind {
    CII_EVENT_EVENT,     /* of an answer; a type that is not known is to be ignored */
    CII_EVENT_EXCEPTION, /* a failure that the service's model names; payload: JSON */
    CII_EVENT_ERROR,     /* another failure; payload: its words */
} cii_event_kind;

#define CII_EVENT_NAME_MAX 64

typedef struct cii_event {
    cii_event_kind kind;
    char name[CII_EVENT_NAME_MAX]; /* "result", "throttlingException", "InternalFailure"; longer ones are cut */
    const char *payload;           /* as long as the message */
    size_t payload_size;
} cii_event;

/* What a message is by its headers :message-type, :event-type and the like. CI_ERR_PROTOCOL: none of the three kinds. */
ci_status cii_event_read(const cii_event_message *message, cii_event *ret_event, ci_error **ret_error);

/* --- stream ------------------------------------------------------------------------------------------------------- */

typedef struct cii_event_stream cii_event_stream;

/* Zero is the default of each. */
typedef struct cii_event_limits {
    size_t message_size; /* of a whole message; 0: 128 MiB, where AgentCore has payloads of up to 100 MB */
    size_t headers_size; /* 0: 128 KiB, as AWS's own clients */
    size_t header_count; /* 0: 64 */
} cii_event_limits;

/* Gets a message. Not CI_OK: the stream fails with it. Does not free the stream. */
typedef ci_status (*cii_event_message_cb)(void *user, const cii_event_message *message, ci_error **ret_error);

/* limits NULL: defaults. */
ci_status cii_event_stream_new(const cii_event_limits *limits, cii_event_message_cb callback, void *user,
                               cii_event_stream **ret_stream, ci_error **ret_error);
void cii_event_stream_free(cii_event_stream *stream);

/* CI_ERR_PROTOCOL, CI_ERR_LIMIT, CI_ERR_NOMEM, or what the callback returned; it is returned again ever after. */
ci_status cii_event_stream_feed(cii_event_stream *stream, const void *data, size_t size, ci_error **ret_error);
/* Nothing more comes: CI_ERR_PROTOCOL within a message. A stream without any is a whole one. */
ci_status cii_event_stream_end(cii_event_stream *stream, ci_error **ret_error);

static inline void cii_event_stream_free_p(cii_event_stream **stream) {
    cii_event_stream_free(*stream);
}
#define _cleanup_event_stream_ _cleanup_(cii_event_stream_free_p)

#endif
