/* See links.h. */
#include "session/links.h"

static size_t part_size(const cii_links *links) {
    return strcspn(links->path + links->at, "/");
}

static int32_t on_listed(void *user, const ci_entry *entry) {
    cii_links *links = user;
    size_t size = part_size(links);
    if (strncmp(entry->path, links->path + links->at, size) != 0 || entry->path[size])
        return 0;
    links->kind = entry->kind;
    return -1; /* the rest of the folder does not matter */
}

static ci_status list_folder(cii_links *links, ci_error **ret_error) {
    _cleanup_free_ char *folder = links->at ? strndup(links->path, links->at - 1) : strdup(".");
    if (!folder)
        return cii_error_nomem(ret_error);
    links->kind = CI_KIND_OTHER;
    return links->session->ops->file_list(links->session->backend, folder, on_listed, links, &links->op, ret_error);
}

ci_status cii_links_start(cii_links *links, ci_session *session, const char *path, ci_error **ret_error) {
    *links = (cii_links){.session = session, .path = strdup(path)};
    return links->path ? CI_OK : cii_error_nomem(ret_error);
}

int cii_links_step(cii_links *links, cii_waits *waits, ci_error **ret_error) {
    for (;;) {
        _cleanup_error_ ci_error *error = NULL;
        int r = links->op ? 0 : list_folder(links, &error);
        if (r == 0)
            r = cii_op_step(&links->op, waits, &error);
        if (r == 0)
            return 0;
        if (r == CI_ERR_NOMEM || r == CI_ERR_CLOSED || r == CI_ERR_LOST) {
            if (ret_error)
                *ret_error = TAKE_PTR(error);
            return r;
        }
        links->at += part_size(links);
        if (links->kind != CI_KIND_DIRECTORY || !links->path[links->at])
            return 1;
        links->at++;
    }
}

void cii_links_free(cii_links *links) {
    cii_op_drop(&links->op);
    free(links->path);
    *links = (cii_links){0};
}
