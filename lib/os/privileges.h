/* Giving up privileges. */
#ifndef CII_OS_PRIVILEGES_H
#define CII_OS_PRIVILEGES_H

/* For good: all five capability sets, what root would get by being root, and whatever an executed file would give. Not
 * reversible. 0; or on failure -1 with errno, and in *ret_what what failed (static). */
int cii_privileges_drop(const char **ret_what);

#endif
