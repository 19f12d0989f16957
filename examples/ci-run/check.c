/* Reads the library's JSON report and prints it for people. */
#include "check.h"
#include "terminal.h"

#include <stdio.h>
#include <yajl/yajl_tree.h>

static const char *text_of(yajl_val object, const char *key) {
    const char *text = YAJL_GET_STRING(yajl_tree_get(object, (const char *[]){key, NULL}, yajl_t_string));
    return text ? text : "";
}

static void print_report(yajl_val report) {
    puts(ci_version_string());
    yajl_val checks = yajl_tree_get(report, (const char *[]){"checks", NULL}, yajl_t_array);
    for (size_t i = 0; YAJL_IS_ARRAY(checks) && i < YAJL_GET_ARRAY(checks)->len; i++) {
        yajl_val check = YAJL_GET_ARRAY(checks)->values[i];
        printf("%-8s %-22s %s\n", text_of(check, "status"), text_of(check, "name"), text_of(check, "detail"));
        if (*text_of(check, "remedy"))
            printf("%-8s %-22s -> %s\n", "", "", text_of(check, "remedy"));
    }
}

int check_print(const char *python, int json) {
    ci_sandbox_local_options options = CI_SANDBOX_LOCAL_OPTIONS_INIT;
    options.python = python;
    char *text;
    ci_error *error = NULL;
    if (ci_sandbox_local_check(&options, &text, &error))
        return terminal_fail(error);
    yajl_val report = yajl_tree_parse(text, NULL, 0);
    int good = YAJL_IS_TRUE(yajl_tree_get(report, (const char *[]){"ok", NULL}, yajl_t_any));
    if (json) {
        puts(text);
    } else {
        print_report(report);
        puts(good ? "Sessions can run here." : "Sessions cannot run here until the errors above are mended.");
    }
    yajl_tree_free(report);
    ci_free(text);
    return good ? 0 : 1;
}
