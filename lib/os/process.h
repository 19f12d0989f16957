/* Starting and watching a helper program from a host that has children, signals and threads of its own. */
#ifndef CII_OS_PROCESS_H
#define CII_OS_PROCESS_H

#include "os/fd.h"

/* Starts `path` (argv NULL-ended, empty environment unless env is given) as a process that is not the host's child: it
 * detaches by a second fork, so that a host waiting for all its children is not held up, and a host that ignores or
 * reaps SIGCHLD does no harm. The program gets default signal dispositions, an empty signal mask, cwd "/", `fds[i]` as
 * descriptor 3 + i, /dev/null as 0 and 1, and 2 (stderr) likewise; every other descriptor is closed. Fails with the
 * errno of execve(2), not later. *ret_pidfd watches it (readable when it has ended). Blocks until exec. */
ci_status cii_process_spawn(const char *path, const char *const *argv, const char *const *env, const int *fds,
                            size_t fd_count, pid_t *ret_pid, int *ret_pidfd, ci_error **ret_error);

/* After the program was told to end: waits for it and reaps it if it has become this process's child, as orphans do of a
 * PID 1 and of a sub-reaper (PR_SET_CHILD_SUBREAPER); at most timeout_ms. Otherwise returns at once. */
void cii_process_reap_adopted(int pidfd, int64_t timeout_ms);

int cii_pidfd_open(pid_t pid);
int cii_pidfd_signal(int pidfd, int signal_number);

/* Folder of the shared object or program that this function is linked into, by its own address; malloc'd. */
char *cii_process_own_dir(void);

#endif
