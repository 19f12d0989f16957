#include "workspace.h"

#include <string.h>

const char workspace_help[] =
    "A WORKSPACE is a folder, or s3://BUCKET or s3://BUCKET/PREFIX on AWS or any server that speaks its protocol. What is\n"
    "not said by --endpoint, --region and --profile is found as AWS's own clients find it: AWS_ENDPOINT_URL_S3, AWS_REGION,\n"
    "AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE, then ~/.aws/config and ~/.aws/credentials,\n"
    "then what the machine it runs on is given. Keys are never taken from the command line, which others can see.\n";

int workspace_is_s3(const char *name) {
    return strncmp(name, "s3://", 5) == 0;
}

const char *workspace_wrong(const char *name, const struct server *server) {
    int has_server = server->endpoint || server->region || server->profile;
    const char *colon = strstr(name, "://");
    if (!workspace_is_s3(name) && colon && !memchr(name, '/', (size_t)(colon - name)))
        return "a workspace is a folder or s3://BUCKET/PREFIX";
    if (!workspace_is_s3(name) && has_server)
        return "--endpoint, --region and --profile are for a workspace s3://BUCKET/PREFIX";
    return NULL;
}

ci_storage *workspace_open(const char *name, const struct server *server, int create, ci_error **ret_error) {
    ci_storage *storage = NULL;
    if (workspace_is_s3(name)) {
        ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
        options.endpoint = server->endpoint;
        options.region = server->region;
        options.profile = server->profile;
        options.ca_file = server->ca_file;
        ci_storage_s3_new(name, &options, &storage, ret_error);
    } else {
        ci_storage_dir_options options = CI_STORAGE_DIR_OPTIONS_INIT;
        options.no_create = !create;
        ci_storage_dir_new(name, &options, &storage, ret_error);
    }
    return storage;
}
