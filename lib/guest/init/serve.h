/* The loop of init, for zygote.c. */
#ifndef CII_GUEST_SERVE_H
#define CII_GUEST_SERVE_H

#include "guest/init/guest.h"

guest *guest_new(session_spec *spec); /* NULL without memory or descriptors */
void guest_serve(guest *g);           /* until fork_wanted; ends the process when the session is closed */
/* In the child of the fork that was wanted: confined, the channel its descriptor 3. In the parent: who it is. */
int kernel_enter(guest *g);
void kernel_forked(guest *g, pid_t pid); /* -1: could not be forked */

#endif
