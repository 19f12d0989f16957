/* A folder as one line of text, and hostile folders, for the tests of lib/archive. */
#ifndef TEST_ARCHIVE_TREE_H
#define TEST_ARCHIVE_TREE_H

#include "base/buf.h"

/* Everything below dir_fd in byte order of names, each with a space after it: "name=content" (64 bytes of it at most, then
 * "…" and the size), "name/", "name->target", "name?" for anything else; with `modes` also ":mode" in octal. */
void tree_text(int dir_fd, bool modes, cii_buf *ret_text);

/* A fresh folder; malloc'd path. On a tmpfs where there is one: that is what archives are unpacked to, and it is fast. */
char *tree_temporary(void);

#endif
