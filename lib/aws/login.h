/* The identity that one operation signs with, asked for anew when another may have taken its place. One thread. */
#ifndef CII_AWS_LOGIN_H
#define CII_AWS_LOGIN_H

#include "aws/credentials.h"

/* Zero it, but for credentials. */
typedef struct cii_aws_login {
    cii_aws_credentials *credentials;
    cii_aws_identity *identity;
    int64_t until_ms; /* then ask again: another may be kept by now. 0: at once */
    unsigned number;  /* how many there were */
    ci_op *search;    /* NULL: none is in progress. Its descriptor is to be waited for, and nothing else can go on */
} cii_aws_login;

bool cii_aws_login_good(const cii_aws_login *login);
/* 1: there is an identity, fit for the next request; 0: not yet. */
int32_t cii_aws_login_find(cii_aws_login *login, ci_error **ret_error);
/* A server does not take the identity of that number. */
void cii_aws_login_reject(cii_aws_login *login, unsigned number);
void cii_aws_login_clear(cii_aws_login *login);

#endif
