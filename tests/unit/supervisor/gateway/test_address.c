/* Addresses: their text, and which of them are none of the public internet. */
#include "unit.h"

#include "supervisor/gateway/address.h"

static address parsed(const char *text) {
    address a;
    if (!address_parse(text, &a))
        fail_msg("%s is not taken", text);
    return a;
}

static void addresses_are_read_and_written(void **state) {
    (void)state;
    static const char *const good[] = {"10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1"};
    for (size_t i = 0; i < CII_ELEMENTS(good); i++) {
        char text[ADDRESS_TEXT_SIZE];
        address a = parsed(good[i]);
        address_format(&a, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(address_is_v4(&a), strchr(good[i], '.') != NULL);
    }
    static const char *const bad[] = {"",          "10.0.0",     "10.0.0.256",       "010.0.0.1",
                                      "10.0.0.1 ", "0x0a.0.0.1", "1:2:3:4",          "fe80::1%1",
                                      "[::1]",     "::g",        "::ffff:127.0.0.1", "::ffff:7f00:1"};
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        address a;
        if (address_parse(bad[i], &a))
            fail_msg("%s is taken", bad[i]);
    }
}

static void ipv6_that_holds_a_mapped_address_is_refused(void **state) {
    (void)state;
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 93, [15] = 1};
    address a = parsed("2001:db8::1"), before = a;
    assert_false(address_from_v6(mapped, &a));
    assert_true(address_equal(&a, &before));
    assert_true(address_from_v6(before.s6_addr, &a));
    a = address_from_v4(mapped + 12);
    assert_memory_equal(address_v4_bytes(&a), mapped + 12, 4);
    assert_memory_equal(a.s6_addr, mapped, sizeof mapped);
}

static void networks_hold_their_own_family_alone(void **state) {
    (void)state;
    network ten = {.base = parsed("10.0.0.0"), .bits = 96 + 9}, low = {.base = parsed("::"), .bits = 1};
    address in = parsed("10.127.255.255"), out = parsed("10.128.0.0"), v6 = parsed("7fff::1"), high = parsed("8000::");
    assert_true(network_holds(&ten, &in));
    assert_false(network_holds(&ten, &out));
    assert_false(network_holds(&low, &in));
    assert_true(network_holds(&low, &v6));
    assert_false(network_holds(&low, &high));
}

