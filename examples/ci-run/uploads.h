/* --upload: brings files and folders of this machine into the workspace. */
#ifndef CI_RUN_UPLOADS_H
#define CI_RUN_UPLOADS_H

#include "options.h"
#include "terminal.h"

/**
 * Stores each path under uploads/ by its last name, a folder with all it holds. Returns 0 or, after a sentence,
 * STATUS_FAILED.
 */
int uploads_store(struct terminal *terminal, ci_session *session, const struct list *paths);

/** Removes a folder with all it holds; what cannot be removed stays. */
void uploads_remove_folder(const char *path);

#endif
