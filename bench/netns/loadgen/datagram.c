// UDP: datagrams delivered, the highest rate with little loss, and a check of every byte, mark and place in order.
#define _GNU_SOURCE
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    SEND_BATCH = 32,
    RECEIVE_BATCH = 64,
    HEADER = 9,            // sequence number and ECN mark in front of a verified payload
    SMALLEST_VERIFIED = 16,
    SEEN_BITS = 1 << 26,   // sequence numbers that are checked for duplicates
    CONTROL = CMSG_SPACE(sizeof(int)),
    SEARCH_STEPS = 8,
};
static const double warm_up_seconds = 0.2;
static const double pace_seconds = 100e-6;
static const double tolerated_loss = 0.01;

struct findings {
    struct counter received;
    struct counter mismatches;  // payload, size or truncation
    struct counter bad_marks;   // ECN mark not as RFC 6040 allows
    struct counter duplicates;
    struct counter reordered;   // arrived after a later one
};

struct sink {
    int fd;
    size_t size;
    bool verify;
    uint64_t next;
    uint8_t *seen;
    struct findings findings;
};

struct source {
    int fd;
    size_t size;
    bool verify;
    uint64_t sent;
    uint8_t *buffers;
    uint8_t (*controls)[CONTROL];
    struct mmsghdr messages[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    int flows;
    int next_flow;
    union ip_address flow_addresses[MAX_STREAMS];
};

static struct sink sink;
static struct source source;

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        fatal("out of memory");
    return memory;
}

static void add_one(struct counter *counter) {
    atomic_fetch_add_explicit(&counter->value, 1, memory_order_relaxed);
}

static uint64_t value_of(struct counter *counter) {
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static size_t verified_size(uint64_t sequence, size_t largest) {
    return SMALLEST_VERIFIED + sequence % (largest - SMALLEST_VERIFIED + 1);
}

// ---- receiving

static int mark_of(struct msghdr *message) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS)
            return *CMSG_DATA(control) & 3;
        if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
            int traffic_class;
            memcpy(&traffic_class, CMSG_DATA(control), sizeof traffic_class);
            return traffic_class & 3;
        }
    }
    return -1;
}

static void verify_datagram(struct mmsghdr *message) {
    const uint8_t *payload = message->msg_hdr.msg_iov->iov_base;
    uint64_t sequence;
    if (message->msg_len < SMALLEST_VERIFIED) {
        add_one(&sink.findings.mismatches);
        return;
    }
    memcpy(&sequence, payload, sizeof sequence);
    if (sequence >= SEEN_BITS || message->msg_len != verified_size(sequence, sink.size) ||
        (message->msg_hdr.msg_flags & MSG_TRUNC) != 0 ||
        memcmp(payload + HEADER, pattern_at(sequence * 1021), message->msg_len - HEADER) != 0) {
        add_one(&sink.findings.mismatches);
        return;
    }
    int sent_mark = payload[8];
    int mark = mark_of(&message->msg_hdr);
    bool congested = mark == 3 && sent_mark != 0;
    if (mark != sent_mark && !congested)
        add_one(&sink.findings.bad_marks);
    uint8_t bit = (uint8_t)(1 << (sequence & 7));
    if ((sink.seen[sequence >> 3] & bit) != 0)
        add_one(&sink.findings.duplicates);
    else if (sequence < sink.next)
        add_one(&sink.findings.reordered);
    sink.seen[sequence >> 3] |= bit;
    if (sequence >= sink.next)
        sink.next = sequence + 1;
}

