/* A backend whose runs do what a test wants: the text of a run is one of
 *
 *     say WORDS      prints them and is done            sleep MS     is done after that time
 *     fail           ends with an exception             memory       was killed at the memory limit
 *     forever        ends when it is interrupted        caught       likewise, and well
 *     stubborn       ends only when it is killed        undead       does not even then
 *     lost WORDS     prints, then the sandbox is gone
 *     refuse N       is refused N connections, and fails
 *     hold           is done when the test says so: fake_let_go()
 *
 * Clearing a context is done as "hold" is.
 */
#ifndef FAKE_H
#define FAKE_H

#include <ci/ci.h>
#include <ci/sys/sandbox.h>
#include <stdatomic.h>

#define FAKE_CANNOT_INTERRUPT 1u
#define FAKE_INTERNET 2u /* gives CI_NETWORK_INTERNET */
#define FAKE_POLICY 4u   /* and keeps to rules */

typedef struct fake_log {
    _Atomic int open_sessions;
    _Atomic int open_ops;
    _Atomic int runs;
    _Atomic int interrupts;
    _Atomic int kills;
    _Atomic int shutdown_waits; /* as long as it is set */
    void *_Atomic held;         /* the run that waits for fake_let_go() */
    char order[256];            /* first letters of the texts, as run() got them */
    char allow[64], deny[64];   /* rules that open() got, by comma; "-": no list */
} fake_log;

ci_sandbox *fake_sandbox(unsigned flags, fake_log *log);
void fake_let_go(fake_log *log); /* the run that is held */
ci_session *fake_session(ci_sandbox *sandbox, int64_t grace_ms, uint32_t flags);

/* Descriptors that this process has open. */
int count_fds(void);

#endif
