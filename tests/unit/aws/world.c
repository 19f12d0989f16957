#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

/* --- the server --------------------------------------------------------------------------------------------------- */

typedef struct asking {
    ci_op base;
    world *world;
    const answer *answer;
    cii_aws_fetch_response *response;
    int event_fd;
} asking;

static int32_t asking_fd(ci_op *op) {
    return ((asking *)op)->event_fd;
}

/* Not at once, so that what waits for it is seen to wait. */
static int32_t asking_process(ci_op *op, ci_error **ret_error) {
    asking *a = (asking *)op;
    eventfd_t value;
    if (eventfd_read(a->event_fd, &value) < 0) {
        eventfd_write(a->event_fd, 1);
        return 0;
    }
    if (a->answer->status == 0)
        return cii_error_set(ret_error, CI_ERR_TIMEOUT, "http", "connect: nobody answers");
    a->response->status = a->answer->status;
    return cii_buf_append_str(&a->response->body, a->answer->body) < 0 ? cii_error_nomem(ret_error) : 1;
}

static void asking_free(ci_op *op) {
    asking *a = (asking *)op;
    a->world->pending--;
    close(a->event_fd);
    free(a);
}

static const ci_op_ops asking_ops = {
    .struct_size = sizeof asking_ops, .fd = asking_fd, .process = asking_process, .free = asking_free};

static void remember(world *w, const cii_aws_fetch_request *r) {
    cii_buf_printf(&w->asked, "%s %s\n", r->method, r->url);
    for (size_t i = 0; i < r->header_count; i++)
        cii_buf_printf(&w->asked, "%s: %s\n", r->headers[i].name, r->headers[i].value);
    cii_buf_printf(&w->asked, "%.*s\n\n", (int)r->body_size, r->body_size > 0 ? r->body : "");
    w->asked_count++;
}

static ci_status ask(void *user, const cii_aws_fetch_request *request, cii_aws_fetch_response *response, ci_op **ret_op,
                     ci_error **ret_error) {
    world *w = user;
    const answer *at = w->answers;
    while (at && at->url && !cii_str_starts(request->url, at->url))
        at++;
    remember(w, request);
    assert_true(request->timeout_ms > 0 && request->attempts > 0 && request->response_max > 0);
    if (!at || !at->url)
        fail_msg("nobody should ask for %s", request->url);
    asking *a = calloc(1, sizeof *a);
    if (!a)
        return cii_error_nomem(ret_error);
    *a = (asking){.base.ops = &asking_ops, .world = w, .answer = at, .response = response};
    a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->pending++;
    *ret_op = &a->base;
    return CI_OK;
}

/* --- files and environment ---------------------------------------------------------------------------------------- */

static int64_t clock_of(void *user) {
    return ((world *)user)->now_s;
}

void world_set(world *w, const char *name, const char *value) {
    assert_true(w->env_count < CII_ELEMENTS(w->texts));
    char *text = w->texts[w->env_count];
    snprintf(text, sizeof w->texts[0], "%s=%s", name, value);
    w->env[w->env_count++] = text;
}

void world_init(world *w) {
    *w = (world){.folder = "/tmp/ci-aws-XXXXXX", .now_s = 1700000000};
    assert_non_null(mkdtemp(w->folder));
    world_set(w, "HOME", w->folder);
    world_set(w, "PATH", "/usr/bin:/bin");
    w->options = (cii_aws_credentials_options){
        .environment = w->env, .fetch = ask, .fetch_user = w, .now_s = clock_of, .now_user = w};
}

void world_free(world *w) {
    _cleanup_free_ char *command = cii_str_printf("rm -r %s", w->folder);
    assert_int_equal(w->pending, 0);
    cii_buf_free(&w->asked);
    assert_int_equal(system(command), 0);
}

const char *world_write(world *w, const char *name, const char *text) {
    static char path[256];
    _cleanup_buf_ cii_buf filled = {0};
    for (; *text; text++)
        assert_int_equal(*text == '@' ? cii_buf_append_str(&filled, w->folder) : cii_buf_append(&filled, text, 1),
                         CI_OK);
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(cii_fd_write_all(fd, filled.data ? filled.data : "", filled.size), 0);
    return path;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

cii_aws_credentials *world_credentials(world *w) {
    cii_aws_credentials *c = NULL;
    assert_int_equal(cii_aws_credentials_new(&w->options, &c, NULL), CI_OK);
    return c;
}

ci_status world_drive(ci_op *op, ci_error **ret_error) {
    int32_t done;
    while ((done = op->ops->process(op, ret_error)) == 0) {
        int fd = op->ops->fd(op);
        if (fd >= 0)
            assert_int_equal(cii_fd_wait(fd, POLLIN, PATIENCE_MS), POLLIN);
    }
    op->ops->free(op);
    return done < 0 ? done : CI_OK;
}

ci_status world_get(cii_aws_credentials *c, cii_aws_identity **ret_identity, ci_error **ret_error) {
    for (;;) {
        ci_op *op;
        ci_status status = cii_aws_credentials_get(c, ret_identity, &op, ret_error);
        if (status < 0 || *ret_identity)
            return status;
        status = world_drive(op, ret_error);
        if (status < 0)
            return status;
    }
}

ci_status world_find(world *w, cii_aws_identity **ret_identity, ci_error **ret_error) {
    cii_aws_credentials *c = NULL;
    ci_status status = cii_aws_credentials_new(&w->options, &c, ret_error);
    if (status == CI_OK)
        status = world_get(c, ret_identity, ret_error);
    cii_aws_credentials_free(c);
    return status;
}

void world_finds(world *w, const char *id, const char *secret, const char *token, const char *source) {
    _cleanup_identity_ cii_aws_identity *identity = NULL;
    _cleanup_error_ ci_error *error = NULL;
    if (world_find(w, &identity, &error) != CI_OK)
        fail_msg("%s", ci_error_message(error));
    const cii_aws_keys *keys = cii_aws_identity_keys(identity);
    assert_string_equal(keys->id, id);
    assert_string_equal(keys->secret, secret);
    assert_string_equal(keys->token ? keys->token : "", token);
    assert_string_equal(cii_aws_identity_source(identity), source);
}
