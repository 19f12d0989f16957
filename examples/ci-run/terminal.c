/* Output, signals and waiting. Everything that can block does so in poll(2), beside the descriptor of signals. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int terminal_open(struct terminal *terminal) {
    int fd; /* whoever started ci-run without stdin, stdout or stderr must not get another file in their place */
    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd <= STDERR_FILENO)
        ;
    close(fd);
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct sigaction action;
        /* What nohup(1), or a shell that runs ci-run in the background, ignores on its behalf stays ignored: a signalfd
         * would get it all the same. */
        if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, ends[i]);
    }
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a write tells */
    *terminal = (struct terminal){.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (terminal->signal_fd >= 0)
        return 0;
    note("ci-run: signalfd: %s", strerror(errno));
    return -1;
}

static void take_signal(struct terminal *terminal) {
    struct signalfd_siginfo info;
    if (read(terminal->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    terminal->signal_count++;
    if (terminal->call && terminal->interruptible && info.ssi_signo == SIGINT && terminal->signal_count == 1)
        ci_call_interrupt(terminal->call);
    else
        terminal->end_status = 128 + (int)info.ssi_signo;
}

/* Waits for events on fd. Returns 0; -1 when ci-run has to end. */
static int await(struct terminal *terminal, int fd, short events) {
    struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = terminal->signal_fd, .events = POLLIN}};
    while (!terminal->end_status) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            take_signal(terminal);
        else if (fds[0].revents)
            return 0;
    }
    return -1;
}

int terminal_await(struct terminal *terminal, int fd) {
    return await(terminal, fd, POLLIN);
}

int terminal_put(struct terminal *terminal, int fd, const void *data, size_t size) {
    const char *next = data;
    progress_end();
    while (size > 0) {
        if (await(terminal, fd, POLLOUT))
            return -1;
        /* A writable pipe takes PIPE_BUF bytes without blocking, more perhaps not. */
        ssize_t written = write(fd, next, size < PIPE_BUF ? size : PIPE_BUF);
        if (written >= 0) {
            next += written;
            size -= (size_t)written;
        } else if (errno != EINTR && errno != EAGAIN) {
            terminal->end_status = errno == EPIPE ? 128 + SIGPIPE : STATUS_FAILED;
            if (errno != EPIPE && fd == STDOUT_FILENO)
                note("ci-run: standard output: %s", strerror(errno));
            return -1;
        }
    }
    return 0;
}

int terminal_put_json(struct terminal *terminal, const ci_result *result) {
    char *json;
    size_t size;
    if (ci_result_json(result, &json, &size)) {
        note("ci-run: out of memory");
        terminal->end_status = STATUS_FAILED;
        return -1;
    }
    json[size] = '\n'; /* in the place of the NUL, so that a reader gets line and newline at once */
    int failed = terminal_put(terminal, STDOUT_FILENO, json, size + 1);
    ci_free(json);
    return failed;
}

int terminal_fail(ci_error *error) {
    note_error("ci-run", error);
    return STATUS_FAILED;
}

void terminal_note_preload(const ci_result *result) {
    enum { MOST = 20 };
    size_t count = ci_result_file_count(result, CI_FILES_PRELOAD), preloaded = 0, shown = 0;
    for (size_t i = 0; i < count; i++) {
        ci_file_info file = CI_FILE_INFO_INIT;
        if (ci_result_file(result, CI_FILES_PRELOAD, i, &file))
            continue;
        if (file.status == CI_FILE_PRELOADED && !file.error)
            preloaded++;
        else if (++shown > MOST)
            continue;
        else if (file.status == CI_FILE_UNPACKED && file.refused_count)
            note("uploads: unpacked %s into %s (%u entries; %u refused)", file.path, file.target ? file.target : ".",
                 file.entry_count, file.refused_count);
        else if (file.status == CI_FILE_UNPACKED)
            note("uploads: unpacked %s into %s (%u entries)", file.path, file.target ? file.target : ".",
                 file.entry_count);
        else /* refused, in conflict; or in the sandbox, but an archive that could not be unpacked */
            note("uploads: %s %s: %s", ci_file_status_name(file.status), file.path,
                 file.error ? file.error : "no reason given");
    }
    if (shown > MOST)
        note("uploads: and %zu more; --json lists all", shown - MOST);
    if (preloaded)
        note("uploads: %zu file%s in the sandbox", preloaded, preloaded == 1 ? "" : "s");
}

int32_t terminal_output(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    struct terminal *terminal = user;
    if (event == CI_EVENT_ITEM) {
        if (strncmp(mime_type, "image/", 6) == 0)
            note("[%s, %zu bytes; save it in the code and name it with --output, or use --json]", mime_type, size);
        return 0;
    }
    return terminal_put(terminal, event == CI_EVENT_STDOUT ? STDOUT_FILENO : STDERR_FILENO, data, size);
}

void terminal_log(void *user, int32_t level, const char *domain, const char *message) {
    (void)user;
    int is_refusal = strcmp(domain, "network") == 0; /* says all itself */
    if (level <= CI_LOG_WARNING)
        note("ci-run: %s%s%s", is_refusal ? "" : domain, is_refusal ? "" : ": ", message);
}

void terminal_progress(void *user, const ci_progress *progress) {
    (void)user;
    progress_show(&(struct progress){strcmp(progress->what, "preload") == 0 ? "uploads" : "workspace",
                                     progress->files_done, progress->files_total, progress->bytes_done,
                                     progress->bytes_total});
}

void terminal_wait(struct terminal *terminal, ci_call *call, int interruptible) {
    struct pollfd fds[2] = {{.fd = ci_call_fd(call), .events = POLLIN}, {.fd = terminal->signal_fd, .events = POLLIN}};
    terminal->call = call;
    terminal->interruptible = interruptible;
    terminal->signal_count = 0;
    int cancelled = 0;
    while (ci_call_process(call) == CI_CALL_RUNNING) {
        if (terminal->end_status && !cancelled) {
            ci_call_cancel(call);
            cancelled = 1;
            continue;
        }
        /* Without a descriptor to poll (none was left), looking now and then does. */
        if (poll(fds, 2, fds[0].fd < 0 ? 20 : -1) > 0 && fds[1].revents)
            take_signal(terminal);
    }
    progress_end();
    terminal->call = NULL;
}
