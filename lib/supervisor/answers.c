/* Telling the library: answers on the sockets it has sent. */
#include <sys/socket.h>

#include "os/fd.h"
#include "supervisor/state.h"

void answer_send(int fd, uint8_t type, const ci_error *error, const char *info) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, type, &mark);
    cii_wire_put_str(&message, CII_SETUP_BUILD, CI_BUILD_ID);
    cii_wire_put_str(&message, CII_SETUP_INFO, info);
    if (error != NULL) {
        cii_wire_put_int(&message, CII_SETUP_STATUS, ci_error_status(error));
        cii_wire_put_int(&message, CII_SETUP_ERRNO, ci_error_errno(error));
        cii_wire_put_str(&message, CII_SETUP_MESSAGE, ci_error_message(error));
        cii_wire_put_str(&message, CII_SETUP_HINT, ci_error_hint(error));
    }
    cii_wire_end(&message, &mark);
    cii_fd_send(fd, message.data, message.size, NULL, 0, MSG_DONTWAIT);
}

void answer_refuse(int fd, ci_status status, const char *text) {
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, status, DOMAIN, "%s", text);
    answer_send(fd, CII_SETUP_REFUSED, error, NULL);
}

/* The library's SESSION is taken out of its socket first: one that is closed with something unread
 * in it loses what was written to it as well. */
void answer_refuse_session(int fd, const ci_error *error) {
    uint8_t byte;
    int control = -1;
    size_t count = 0;
    if (cii_fd_recv(fd, &byte, sizeof byte, &control, 1, &count, MSG_DONTWAIT) > 0)
        cii_close(control);
    answer_send(fd, CII_SETUP_REFUSED, error, NULL);
}

void answer_refuse_session_text(int fd, ci_status status, const char *text) {
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, status, DOMAIN, "%s", text);
    answer_refuse_session(fd, error);
}
