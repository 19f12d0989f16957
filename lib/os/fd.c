/* Descriptors: whole reads and writes, descriptor passing, waiting. */
#include "os/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"

ssize_t cii_fd_read_all(int fd, void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, (char *)data + done, size - done);
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)done;
}

int cii_fd_write_all(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

char *cii_fd_read_file(int dir_fd, const char *path, size_t max, size_t *ret_size) {
    _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return NULL;
    _cleanup_buf_ cii_buf text = {0};
    for (;;) {
        char *room;
        if (cii_buf_reserve(&text, 4096, &room) < 0) {
            errno = ENOMEM;
            return NULL;
        }
        ssize_t n = cii_fd_read_all(fd, room, 4096);
        if (n < 0)
            return NULL;
        cii_buf_commit(&text, (size_t)n);
        if (text.size > max) {
            errno = EFBIG;
            return NULL;
        }
        if (n < 4096)
            return cii_buf_take(&text, ret_size);
    }
}

int cii_fd_set_nonblock(int fd, bool on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags ? 0 : fcntl(fd, F_SETFL, wanted);
}

/* --- descriptor passing ------------------------------------------------------------------------------------------- */

#define PASS_MAX 253 /* the kernel's SCM_MAX_FD */

/* Room for all that one message can carry, so that the kernel never has to drop a part. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PASS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

ssize_t cii_fd_send(int socket_fd, const void *data, size_t size, const int *fds, size_t fd_count, int flags) {
    union control control;
    struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > PASS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (fd_count > 0) {
        memset(&control, 0, CMSG_SPACE(fd_count * sizeof(int)));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(socket_fd, &message, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Takes every descriptor out of a message: up to max into ret_fds, the rest is closed. How many there were. */
static size_t take_fds(struct msghdr *message, int *ret_fds, size_t max) {
    size_t count = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(fd), sizeof(fd));
            if (count < max)
                ret_fds[count] = fd;
            else
                cii_close(fd);
        }
    }
    return count;
}

ssize_t cii_fd_recv(int socket_fd, void *data, size_t size, int *ret_fds, size_t max_fds, size_t *ret_fd_count,
                    int flags) {
    union control control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int fds[PASS_MAX];
    ssize_t n;
    do {
        n = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    size_t count = take_fds(&message, fds, PASS_MAX);
    if (count > max_fds || (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
        for (size_t i = 0; i < CII_MIN(count, (size_t)PASS_MAX); i++)
            cii_close(fds[i]);
        errno = EPROTO;
        return -1;
    }
    if (count > 0)
        memcpy(ret_fds, fds, count * sizeof(int));
    if (ret_fd_count)
        *ret_fd_count = count;
    return n;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

int cii_fd_wait(int fd, short events, int64_t timeout_ms) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int64_t start = cii_clock_ms();
    for (int64_t left = timeout_ms;; left = CII_MAX(timeout_ms - (cii_clock_ms() - start), (int64_t)0)) {
        int ready = poll(&poll_fd, 1, timeout_ms < 0 ? -1 : (int)CII_MIN(left, (int64_t)INT_MAX));
        if (ready > 0)
            return poll_fd.revents;
        if (ready < 0 && errno != EINTR)
            return -1;
        if (ready == 0 && left <= INT_MAX)
            return 0;
    }
}
