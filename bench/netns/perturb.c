// A relay between two network devices that loses, repeats, reorders, marks and damages frames: a bad underlay on purpose.
// The devices at the far ends must have TSO, GSO and transmit checksum offload off, so that only real packets arrive.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,
    LARGEST_FRAME = 9216 + ETHER_HDR_LEN,
    HELD_FRAMES = 64,
    MOST_OVERTAKING = 8,   // frames that may pass one that is held
    HOLD_MILLISECONDS = 2, // after which it is sent even if none passes
    LOOK_UP_MILLISECONDS = 100, // how late, at most, the end is noticed on an idle underlay
    SOCKET_BUFFER = 16 << 20,
};

static const char usage_text[] =
    "usage: perturb [options] DEVICE DEVICE\n"
    "Carries every frame from each device to the other. Chances are in percent, each drawn for itself:\n"
    "  --loss P       drop the frame\n"
    "  --duplicate P  send it twice\n"
    "  --reorder P    let 1 to 8 later frames pass it, or 2 ms\n"
    "  --mark P       set CE where the outer IP header says ECT\n"
    "  --corrupt P    flip one bit behind the Ethernet header\n"
    "  --seed N       of the pseudo-random sequence (1)\n"
    "Prints `ready` once it relays and, ended by SIGTERM or SIGINT, one line of JSON with what it did.\n";

struct chances {
    double loss, duplicate, reorder, mark, corrupt;
};

struct counts {
    unsigned long long received, sent, lost, duplicated, reordered, marked, corrupted, refused;
};

struct held_frame {
    uint8_t bytes[LARGEST_FRAME];
    size_t length; // 0: free
    unsigned passes;
    double until;
};

struct direction {
    int from, to;
    unsigned holding; // of the frames below, how many are in use
    struct held_frame held[HELD_FRAMES];
};

static struct chances chances;
static struct counts counts;
static uint64_t random_state = 1;
static volatile sig_atomic_t ending;

