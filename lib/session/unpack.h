/* One archive of the sandbox, unpacked into a folder beside it. */
#ifndef CII_SESSION_UNPACK_H
#define CII_SESSION_UNPACK_H

#include "archive/archive.h"
#include "session/object.h"

#define CII_UNPACK_REFUSED_MAX 100 /* refusals that are listed one by one */

typedef struct cii_unpack cii_unpack;

/* path is normalized and relative; it must be a name of which cii_archive_is_name() says that it is an archive's. */
ci_status cii_unpack_start(ci_session *session, const char *path, cii_unpack **ret_unpack, ci_error **ret_error);
/* 1: unpacked, or refused, which cii_unpack_tell() says; 0; negative: the session or memory is gone. */
int cii_unpack_step(cii_unpack *unpack, cii_waits *waits, ci_error **ret_error);
/* Fills status, target, error and counts of the archive's entry, whose strings live as long as unpack; and adds an entry
 * for each refusal to report, after the archive's. */
void cii_unpack_tell(const cii_unpack *unpack, ci_file_info *info);
ci_status cii_unpack_tell_refused(const cii_unpack *unpack, cii_report *report);
void cii_unpack_free(cii_unpack *unpack); /* what was unpacked but not put in place is removed; NULL is fine */

#endif
