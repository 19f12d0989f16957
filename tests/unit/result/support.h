/* What the tests of results share. */
#ifndef TEST_RESULT_SUPPORT_H
#define TEST_RESULT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "result/result.h"

/* A run's result from a collector that gets `limits` and `options` and whatever `feed` puts into its sink. */
typedef void (*feed_fn)(const ci_sink *sink);

static inline ci_result *collect(const cii_result_limits *limits, const cii_collector_options *options, feed_fn feed) {
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, limits, &result), CI_OK);
    assert_int_equal(cii_collector_new(result, options, &collector), CI_OK);
    feed(cii_collector_sink(collector));
    assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
    cii_collector_free(collector);
    return result;
}

/* The result of a run of which only the end is told. */
static inline ci_result *result_of(const ci_run_outcome *outcome, const cii_result_limits *limits) {
    ci_result *result = NULL;
    cii_collector *collector = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, limits, &result), CI_OK);
    assert_int_equal(cii_collector_new(result, NULL, &collector), CI_OK);
    const ci_sink *sink = cii_collector_sink(collector);
    sink->done(sink->user, outcome);
    assert_int_equal(cii_collector_take(collector, &result, NULL), CI_OK);
    cii_collector_free(collector);
    return result;
}

static inline void put(const ci_sink *sink, const char *text) {
    sink->output(sink->user, CI_STREAM_STDOUT, text, strlen(text));
}

static inline void end_ok(const ci_sink *sink) {
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome)});
}

#endif