static void *receive_datagrams(void *unused) {
    (void)unused;
    size_t stride = (sink.size + 1 + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    uint8_t *buffers = allocate(RECEIVE_BATCH * stride);
    static uint8_t controls[RECEIVE_BATCH][CONTROL];
    struct mmsghdr messages[RECEIVE_BATCH] = {0};
    struct iovec vectors[RECEIVE_BATCH];
    for (int i = 0; i < RECEIVE_BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = buffers + (size_t)i * stride, .iov_len = stride};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    for (;;) {
        for (int i = 0; sink.verify && i < RECEIVE_BATCH; i++) {
            messages[i].msg_hdr.msg_control = controls[i];
            messages[i].msg_hdr.msg_controllen = CONTROL;
        }
        int count = recvmmsg(sink.fd, messages, RECEIVE_BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            fatal_errno("recvmmsg");
        for (int i = 0; sink.verify && i < count; i++)
            verify_datagram(&messages[i]);
        if (count > 0)
            atomic_fetch_add_explicit(&sink.findings.received.value, (uint64_t)count, memory_order_relaxed);
    }
}

// ---- sending

static void prepare_verified(int index) {
    uint64_t sequence = source.sent + (uint64_t)index;
    int mark = (int)(sequence % MARK_COUNT);
    uint8_t *payload = source.vectors[index].iov_base;
    size_t length = verified_size(sequence, source.size);
    memcpy(payload, &sequence, sizeof sequence);
    payload[8] = (uint8_t)mark;
    memcpy(payload + HEADER, pattern_at(sequence * 1021), length - HEADER);
    source.vectors[index].iov_len = length;
    struct cmsghdr *control = CMSG_FIRSTHDR(&source.messages[index].msg_hdr);
    memcpy(CMSG_DATA(control), &mark, sizeof mark);
}

static void send_batch(int count) {
    for (int i = 0; source.verify && i < count; i++)
        prepare_verified(i);
    for (int i = 0; source.flows > 1 && i < count; i++) {
        source.messages[i].msg_hdr.msg_name = &source.flow_addresses[source.next_flow];
        source.next_flow = (source.next_flow + 1) % source.flows;
    }
    int sent = sendmmsg(source.fd, source.messages, (unsigned)count, 0);
    if (sent > 0)
        source.sent += (uint64_t)sent;
    else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        fatal_errno("sendmmsg");
}

static void send_for(double rate, double seconds) {
    double start = monotonic_seconds();
    uint64_t first = source.sent;
    for (double now = start; now < start + seconds; now = monotonic_seconds()) {
        if (rate == 0) {
            send_batch(SEND_BATCH);
            continue;
        }
        double due = (now - start) * rate - (double)(source.sent - first);
        if (due < 1)
            sleep_seconds(pace_seconds);
        else
            send_batch(due < SEND_BATCH ? (int)due : SEND_BATCH);
    }
}

// Waits until `expected` have arrived or none has for `quiet` seconds, so that what is in flight counts for what was sent.
static uint64_t received_after_drain(uint64_t expected, double quiet) {
    uint64_t received = value_of(&sink.findings.received);
    for (double last = monotonic_seconds(); received < expected && monotonic_seconds() < last + quiet;) {
        sleep_seconds(0.005);
        uint64_t before = received;
        received = value_of(&sink.findings.received);
        if (received != before)
            last = monotonic_seconds();
    }
    return received;
}

// ---- set-up

// One socket receives all flows, which differ in their addresses.
static int open_server_for_flows(const struct options *options) {
    if (options->destinations == 0 || options->verify)
        fatal("--streams %d of datagrams: need --destinations, and no --verify", options->streams);
    struct options everywhere = *options;
    everywhere.address.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    return open_server(&everywhere, SOCK_DGRAM, 0);
}

static void open_ends(const struct options *options) {
    bool v6 = options->address.any.sa_family == AF_INET6;
    if (options->verify && options->size < SMALLEST_VERIFIED)
        fatal("--size %zu: --verify needs at least %d", options->size, SMALLEST_VERIFIED);
    sink = (struct sink){.size = options->size, .verify = options->verify, .seen = allocate(SEEN_BITS / 8)};
    sink.fd = options->streams == 1 ? open_server(options, SOCK_DGRAM, 0) : open_server_for_flows(options);
    set_datagram_buffers(sink.fd);
    setsockopt(sink.fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &(int){1}, sizeof(int));
    source = (struct source){.size = options->size, .verify = options->verify};
    source.fd = open_client(options, SOCK_DGRAM, 0);
    source.flows = options->streams;
    for (int i = 0; i < source.flows; i++)
        source.flow_addresses[i] = stream_address(options, i);
    set_datagram_buffers(source.fd);
    source.buffers = allocate(SEND_BATCH * options->size);
    source.controls = allocate(SEND_BATCH * sizeof *source.controls);
    for (int i = 0; i < SEND_BATCH; i++) {
        uint8_t *payload = source.buffers + (size_t)i * options->size;
        memcpy(payload, pattern_at((uint64_t)i), options->size);
        source.vectors[i] = (struct iovec){.iov_base = payload, .iov_len = options->size};
        struct msghdr *message = &source.messages[i].msg_hdr;
        *message = (struct msghdr){
            .msg_iov = &source.vectors[i], .msg_iovlen = 1, .msg_namelen = source.flows > 1 ? options->address_length : 0};
        if (!options->verify)
            continue;
        message->msg_control = source.controls[i];
        message->msg_controllen = CONTROL;
        struct cmsghdr *control = CMSG_FIRSTHDR(message);
        control->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
        control->cmsg_type = v6 ? IPV6_TCLASS : IP_TOS;
        control->cmsg_len = CMSG_LEN(sizeof(int));
    }
    prctl(PR_SET_TIMERSLACK, 1000UL);
    start_thread(receive_datagrams, NULL);
}

struct flow_rate {
    double sent;
    double delivered;
    double cpu_seconds;
};

static struct flow_rate flood(double seconds) {
    send_for(0, warm_up_seconds);
    struct cpu_time before = read_cpu_time();
    uint64_t received = value_of(&sink.findings.received);
    uint64_t sent = source.sent;
    double start = monotonic_seconds();
    send_for(0, seconds);
    double elapsed = monotonic_seconds() - start;
    received = value_of(&sink.findings.received) - received;
    sent = source.sent - sent;
    double busy = read_cpu_time().busy - before.busy;
    received_after_drain(source.sent, sink.verify ? 0.25 : 0.05);
    return (struct flow_rate){(double)sent / elapsed, (double)received / elapsed, busy};
}

static struct flow_rate paced(double rate, double seconds) {
    struct cpu_time before = read_cpu_time();
    uint64_t received = value_of(&sink.findings.received);
    uint64_t sent = source.sent;
    send_for(rate, seconds);
    sent = source.sent - sent;
    received = received_after_drain(received + sent, sink.verify ? 1 : 0.05) - received;
    return (struct flow_rate){(double)sent / seconds, (double)received / seconds, read_cpu_time().busy - before.busy};
}

int run_udp(const struct options *options) {
    open_ends(options);
    struct flow_rate rate = options->rate == 0 ? flood(options->seconds) : paced(options->rate, options->seconds);
    uint64_t wrong = value_of(&sink.findings.mismatches) + value_of(&sink.findings.bad_marks);
    double gigabytes = rate.delivered * options->seconds * (double)options->size * 1e-9;
    printf("{\"sent_pps\": %.0f, \"delivered_pps\": %.0f, \"loss\": %.5f, \"cpu_seconds_per_gb\": %.4f, "
           "\"sent\": %llu, \"received\": %llu, \"mismatches\": %llu, \"bad_marks\": %llu, \"duplicates\": %llu, "
           "\"reordered\": %llu}\n",
           rate.sent, rate.delivered, rate.sent > 0 ? 1 - rate.delivered / rate.sent : 1,
           gigabytes > 0 ? rate.cpu_seconds / gigabytes : 0, (unsigned long long)source.sent,
           (unsigned long long)value_of(&sink.findings.received), (unsigned long long)value_of(&sink.findings.mismatches),
           (unsigned long long)value_of(&sink.findings.bad_marks),
           (unsigned long long)value_of(&sink.findings.duplicates),
           (unsigned long long)value_of(&sink.findings.reordered));
    return wrong > 0 ? 3 : 0;
}

// A step is repeated once before it counts as lossy: on a shared machine a single pause must not end the search.
static bool sustains(double rate, double seconds, double *delivered) {
    for (int attempt = 0; attempt < 2; attempt++) {
        struct flow_rate measured = paced(rate, seconds);
        *delivered = measured.delivered;
        if (measured.sent >= rate * 0.97 && measured.delivered >= measured.sent * (1 - tolerated_loss))
            return true;
    }
    return false;
}

int run_udp_search(const struct options *options) {
    open_ends(options);
    struct flow_rate flooded = flood(options->seconds);
    double best = 0;
    if (flooded.delivered >= flooded.sent * (1 - tolerated_loss)) {
        best = flooded.delivered;
    } else {
        double low = 0, high = flooded.sent, rate = flooded.delivered, delivered;
        for (int step = 0; step < SEARCH_STEPS; step++) {
            if (sustains(rate, options->seconds, &delivered)) {
                best = delivered;
                low = rate;
            } else {
                high = rate;
            }
            rate = (low + high) / 2;
        }
    }
    printf("{\"pps_at_1pct_loss\": %.0f, \"flood_delivered_pps\": %.0f, \"flood_sent_pps\": %.0f}\n", best,
           flooded.delivered, flooded.sent);
    return 0;
}
