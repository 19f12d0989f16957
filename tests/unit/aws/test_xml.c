/* S3's and STS's answers, and what hostile servers may send in their place. */
#include "aws/xml.h"

#include "base/buf.h"
#include "failmalloc.h"
#include "unit.h"

/* Rows as text: "Contents(Key=a Size=1)". */
typedef struct told {
    cii_buf text;
    ci_status answer;
} told;

static ci_status tell(void *user, const cii_xml_row *row, ci_error **ret_error) {
    told *t = user;
    ci_status status = cii_buf_printf(&t->text, "%s(", row->name);
    for (size_t i = 0; i < row->count && status == CI_OK; i++)
        status = cii_buf_printf(&t->text, "%s%s=%s", i > 0 ? " " : "", row->leaves[i].name, row->leaves[i].text);
    if (status == CI_OK)
        status = cii_buf_append_str(&t->text, ")");
    if (status == CI_OK && t->answer != CI_OK)
        status = cii_error_set(ret_error, t->answer, "test", "enough");
    return status;
}

static ci_status feed_in_pieces(cii_xml *x, const char *data, size_t size, size_t piece, ci_error **ret_error) {
    ci_status status = CI_OK;
    for (size_t at = 0; at < size && status == CI_OK; at += piece)
        status = cii_xml_feed(x, data + at, CII_MIN(piece, size - at), ret_error);
    return status == CI_OK ? cii_xml_end(x, ret_error) : status;
}

/* The status, with what was told before it. */
static ci_status parse(const char *data, size_t size, size_t piece, told *t, cii_xml **ret_xml) {
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(cii_xml_new(tell, t, ret_xml, &error), CI_OK);
    ci_status status = feed_in_pieces(*ret_xml, data, size, piece, &error);
    assert_int_equal(status == CI_OK, error == NULL);
    if (error != NULL)
        assert_int_equal(ci_error_status(error), status);
    return status;
}

static ci_status parse_text(const char *text) {
    told t = {0};
    _cleanup_xml_ cii_xml *x = NULL;
    ci_status status = parse(text, strlen(text), SIZE_MAX / 2, &t, &x);
    cii_buf_free(&t.text);
    return status;
}

static const char listing[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
    "  <Name>bucket</Name><Prefix/><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>\n"
    "  <Contents><Key>a%20b</Key><ETag>&quot;d41d8&quot;</ETag><Size>7</Size>\n"
    "    <Owner><ID>me</ID><DisplayName>M &amp; E</DisplayName></Owner></Contents>\n"
    "  <Contents><Key>\xc3\xa4&#x1F600;</Key><Size>0</Size><Size>9</Size></Contents>\n"
    "  <CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes>\n"
    "  <NextContinuationToken>1/x=</NextContinuationToken>\n"
    "</ListBucketResult>\n";

static void rows_and_the_roots_leaves_are_found_however_the_bytes_come(void **state) {
    (void)state;
    for (size_t piece = 1; piece <= sizeof listing; piece++) {
        told t = {0};
        _cleanup_xml_ cii_xml *x = NULL;
        assert_int_equal(parse(listing, sizeof listing - 1, piece, &t, &x), CI_OK);
        assert_string_equal(t.text.data, "Contents(Key=a%20b ETag=\"d41d8\" Size=7 ID=me DisplayName=M & E)"
                                         "Contents(Key=\xc3\xa4\xf0\x9f\x98\x80 Size=0)"
                                         "CommonPrefixes(Prefix=dir/)");
        assert_string_equal(cii_xml_root(x), "ListBucketResult");
        assert_string_equal(cii_xml_text(x, "IsTruncated"), "true");
        assert_string_equal(cii_xml_text(x, "Prefix"), "");
        assert_string_equal(cii_xml_text(x, "NextContinuationToken"), "1/x=");
        assert_null(cii_xml_text(x, "Key"));
        cii_buf_free(&t.text);
    }
}

static ci_status find_code(void *user, const cii_xml_row *row, ci_error **ret_error) {
    (void)ret_error;
    assert_string_equal(row->name, "Error");
    assert_null(cii_xml_row_text(row, "Message"));
    assert_string_equal(cii_xml_row_text(row, "Code"), "AccessDenied");
    ++*(int *)user;
    return CI_OK;
}

static void prefixes_of_namespaces_and_white_space_before_the_document_do_not_matter(void **state) {
    (void)state;
    const char text[] =
        " \r\n\n\t<?xml version='1.0'?><a:ErrorResponse xmlns:a='b'><a:Error><a:Code>AccessDenied</a:Code>"
        "</a:Error></a:ErrorResponse>";
    int count = 0;
    for (size_t piece = 1; piece < 9; piece++) {
        _cleanup_xml_ cii_xml *x = NULL;
        assert_int_equal(cii_xml_new(find_code, &count, &x, NULL), CI_OK);
        assert_int_equal(feed_in_pieces(x, text, sizeof text - 1, piece, NULL), CI_OK);
        assert_string_equal(cii_xml_root(x), "ErrorResponse");
    }
    assert_int_equal(count, 8);
}

static void rows_need_not_be_wanted(void **state) {
    (void)state;
    _cleanup_xml_ cii_xml *x = NULL;
    assert_int_equal(cii_xml_new(NULL, NULL, &x, NULL), CI_OK);
    assert_null(cii_xml_root(x));
    assert_int_equal(cii_xml_feed(x, listing, sizeof listing - 1, NULL), CI_OK);
    assert_int_equal(cii_xml_end(x, NULL), CI_OK);
    assert_string_equal(cii_xml_text(x, "Name"), "bucket");
}

static void what_is_no_whole_document_is_an_error(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "   ",
                                        "hello",
                                        "<a>",
                                        "<a><b></a>",
                                        "<a></a>x",
                                        "<a/><b/>",
                                        "{\"a\": 1}",
                                        "<a>\1</a>",
                                        "<html><body><p>Bad</body>",
                                        "<a>\xff</a>",
                                        "<a b=c></a>",
                                        "<a>&b;</a>"};
    for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
        assert_int_equal(parse_text(texts[i]), CI_ERR_PROTOCOL);
    for (size_t size = 0; size < sizeof listing - 2; size++) { /* cut anywhere, but for the last line's end */
        told t = {0};
        _cleanup_xml_ cii_xml *x = NULL;
        assert_int_equal(parse(listing, size, 100, &t, &x), CI_ERR_PROTOCOL);
        cii_buf_free(&t.text);
    }
}

