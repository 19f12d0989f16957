/* A session of the template sandbox whose workspace is a folder behind a slow storage. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <ci/sys/sandbox.h>

#include "../unit.h"
#include "fake.h"
#include "slow.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

extern char folder[64]; /* the workspace */
extern slow_log logged;
extern ci_storage *storage;
extern ci_sandbox *sandbox;
extern ci_session *session; /* closed by the tear-down */

int fixture_set_up(long step_ms);
int fixture_tear_down(void **state); /* fails when operations or descriptors are left */

void write_here(const char *name, const char *text); /* a file of the workspace */
bool is_here(const char *name);
void remove_folder(void);
void make_uploads(int count); /* uploads/00.txt, … */

/* Steps of the storage are made from here on only when `beat` lets them, until `hold_no_more`: so how many are due at once
 * does not hang on how fast the machine is. */
void hold(void);
void hold_no_more(void);
void beat(int steps);
/* One step at a time, each when the call has nothing else to do; returns how many. */
int beat_until_done(ci_call *call);

/* A backend that is the template but for what a test puts in place of its functions. */
ci_sandbox *disguised(const ci_sandbox_ops *ops);

ci_session_options usual(void);
void open_session(void);
ci_call *start(const char *command, int64_t timeout_ms);
ci_result *end(ci_call *call);
void assert_prints(const char *command, const char *wanted);

#endif
