/* See manifest.h. The text is made as it is written: a push may have a million files. */
#include "session/manifest.h"

#include <time.h>

#include "base/json.h"

#define PIECE 65536

static ci_status append_json(cii_manifest *manifest, cii_json_writer *w) {
    size_t size = 0;
    _cleanup_free_ char *json = cii_json_take(w, &size);
    return json ? cii_buf_append(&manifest->text, json, size) : CI_ERR_NOMEM;
}

/* An object without its end, so that the files can follow. */
static ci_status append_head(cii_manifest *manifest) {
    char text[32];
    struct tm now;
    time_t seconds = time(NULL);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &now));
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_int(w, "version", 1);
    cii_json_key_string(w, "session", manifest->session->id);
    cii_json_key_string(w, "time", text);
    cii_json_end_object(w);
    if (append_json(manifest, w) < 0)
        return CI_ERR_NOMEM;
    manifest->text.size--;
    return cii_buf_append_str(&manifest->text, ",\"files\":[");
}

static ci_status append_file(cii_manifest *manifest, const cii_manifest_file *file) {
    if (manifest->count++ > 0 && cii_buf_append_str(&manifest->text, ",") < 0)
        return CI_ERR_NOMEM;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "name", file->name);
    cii_json_key(w, "size");
    cii_json_uint(w, file->size_bytes);
    cii_json_key_string(w, "sha256", file->sha256);
    cii_json_key(w, "etag");
    cii_json_string(w, file->etag);
    cii_json_end_object(w);
    return append_json(manifest, w);
}

static ci_status append_more(cii_manifest *manifest) {
    ci_status status = manifest->begun ? CI_OK : append_head(manifest);
    manifest->begun = true;
    while (status == CI_OK && !manifest->ended && manifest->text.size < PIECE) {
        const cii_manifest_file file = manifest->next(manifest->user);
        manifest->ended = !file.name;
        status = file.name ? append_file(manifest, &file) : cii_buf_append_str(&manifest->text, "]}\n");
    }
    return status;
}

static int64_t on_read(void *user, void *buffer, size_t size) {
    cii_manifest *manifest = user;
    if (manifest->text.size == 0 && !manifest->ended && append_more(manifest) < 0)
        manifest->no_memory = true;
    if (manifest->no_memory)
        return -1;
    size = CII_MIN(size, manifest->text.size);
    memcpy(buffer, manifest->text.data, size);
    cii_buf_consume(&manifest->text, size);
    manifest->size_bytes += size;
    manifest->no_memory |= !cii_sha256_update(manifest->hash, buffer, size);
    return manifest->no_memory ? -1 : (int64_t)size;
}

ci_status cii_manifest_start(cii_manifest *manifest, ci_session *session, const char *key,
                             cii_manifest_file (*next)(void *user), void *user, ci_error **ret_error) {
    *manifest = (cii_manifest){.session = session, .next = next, .user = user, .hash = cii_sha256_new()};
    cii_buf_init(&manifest->text, 0);
    if (!manifest->hash)
        return cii_error_nomem(ret_error);
    const ci_put_request request = {
        .struct_size = sizeof request, .key = key, .mime_type = "application/json", .size_bytes = UINT64_MAX};
    return session->storage_ops->put(session->storage_impl, &request, on_read, NULL, manifest, &manifest->op,
                                     ret_error);
}

int cii_manifest_step(cii_manifest *manifest, cii_waits *waits, ci_error **ret_error) {
    int r = cii_op_step(&manifest->op, waits, ret_error);
    if (r > 0)
        manifest->no_memory |= !cii_sha256_final(manifest->hash, manifest->sha256);
    return r != 0 && manifest->no_memory ? cii_error_nomem(ret_error) : r;
}

void cii_manifest_free(cii_manifest *manifest) {
    cii_op_drop(&manifest->op);
    cii_buf_free(&manifest->text);
    cii_sha256_free(manifest->hash);
    *manifest = (cii_manifest){0};
}
