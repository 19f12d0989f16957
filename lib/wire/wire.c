/* See wire.h. */
#include "wire/wire.h"

static void put_u32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

void cii_wire_head(uint8_t head[CII_WIRE_HEAD_SIZE], uint8_t type, uint8_t flags, uint32_t size) {
    put_u32(head, size);
    head[4] = type;
    head[5] = flags;
    head[6] = head[7] = 0;
}

ci_status cii_wire_begin(cii_buf *to, uint8_t type, cii_wire_mark *ret_mark) {
    static const uint8_t room[CII_WIRE_HEAD_SIZE];
    *ret_mark = (cii_wire_mark){.start = to->size, .type = type};
    return cii_buf_append(to, room, sizeof room);
}

ci_status cii_wire_put(cii_buf *to, uint8_t key, const void *data, size_t size) {
    if (size > CII_WIRE_MESSAGE_MAX)
        return CI_ERR_LIMIT;
    char *room;
    ci_status status = cii_buf_reserve(to, 5 + size, &room);
    if (status != CI_OK)
        return status;
    room[0] = (char)key;
    put_u32((uint8_t *)room + 1, (uint32_t)size);
    if (size > 0)
        memcpy(room + 5, data, size);
    cii_buf_commit(to, 5 + size);
    return CI_OK;
}

ci_status cii_wire_put_str(cii_buf *to, uint8_t key, const char *text) {
    return text == NULL ? CI_OK : cii_wire_put(to, key, text, strlen(text));
}

ci_status cii_wire_put_int(cii_buf *to, uint8_t key, int64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    return cii_wire_put(to, key, bytes, sizeof bytes);
}

/* A payload beyond one frame is spread out from its end, so that each byte moves once. */
ci_status cii_wire_end(cii_buf *to, const cii_wire_mark *mark) {
    size_t size = to->size - mark->start - CII_WIRE_HEAD_SIZE;
    if (size > CII_WIRE_MESSAGE_MAX)
        return CI_ERR_LIMIT;
    size_t frames = size == 0 ? 1 : (size + CII_WIRE_FRAME_MAX - 1) / CII_WIRE_FRAME_MAX;
    char *room;
    ci_status status = cii_buf_reserve(to, (frames - 1) * CII_WIRE_HEAD_SIZE, &room);
    if (status != CI_OK)
        return status;
    cii_buf_commit(to, (frames - 1) * CII_WIRE_HEAD_SIZE);
    uint8_t *base = (uint8_t *)to->data + mark->start;
    for (size_t i = frames; i-- > 0;) {
        size_t length = i + 1 == frames ? size - i * CII_WIRE_FRAME_MAX : CII_WIRE_FRAME_MAX;
        uint8_t *head = base + i * (CII_WIRE_FRAME_MAX + CII_WIRE_HEAD_SIZE);
        memmove(head + CII_WIRE_HEAD_SIZE, base + CII_WIRE_HEAD_SIZE + i * CII_WIRE_FRAME_MAX, length);
        cii_wire_head(head, mark->type, i + 1 == frames ? 0 : CII_WIRE_MORE, (uint32_t)length);
    }
    return CI_OK;
}

ci_status cii_wire_frame(cii_buf *to, uint8_t type, uint8_t flags, const void *data, size_t size) {
    if (size > CII_WIRE_FRAME_MAX)
        return CI_ERR_LIMIT;
    char *room;
    ci_status status = cii_buf_reserve(to, CII_WIRE_HEAD_SIZE + size, &room);
    if (status != CI_OK)
        return status;
    cii_wire_head((uint8_t *)room, type, flags, (uint32_t)size);
    if (size > 0)
        memcpy(room + CII_WIRE_HEAD_SIZE, data, size);
    cii_buf_commit(to, CII_WIRE_HEAD_SIZE + size);
    return CI_OK;
}

int cii_wire_parse_head(const uint8_t head[CII_WIRE_HEAD_SIZE], cii_wire_frame_head *ret_head) {
    cii_wire_frame_head parsed = {.size = get_u32(head), .type = head[4], .flags = head[5]};
    if (parsed.size > CII_WIRE_FRAME_MAX || parsed.type == 0 || (parsed.flags & ~CII_WIRE_MORE) != 0 || head[6] != 0 ||
        head[7] != 0)
        return -1;
    *ret_head = parsed;
    return 0;
}

