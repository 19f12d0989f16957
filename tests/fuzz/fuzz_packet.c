/* Any bytes as a packet of a guest: what is found lies within them, a packet that is turned is still one, and what is
 * answered is small and well formed. */
#include <string.h>

#include "fuzz.h"
#include "supervisor/gateway/packet.h"

static void check_answer(size_t (*make)(uint8_t *, const packet *), const packet *p) {
    uint8_t out[PACKET_HEADERS_MAX];
    size_t size = make(out, p);
    FUZZ_CHECK(size > 0 && size <= sizeof out && out[0] >> 4 == (p->v6 ? 6 : 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *own = malloc(size > 0 ? size : 1); /* of its very size, for the sanitizer to see what is read beyond */
    packet p, again;
    FUZZ_CHECK(own != NULL);
    memcpy(own, data, size);
    if (packet_parse(own, size, &p)) {
        FUZZ_CHECK(p.size <= size && p.payload >= p.transport + 8 && p.payload + p.payload_size <= own + p.size);
        const endpoint source = p.target, target = {.address = p.source.address, .port = 7};
        for (int partial = 0; partial < 2; partial++) {
            packet_readdress(&p, &source, &target, partial != 0);
            FUZZ_CHECK(packet_parse(own, size, &again) && again.size == p.size);
            FUZZ_CHECK(endpoint_equal(&again.source, &source) && endpoint_equal(&again.target, &target));
        }
        check_answer(packet_make_unreachable, &p);
        check_answer(packet_make_no_route, &p);
        if (p.protocol == IPPROTO_TCP)
            check_answer(packet_make_reset, &p);
    }
    free(own);
    return 0;
}
