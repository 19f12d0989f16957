/**
 * @file ci/ci.h
 * @brief libci: a code interpreter to link into an AI-agent host. This header includes all that users of sessions need;
 * ci/sys/sandbox.h and ci/sys/storage.h are for authors of backends.
 */
#ifndef CI_CI_H
#define CI_CI_H

#include <ci/call.h>
#include <ci/context.h>
#include <ci/error.h>
#include <ci/files.h>
#include <ci/objects.h>
#include <ci/result.h>
#include <ci/sandbox.h>
#include <ci/session.h>
#include <ci/storage.h>
#include <ci/tools.h>
#include <ci/version.h>
#include <ci/workspace.h>

#endif
