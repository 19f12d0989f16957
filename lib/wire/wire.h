/* The guest protocol: frames and fields, sans-I/O. Spoken between library and init (one connection a call), between
 * init and the kernels (one connection each), and by remote backends over an attached stream. lib/wire/README.md has
 * the same as a table for authors of kernels.
 *
 * A frame is an 8-byte head and a payload: u32 payload size, u8 type, u8 flags, u16 zero; little-endian. A message is
 * one frame, or several of one type of which all but the last carry MORE, their payloads put together. Payloads of
 * OUTPUT and BACKGROUND frames are bytes; all others are fields: u8 key, u32 size, bytes. Integers in fields are
 * little-endian, u64 or i64. Unknown fields are ignored; unknown types, oversized frames and non-zero reserved bytes
 * end the connection. */
#ifndef CII_WIRE_WIRE_H
#define CII_WIRE_WIRE_H

#include "base/buf.h"

#define CII_WIRE_HEAD_SIZE 8u
#define CII_WIRE_FRAME_MAX (1u << 20)     /* payload of one frame */
#define CII_WIRE_MESSAGE_MAX (160u << 20) /* payloads of one message */
#define CII_WIRE_MORE 1u                  /* flag: the message goes on in the next frame */
#define CII_WIRE_VALUE_MAX (256u << 10)   /* a kernel cuts values, messages and tracebacks to this */
#define CII_WIRE_ITEM_MAX (32u << 20)     /* a rich item beyond this is dropped */

enum {
    /* to a kernel */
    CII_WIRE_EXEC = 1,     /* run: TEXT, LANGUAGE, CWD?, ENV*, FLAGS?, CALL */
    CII_WIRE_ITEM_ACK = 2, /* the item has been placed in the stream; empty */
    CII_WIRE_CHECK = 3,    /* idle, of Python: something may have been installed; empty, answered by CHECKED */
    /* from a kernel */
    CII_WIRE_READY = 16,   /* up and waiting: INFO (JSON), LISTENS?, WARMING? */
    CII_WIRE_ITEM = 17,    /* rich item: MIME, DATA (in that order) */
    CII_WIRE_DONE = 18,    /* end of a run: OUTCOME and what belongs to it */
    CII_WIRE_WARM = 19,    /* after a READY with WARMING: nothing is slow any more; empty */
    CII_WIRE_CHECKED = 20, /* REPLACED*, INSTALLED* */
    /* library to init, on a call's connection */
    CII_WIRE_START = 32,     /* KIND, LANGUAGE, CONTEXT, TEXT, CWD?, ENV*, FLAGS?, TASK? */
    CII_WIRE_INTERRUPT = 33, /* empty; also to a kernel that LISTENS */
    CII_WIRE_KILL = 34,      /* empty */
    /* init to library; ITEM and DONE besides */
    CII_WIRE_STDOUT = 48,     /* bytes */
    CII_WIRE_STDERR = 49,     /* bytes */
    CII_WIRE_ITEM_AT = 50,    /* OFFSET: stdout bytes before the ITEM that follows */
    CII_WIRE_BACKGROUND = 51, /* bytes that earlier calls printed after their end */
    CII_WIRE_INFO = 52,       /* answer to a START of KIND INFO: INFO (JSON) */
};

#define CII_WIRE_KIND_INFO 100 /* KIND beside the CI_RUN_ ones: answered by INFO, then DONE */

