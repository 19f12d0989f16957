/* The real S3 server that a test's starter names in its environment, as AWS's clients read it, and in CI_TEST_S3. */
#ifndef TEST_STORAGE_S3_SERVER_H
#define TEST_STORAGE_S3_SERVER_H

#include "base/buf.h"

/* A request to "/PATH", its answer's body in *ret_body; the HTTP status. Fails the test where there is no answer. */
int s3_ask(const char *method, const char *path, const char *parameter, const char *value, cii_buf *ret_body);
/* The bucket all tests share, made once. */
#define S3_BUCKET "ci-test"
void s3_make_bucket(void);
/* "s3://ci-test/NEW": a prefix that nobody has used. */
void s3_new_url(char ret_url[64]);
/* How many multipart uploads are begun and not ended in the bucket. */
unsigned s3_count_uploads(void);

#endif