void cii_wire_reader_init(cii_wire_reader *reader, size_t message_max, cii_wire_message_cb message, void *user) {
    *reader = (cii_wire_reader){.message = message, .user = user, .message_max = message_max};
    cii_buf_init(&reader->payload, 0);
}

void cii_wire_reader_free(cii_wire_reader *reader) {
    cii_buf_free(&reader->payload);
}

static bool is_bytes(uint8_t type) {
    return type == CII_WIRE_STDOUT || type == CII_WIRE_STDERR || type == CII_WIRE_BACKGROUND;
}

/* A head is complete. */
static int begin_frame(cii_wire_reader *reader) {
    if (cii_wire_parse_head(reader->head, &reader->frame) < 0)
        return CI_ERR_PROTOCOL;
    if (reader->open_type != 0 && reader->open_type != reader->frame.type)
        return CI_ERR_PROTOCOL;
    if (!is_bytes(reader->frame.type) && reader->payload.size + reader->frame.size > reader->message_max)
        return CI_ERR_LIMIT;
    reader->left = reader->frame.size;
    return 0;
}

/* A frame's payload is complete. */
static int end_frame(cii_wire_reader *reader) {
    reader->head_size = 0;
    if (is_bytes(reader->frame.type))
        return 0;
    if (reader->frame.flags & CII_WIRE_MORE) {
        reader->open_type = reader->frame.type;
        return 0;
    }
    reader->open_type = 0;
    const char *data = reader->payload.data != NULL ? reader->payload.data : "";
    int result = reader->message(reader->user, reader->frame.type, (const uint8_t *)data, reader->payload.size);
    if (reader->payload.capacity > 4 * CII_WIRE_FRAME_MAX)
        cii_buf_free(&reader->payload);
    else
        cii_buf_clear(&reader->payload);
    return result;
}

static int feed_payload(cii_wire_reader *reader, const uint8_t *data, size_t size) {
    reader->left -= (uint32_t)size;
    if (is_bytes(reader->frame.type))
        return size == 0 ? 0 : reader->message(reader->user, reader->frame.type, data, size);
    return cii_buf_append(&reader->payload, data, size);
}

int cii_wire_reader_feed(cii_wire_reader *reader, const void *data, size_t size) {
    const uint8_t *at = data, *end = at + size;
    while (reader->failed == 0 && at < end) {
        if (reader->head_size < CII_WIRE_HEAD_SIZE) {
            size_t part = CII_MIN(CII_WIRE_HEAD_SIZE - reader->head_size, (size_t)(end - at));
            memcpy(reader->head + reader->head_size, at, part);
            reader->head_size += part;
            at += part;
            if (reader->head_size < CII_WIRE_HEAD_SIZE)
                break;
            reader->failed = begin_frame(reader);
        } else {
            size_t part = CII_MIN(reader->left, (size_t)(end - at));
            reader->failed = feed_payload(reader, at, part);
            at += part;
        }
        if (reader->failed == 0 && reader->head_size == CII_WIRE_HEAD_SIZE && reader->left == 0)
            reader->failed = end_frame(reader);
    }
    return reader->failed;
}

int cii_wire_next(const uint8_t *data, size_t size, size_t *cursor, cii_wire_field *ret_field) {
    if (*cursor == size)
        return 0;
    if (size - *cursor < 5)
        return -1;
    uint32_t length = get_u32(data + *cursor + 1);
    if (length > size - *cursor - 5)
        return -1;
    *ret_field = (cii_wire_field){.data = data + *cursor + 5, .size = length, .key = data[*cursor]};
    *cursor += 5 + (size_t)length;
    return 1;
}

int64_t cii_wire_int(const cii_wire_field *field) {
    if (field->size != 8)
        return 0;
    return (int64_t)(get_u32(field->data) | (uint64_t)get_u32(field->data + 4) << 32);
}
