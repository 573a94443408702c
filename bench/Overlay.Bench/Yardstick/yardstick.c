/* What the C compiler makes of checksum and segmentation: straightforward loops, left to its vectoriser. Little-endian, like the
 * machines that it is run on. */
#include <stdint.h>
#include <string.h>

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static uint16_t load16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void store16(uint8_t *at, uint16_t value) { memcpy(at, &value, sizeof value); }

static void store32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t yardstick_checksum(const uint8_t *data, intptr_t length, uint64_t sum)
{
    uint64_t part = 0;
    intptr_t words = length / 4;
    for (intptr_t i = 0; i < words; i++)
        part += load32(data + 4 * i);
    data += 4 * words;
    if (length & 2) {
        part += load16(data);
        data += 2;
    }
    if (length & 1)
        part += *data;
    sum += part;
    return sum + (sum < part);
}

static void resize_ip(uint8_t *ip, int header, int transport_length, uint16_t identification)
{
    if (ip[0] >> 4 == 6) {
        store16(ip + 4, __builtin_bswap16((uint16_t)(header - 40 + transport_length)));
        return;
    }
    store16(ip + 2, __builtin_bswap16((uint16_t)(header + transport_length)));
    store16(ip + 4, __builtin_bswap16(identification));
    store16(ip + 10, 0);
    store16(ip + 10, (uint16_t)~fold(yardstick_checksum(ip, header, 0)));
}

int yardstick_segment(const uint8_t *frame, int network, int transport, int payload, int end, int size, uint8_t *headers, int slot)
{
    const uint8_t *ip = frame + network, *tcp = frame + transport;
    uint16_t identification = __builtin_bswap16(load16(ip + 4));
    uint32_t sequence = __builtin_bswap32(load32(tcp + 4));
    uint16_t whole = __builtin_bswap16((uint16_t)(end - transport));
    int segments = 0;
    for (int offset = payload; offset < end; offset += size, segments++, headers += slot) {
        int length = end - offset < size ? end - offset : size;
        int transport_length = payload - transport + length;
        uint8_t *segment = headers + transport;
        memcpy(headers, frame, payload);
        resize_ip(headers + network, transport - network, transport_length, (uint16_t)(identification + segments));
        store32(segment + 4, __builtin_bswap32(sequence + (uint32_t)(offset - payload)));
        if (segments > 0)
            segment[13] &= (uint8_t)~TCP_CWR;
        if (offset + length < end)
            segment[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);

        /* The field holds the pseudo-header sum with the super-packet's length: put the segment's in its place. */
        uint64_t sum = (uint16_t)~whole + (uint64_t)__builtin_bswap16((uint16_t)transport_length);
        sum = yardstick_checksum(segment, payload - transport, sum);
        sum = yardstick_checksum(frame + offset, length, sum);
        store16(segment + 16, (uint16_t)~fold(sum));
    }
    return segments;
}