enum {
    CII_FIELD_TEXT = 1,
    CII_FIELD_LANGUAGE = 2,
    CII_FIELD_CONTEXT = 3,
    CII_FIELD_CWD = 4,
    CII_FIELD_ENV = 5, /* "NAME=value", repeated */
    CII_FIELD_FLAGS = 6,
    CII_FIELD_CALL = 7,
    CII_FIELD_KIND = 8,
    CII_FIELD_TASK = 9,
    CII_FIELD_INFO = 10,
    CII_FIELD_OFFSET = 11,
    CII_FIELD_MIME = 20,
    CII_FIELD_DATA = 21,
    CII_FIELD_OUTCOME = 30, /* CI_OUTCOME_ value */
    CII_FIELD_EXIT_CODE = 31,
    CII_FIELD_VALUE = 32,
    CII_FIELD_VALUE_TOTAL = 33,
    CII_FIELD_ERROR_NAME = 34,
    CII_FIELD_ERROR_MESSAGE = 35,
    CII_FIELD_TRACEBACK = 36,
    CII_FIELD_EXECUTION_US = 37,
    CII_FIELD_STATE_LOST = 38,
    CII_FIELD_TASK_RUNNING = 39,
    CII_FIELD_SIGNAL = 40,
    CII_FIELD_ITEM_DROPPED = 41,
    CII_FIELD_DIAGNOSTICS = 42, /* of TYPE_ERROR: a JSON array of {code, line, column, message} */
    CII_FIELD_LISTENS = 43,     /* of READY, 1: wants INTERRUPT on its channel instead of SIGINT */
    CII_FIELD_WARMING = 44,     /* of READY, 1: runs code, but goes on preparing; WARM follows */
    CII_FIELD_REPLACED = 45,    /* of DONE and CHECKED, repeated: a loaded module that another has been installed for */
    CII_FIELD_INSTALLED = 46,   /* likewise: a distribution that was installed, "name-version" */
};

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* A message is begun, filled and ended in a buffer; end() splits it into frames of at most CII_WIRE_FRAME_MAX. */
typedef struct cii_wire_mark {
    size_t start;
    uint8_t type;
} cii_wire_mark;
ci_status cii_wire_begin(cii_buf *to, uint8_t type, cii_wire_mark *ret_mark);
ci_status cii_wire_put(cii_buf *to, uint8_t key, const void *data, size_t size);
ci_status cii_wire_put_str(cii_buf *to, uint8_t key, const char *text); /* NULL: nothing */
ci_status cii_wire_put_int(cii_buf *to, uint8_t key, int64_t value);
ci_status cii_wire_end(cii_buf *to, const cii_wire_mark *mark);
/* One frame of bytes (OUTPUT, BACKGROUND) or an empty one. */
ci_status cii_wire_frame(cii_buf *to, uint8_t type, uint8_t flags, const void *data, size_t size);
void cii_wire_head(uint8_t head[CII_WIRE_HEAD_SIZE], uint8_t type, uint8_t flags, uint32_t size);

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Parses a head. 0, or -1 when it is not allowed. */
typedef struct cii_wire_frame_head {
    uint32_t size;
    uint8_t type;
    uint8_t flags;
} cii_wire_frame_head;
int cii_wire_parse_head(const uint8_t head[CII_WIRE_HEAD_SIZE], cii_wire_frame_head *ret_head);

/* Gets bytes in any pieces and calls back for every whole message (fields) and every frame of bytes, the latter in
 * pieces as they come. Message size is limited by message_max. Returns 0, or the callback's value when it is not 0, or
 * CI_ERR_PROTOCOL, CI_ERR_LIMIT, CI_ERR_NOMEM; after a failure it stays failed. */
typedef int (*cii_wire_message_cb)(void *user, uint8_t type, const uint8_t *data, size_t size);
typedef struct cii_wire_reader {
    cii_wire_message_cb message;
    void *user;
    size_t message_max;
    cii_buf payload;
    uint8_t head[CII_WIRE_HEAD_SIZE];
    size_t head_size;
    cii_wire_frame_head frame;
    uint32_t left;
    uint8_t open_type; /* a message with MORE has begun; 0: none */
    int failed;
} cii_wire_reader;
void cii_wire_reader_init(cii_wire_reader *reader, size_t message_max, cii_wire_message_cb message, void *user);
int cii_wire_reader_feed(cii_wire_reader *reader, const void *data, size_t size);
void cii_wire_reader_free(cii_wire_reader *reader);

/* Walks the fields of a message: *cursor starts at 0. 1: a field; 0: the end; -1: malformed. */
typedef struct cii_wire_field {
    const uint8_t *data;
    size_t size;
    uint8_t key;
} cii_wire_field;
int cii_wire_next(const uint8_t *data, size_t size, size_t *cursor, cii_wire_field *ret_field);
int64_t cii_wire_int(const cii_wire_field *field); /* 0 when it is not 8 bytes */

#endif