static void document_types_and_their_entities_are_refused(void **state) {
    (void)state;
    assert_int_equal(parse_text("<!DOCTYPE a><a/>"), CI_ERR_PROTOCOL);
    assert_int_equal(parse_text("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"), CI_ERR_PROTOCOL);
    assert_int_equal(parse_text("<!DOCTYPE a [<!ENTITY b 'cccccccccc'><!ENTITY d '&b;&b;&b;'>]><a>&d;</a>"),
                     CI_ERR_PROTOCOL);
}

static void an_encoding_of_the_documents_choice_is_not_taken(void **state) {
    (void)state;
    assert_int_equal(parse_text("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>"), CI_ERR_PROTOCOL);
    assert_int_equal(parse_text("<?xml version='1.0' encoding='none-such'?><a>\xc3\xa4</a>"), CI_OK);
}

/* `before`, then `middle` so many times, then `after`. */
static char *make(const char *before, const char *middle, size_t times, const char *after) {
    cii_buf text = {0};
    assert_int_equal(cii_buf_append_str(&text, before), CI_OK);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(cii_buf_append_str(&text, middle), CI_OK);
    assert_int_equal(cii_buf_append_str(&text, after), CI_OK);
    return cii_buf_take(&text, NULL);
}

static ci_status parse_made(const char *before, const char *middle, size_t times, const char *after) {
    _cleanup_free_ char *text = make(before, middle, times, after);
    return parse_text(text);
}

static void bounds_hold(void **state) {
    (void)state;
    assert_int_equal(parse_made("<a>", "<b>", CII_XML_DEPTH_MAX - 1, ""), CI_ERR_PROTOCOL); /* only not whole */
    assert_int_equal(parse_made("<a>", "<b>", CII_XML_DEPTH_MAX, ""), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a><b>", "0123456789", 6500, "</b></a>"), CI_OK);
    assert_int_equal(parse_made("<a><b>", "0123456789", 6600, "</b></a>"), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a><b>", "<c>0123456789</c>", 6600, "</b></a>"), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a>", "<b>0123456789</b>", 6600, "</a>"), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a b='", "0123456789", 7000, "'/>"), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a><!--", "0123456789", 7000, ""), CI_ERR_LIMIT);
    assert_int_equal(parse_made("<a>", "<b><c>0123456789</c></b>", 100000, "</a>"), CI_OK);
    assert_int_equal(parse_made("<a>", " \n", 100000, "</a>"), CI_OK);
}

static void of_many_leaves_the_first_are_kept(void **state) {
    (void)state;
    cii_buf text = {0};
    told t = {0};
    _cleanup_xml_ cii_xml *x = NULL;
    assert_int_equal(cii_buf_append_str(&text, "<a><row>"), CI_OK);
    for (int i = 0; i < 2 * CII_XML_LEAVES_MAX; i++)
        assert_int_equal(cii_buf_printf(&text, "<l%d>%d</l%d>", i, i, i), CI_OK);
    assert_int_equal(cii_buf_append_str(&text, "</row></a>"), CI_OK);
    assert_int_equal(parse(text.data, text.size, text.size, &t, &x), CI_OK);
    assert_non_null(strstr(t.text.data, "row(l0=0 "));
    assert_non_null(strstr(t.text.data, " l31=31)"));
    cii_buf_free(&text);
    cii_buf_free(&t.text);
}

static void the_callbacks_failure_ends_it(void **state) {
    (void)state;
    told t = {.answer = CI_ERR_CANCELLED};
    _cleanup_xml_ cii_xml *x = NULL;
    assert_int_equal(parse(listing, sizeof listing - 1, 1000, &t, &x), CI_ERR_CANCELLED);
    assert_string_equal(t.text.data, "Contents(Key=a%20b ETag=\"d41d8\" Size=7 ID=me DisplayName=M & E)");
    assert_int_equal(cii_xml_feed(x, " ", 1, NULL), CI_ERR_CANCELLED);
    cii_buf_free(&t.text);
}

static ci_status parse_listing(void *user) {
    (void)user;
    told t = {0};
    _cleanup_xml_ cii_xml *x = NULL;
    ci_status status = cii_xml_new(tell, &t, &x, NULL);
    if (status == CI_OK)
        status = feed_in_pieces(x, listing, sizeof listing - 1, 50, NULL);
    cii_buf_free(&t.text);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(failmalloc_each(parse_listing, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_the_roots_leaves_are_found_however_the_bytes_come),
        cmocka_unit_test(prefixes_of_namespaces_and_white_space_before_the_document_do_not_matter),
        cmocka_unit_test(rows_need_not_be_wanted),
        cmocka_unit_test(what_is_no_whole_document_is_an_error),
        cmocka_unit_test(document_types_and_their_entities_are_refused),
        cmocka_unit_test(an_encoding_of_the_documents_choice_is_not_taken),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(of_many_leaves_the_first_are_kept),
        cmocka_unit_test(the_callbacks_failure_ends_it),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
