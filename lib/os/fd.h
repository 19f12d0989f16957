/* Descriptors: reading, writing, passing, waiting. All descriptors made here are close-on-exec. */
#ifndef CII_OS_FD_H
#define CII_OS_FD_H

#include <sys/types.h>

#include "base/error.h"

/* Whole reads and writes that retry on EINTR; -1 with errno. read_all returns the bytes before end-of-file. */
ssize_t cii_fd_read_all(int fd, void *data, size_t size);
int cii_fd_write_all(int fd, const void *data, size_t size);
/* A small file as text (at most max bytes); NULL with errno. */
char *cii_fd_read_file(int dir_fd, const char *path, size_t max, size_t *ret_size);

int cii_fd_set_nonblock(int fd, bool on);

/* One message with descriptors over a UNIX socket. send: MSG_NOSIGNAL. recv: MSG_CMSG_CLOEXEC; surplus or truncated
 * descriptors are closed and make it fail with EPROTO; *ret_fd_count says how many came. Only for sockets whose other
 * end is a program of ours. Return bytes, 0 at end-of-file, -1 with errno. */
ssize_t cii_fd_send(int socket_fd, const void *data, size_t size, const int *fds, size_t fd_count, int flags);
ssize_t cii_fd_recv(int socket_fd, void *data, size_t size, int *ret_fds, size_t max_fds, size_t *ret_fd_count,
                    int flags);

/* poll(2) for one descriptor, EINTR retried with the time that is left. events as poll's. Returns revents, 0 when the
 * time was over, -1 with errno. timeout_ms negative: no limit. */
int cii_fd_wait(int fd, short events, int64_t timeout_ms);

#endif