_Noreturn static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("perturb: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t next_random(void) {
    random_state += 0x9e3779b97f4a7c15;
    uint64_t mixed = random_state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static bool happens(double percent) {
    return percent > 0 && (double)(next_random() >> 11) * 0x1p-53 * 100 < percent;
}

static double now_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

// Adds to an Internet checksum what changing one 16-bit word changes (RFC 1624, equation 3).
static uint16_t adjust_checksum(uint16_t checksum, uint16_t old_word, uint16_t new_word) {
    uint32_t sum = (uint16_t)~checksum + (uint16_t)~old_word + (uint32_t)new_word;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint16_t load_word(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void store_word(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static bool mark_congestion(uint8_t *frame, size_t length) {
    uint8_t *packet = frame + ETHER_HDR_LEN;
    uint16_t type = load_word(frame + 12);
    if (type == ETHERTYPE_IP && length >= ETHER_HDR_LEN + 20 && (packet[1] & 3) % 3 != 0) {
        uint16_t old_word = load_word(packet);
        packet[1] |= 3;
        store_word(packet + 10, adjust_checksum(load_word(packet + 10), old_word, load_word(packet)));
        return true;
    }
    if (type == ETHERTYPE_IPV6 && length >= ETHER_HDR_LEN + 40 && ((packet[1] >> 4) & 3) % 3 != 0) {
        packet[1] |= 3 << 4;
        return true;
    }
    return false;
}

static void corrupt(uint8_t *frame, size_t length) {
    if (length <= ETHER_HDR_LEN)
        return;
    size_t bit = (size_t)(next_random() % ((length - ETHER_HDR_LEN) * 8));
    frame[ETHER_HDR_LEN + bit / 8] ^= (uint8_t)(1 << bit % 8);
    counts.corrupted++;
}

// The device may be full for a moment: a frame it refuses is lost, and counted as such.
static void transmit(const struct direction *direction, const uint8_t *frame, size_t length) {
    if (send(direction->to, frame, length, 0) == (ssize_t)length)
        counts.sent++;
    else
        counts.refused++;
}

static bool hold(struct direction *direction, const uint8_t *frame, size_t length) {
    for (int i = 0; i < HELD_FRAMES; i++) {
        struct held_frame *held = &direction->held[i];
        if (held->length != 0)
            continue;
        memcpy(held->bytes, frame, length);
        held->length = length;
        held->passes = 1 + (unsigned)(next_random() % MOST_OVERTAKING);
        held->until = now_milliseconds() + HOLD_MILLISECONDS;
        direction->holding++;
        return true;
    }
    return false;
}

static void release(struct direction *direction, unsigned passed) {
    if (direction->holding == 0)
        return;
    double now = now_milliseconds();
    for (int i = 0; i < HELD_FRAMES; i++) {
        struct held_frame *held = &direction->held[i];
        if (held->length == 0)
            continue;
        held->passes -= passed < held->passes ? passed : held->passes;
        if (held->passes > 0 && now < held->until)
            continue;
        transmit(direction, held->bytes, held->length);
        held->length = 0;
        direction->holding--;
    }
}

static void relay(struct direction *direction, uint8_t *frame, size_t length) {
    counts.received++;
    if (happens(chances.loss)) {
        counts.lost++;
        return;
    }
    if (happens(chances.mark) && mark_congestion(frame, length))
        counts.marked++;
    if (happens(chances.corrupt))
        corrupt(frame, length);
    if (happens(chances.reorder) && hold(direction, frame, length)) {
        counts.reordered++;
        return;
    }
    transmit(direction, frame, length);
    if (happens(chances.duplicate)) {
        transmit(direction, frame, length);
        counts.duplicated++;
    }
    release(direction, 1);
}

static void receive(struct direction *direction) {
    static uint8_t frames[BATCH][LARGEST_FRAME];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = frames[i], .iov_len = LARGEST_FRAME};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(direction->from, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
        fail("recvmmsg: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) == 0)
            relay(direction, frames[i], messages[i].msg_len);
        else
            counts.refused++;
    }
}

static int open_device(const char *name) {
    // Bound before any protocol is set, or frames of other devices would arrive first.
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("AF_PACKET socket: %s", strerror(errno));
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    if (address.sll_ifindex == 0)
        fail("%s: no such device", name);
    int buffer = SOCKET_BUFFER, one = 1;
    struct packet_mreq promiscuous = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("%s: %s", name, strerror(errno));
    return fd;
}

static double percent(const char *text, const char *option) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= 0 && value <= 100))
        fail("--%s %s: must be a percentage from 0 to 100", option, text);
    return value;
}

static void parse_options(int count, char **arguments) {
    static const struct option known[] = {
        {"loss", required_argument, NULL, 'l'},    {"duplicate", required_argument, NULL, 'd'},
        {"reorder", required_argument, NULL, 'r'}, {"mark", required_argument, NULL, 'm'},
        {"corrupt", required_argument, NULL, 'c'}, {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    int option, index = 0;
    while ((option = getopt_long(count, arguments, "", known, &index)) != -1) {
        switch (option) {
        case 'l': chances.loss = percent(optarg, "loss"); break;
        case 'd': chances.duplicate = percent(optarg, "duplicate"); break;
        case 'r': chances.reorder = percent(optarg, "reorder"); break;
        case 'm': chances.mark = percent(optarg, "mark"); break;
        case 'c': chances.corrupt = percent(optarg, "corrupt"); break;
        case 's': random_state = strtoull(optarg, NULL, 0); break;
        case 'h': fputs(usage_text, stdout); exit(0);
        default: fputs(usage_text, stderr); exit(1);
        }
    }
    if (count - optind != 2) {
        fputs(usage_text, stderr);
        exit(1);
    }
}

static void end(int signal) {
    (void)signal;
    ending = 1;
}

int main(int count, char **arguments) {
    parse_options(count, arguments);
    static struct direction directions[2];
    directions[0].from = directions[1].to = open_device(arguments[optind]);
    directions[1].from = directions[0].to = open_device(arguments[optind + 1]);
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    puts("ready");
    fflush(stdout);
    while (!ending) {
        struct pollfd sockets[2] = {{.fd = directions[0].from, .events = POLLIN},
                                    {.fd = directions[1].from, .events = POLLIN}};
        bool holding = directions[0].holding + directions[1].holding > 0;
        if (poll(sockets, 2, holding ? HOLD_MILLISECONDS / 2 : LOOK_UP_MILLISECONDS) < 0 && errno != EINTR)
            fail("poll: %s", strerror(errno));
        for (int i = 0; i < 2; i++) {
            receive(&directions[i]);
            release(&directions[i], 0);
        }
    }
    printf("{\"received\": %llu, \"sent\": %llu, \"lost\": %llu, \"duplicated\": %llu, \"reordered\": %llu, "
           "\"marked\": %llu, \"corrupted\": %llu, \"refused\": %llu}\n",
           counts.received, counts.sent, counts.lost, counts.duplicated, counts.reordered, counts.marked,
           counts.corrupted, counts.refused);
    return 0;
}