/* First and last address of each, and its neighbours on both sides; NULL: public. */
static void special_networks_end_where_they_end(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } all[] = {
        {"0.0.0.0", "0.0.0.0/8 is this host"},
        {"0.255.255.255", "0.0.0.0/8 is this host"},
        {"1.0.0.0", NULL},
        {"9.255.255.255", NULL},
        {"10.0.0.0", "10.0.0.0/8 is private"},
        {"10.255.255.255", "10.0.0.0/8 is private"},
        {"11.0.0.0", NULL},
        {"100.63.255.255", NULL},
        {"100.64.0.0", "100.64.0.0/10 is shared by a provider"},
        {"100.100.100.200", "cloud metadata"},
        {"100.127.255.255", "100.64.0.0/10 is shared by a provider"},
        {"100.128.0.0", NULL},
        {"126.255.255.255", NULL},
        {"127.0.0.1", "127.0.0.0/8 is loopback"},
        {"127.255.255.255", "127.0.0.0/8 is loopback"},
        {"128.0.0.0", NULL},
        {"168.63.129.15", NULL},
        {"168.63.129.16", "cloud metadata"},
        {"168.63.129.17", NULL},
        {"169.253.255.255", NULL},
        {"169.254.0.0", "169.254.0.0/16 is link-local"},
        {"169.254.169.254", "cloud metadata"},
        {"169.254.255.255", "169.254.0.0/16 is link-local"},
        {"169.255.0.0", NULL},
        {"172.15.255.255", NULL},
        {"172.16.0.0", "172.16.0.0/12 is private"},
        {"172.31.255.255", "172.16.0.0/12 is private"},
        {"172.32.0.0", NULL},
        {"191.255.255.255", NULL},
        {"192.0.0.0", "192.0.0.0/24 is reserved for protocols"},
        {"192.0.0.192", "cloud metadata"},
        {"192.0.0.255", "192.0.0.0/24 is reserved for protocols"},
        {"192.0.1.255", NULL},
        {"192.0.2.0", "192.0.2.0/24 is documentation"},
        {"192.0.2.255", "192.0.2.0/24 is documentation"},
        {"192.0.3.0", NULL},
        {"192.88.98.255", NULL},
        {"192.88.99.1", "192.88.99.0/24 is 6to4 relays"},
        {"192.88.100.0", NULL},
        {"192.167.255.255", NULL},
        {"192.168.0.0", "192.168.0.0/16 is private"},
        {"192.168.255.255", "192.168.0.0/16 is private"},
        {"192.169.0.0", NULL},
        {"198.17.255.255", NULL},
        {"198.18.0.0", "198.18.0.0/15 is benchmarking"},
        {"198.19.255.255", "198.18.0.0/15 is benchmarking"},
        {"198.20.0.0", NULL},
        {"198.51.99.255", NULL},
        {"198.51.100.1", "198.51.100.0/24 is documentation"},
        {"198.51.101.0", NULL},
        {"203.0.112.255", NULL},
        {"203.0.113.1", "203.0.113.0/24 is documentation"},
        {"203.0.114.0", NULL},
        {"223.255.255.255", NULL},
        {"224.0.0.0", "224.0.0.0/4 is multicast"},
        {"239.255.255.255", "224.0.0.0/4 is multicast"},
        {"240.0.0.0", "240.0.0.0/4 is reserved"},
        {"255.255.255.254", "240.0.0.0/4 is reserved"},
        {"255.255.255.255", "255.255.255.255 is broadcast"},
        {"::", "::/128 is no address"},
        {"::1", "::1/128 is loopback"},
        {"::2", "::/96 embeds an IPv4 address"},
        {"::7f00:1", "::/96 embeds an IPv4 address"},
        {"::1:0:0", "outside 2000::/3, which alone is public"},
        {"::ffff:0:7f00:1", "::ffff:0:0:0/96 embeds an IPv4 address"},
        {"64:ff9b::a00:1", "64:ff9b::/96 embeds an IPv4 address"},
        {"64:ff9b:1::a00:1", "64:ff9b:1::/48 embeds an IPv4 address"},
        {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::/48 embeds an IPv4 address"},
        {"64:ff9b:2::", "outside 2000::/3, which alone is public"},
        {"100::1", "100::/64 is discarded"},
        {"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "outside 2000::/3, which alone is public"},
        {"2000::", NULL},
        {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
        {"2001::1", "2001::/32 embeds an IPv4 address (Teredo)"},
        {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/32 embeds an IPv4 address (Teredo)"},
        {"2001:1::1", "2001::/23 is reserved for protocols"},
        {"2001:2::", "2001::/23 is reserved for protocols"},
        {"2001:10::", "2001:10::/28 is identifiers (ORCHID)"},
        {"2001:1f:ffff::", "2001:10::/28 is identifiers (ORCHID)"},
        {"2001:20::", "2001:20::/28 is identifiers (ORCHID)"},
        {"2001:2f::", "2001:20::/28 is identifiers (ORCHID)"},
        {"2001:30::", "2001::/23 is reserved for protocols"},
        {"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/23 is reserved for protocols"},
        {"2001:200::", NULL},
        {"2001:db7:ffff::", NULL},
        {"2001:db8::", "2001:db8::/32 is documentation"},
        {"2001:db8:ffff::", "2001:db8::/32 is documentation"},
        {"2001:db9::", NULL},
        {"2001:ffff:ffff::", NULL},
        {"2002:7f00:1::", "2002::/16 embeds an IPv4 address (6to4)"},
        {"2003::", NULL},
        {"2a00:1450::1", NULL},
        {"3ffe:ffff::", NULL},
        {"3fff::", "3fff::/20 is documentation"},
        {"3fff:fff:ffff::", "3fff::/20 is documentation"},
        {"3fff:1000::", NULL},
        {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
        {"4000::", "outside 2000::/3, which alone is public"},
        {"fc00::", "fc00::/7 is private"},
        {"fd00:ec2::254", "cloud metadata"},
        {"fd00:ec2::253", "fc00::/7 is private"},
        {"fd20:ce::254", "cloud metadata"},
        {"fd00:6369::1", "fc00::/7 is private"},
        {"fdff:ffff::", "fc00::/7 is private"},
        {"fe00::", "outside 2000::/3, which alone is public"},
        {"fe80::1", "fe80::/10 is link-local"},
        {"febf:ffff::", "fe80::/10 is link-local"},
        {"fec0::", "fec0::/10 is site-local"},
        {"feff:ffff::", "fec0::/10 is site-local"},
        {"ff02::1", "ff00::/8 is multicast"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(all); i++) {
        address a = parsed(all[i].text);
        const char *words = address_special(&a);
        if (all[i].words == NULL ? words != NULL : words == NULL || strcmp(words, all[i].words) != 0)
            fail_msg("%s: %s", all[i].text, words != NULL ? words : "public");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(ipv6_that_holds_a_mapped_address_is_refused),
        cmocka_unit_test(networks_hold_their_own_family_alone),
        cmocka_unit_test(special_networks_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
