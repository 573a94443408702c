// TCP goodput: one thread a direction and stream, counted where the bytes arrive.
#define _GNU_SOURCE
#include "loadgen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = PATTERN_SPAN, DRAIN_SECONDS = 20 };
static const double warm_up_seconds = 0.5;

struct stream {
    uint64_t origin; // where in the pattern this stream begins, so that no two streams carry the same bytes
    int sender;
    int receiver;
    struct counter received;
    struct counter mismatches;
    uint64_t sent;
    unsigned retransmits;
};

static struct stream streams[MAX_STREAMS];
static atomic_bool stopping;
static atomic_int finished_senders;
static atomic_int finished_receivers;
static bool verifying;

static void *send_stream(void *argument) {
    struct stream *stream = argument;
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        ssize_t count = send(stream->sender, pattern_at(stream->origin + stream->sent), CHUNK, MSG_NOSIGNAL);
        if (count > 0)
            stream->sent += (uint64_t)count;
        else if (errno != EAGAIN && errno != EINTR)
            fatal_errno("send");
    }
    struct tcp_info info;
    if (getsockopt(stream->sender, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}) == 0)
        stream->retransmits = info.tcpi_total_retrans;
    if (verifying)
        shutdown(stream->sender, SHUT_WR);
    atomic_fetch_add(&finished_senders, 1);
    return NULL;
}

static void *receive_stream(void *argument) {
    struct stream *stream = argument;
    uint8_t *buffer = aligned_alloc(4096, CHUNK);
    if (buffer == NULL)
        fatal("out of memory");
    uint64_t total = 0;
    for (;;) {
        ssize_t count = recv(stream->receiver, buffer, CHUNK, 0);
        if (count == 0)
            break;
        if (count < 0) {
            if (errno == EINTR)
                continue;
            fatal("recv: %s", errno == EAGAIN ? "the stream stalled" : strerror(errno));
        }
        if (verifying && memcmp(buffer, pattern_at(stream->origin + total), (size_t)count) != 0)
            atomic_fetch_add_explicit(&stream->mismatches.value, 1, memory_order_relaxed);
        total += (uint64_t)count;
        atomic_store_explicit(&stream->received.value, total, memory_order_relaxed);
    }
    atomic_fetch_add(&finished_receivers, 1);
    return NULL;
}

static uint64_t received_bytes(int count) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += atomic_load_explicit(&streams[i].received.value, memory_order_relaxed);
    return sum;
}

static void open_streams(const struct options *options) {
    for (int i = 0; i < options->streams; i++) {
        int listener = open_server(options, SOCK_STREAM, i);
        int client = open_client(options, SOCK_STREAM, i);
        int server = accept_one(listener);
        close(listener);
        streams[i].origin = (uint64_t)i * 104729;
        streams[i].sender = options->reverse ? server : client;
        streams[i].receiver = options->reverse ? client : server;
        set_timeouts(streams[i].sender, 1);
        set_timeouts(streams[i].receiver, DRAIN_SECONDS);
        if (!verifying) {
            // A reset ends the connection at once: nothing of it runs on into the next measurement.
            struct linger abort_on_close = {.l_onoff = 1};
            setsockopt(client, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
            setsockopt(server, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
        }
    }
}

static void wait_for(atomic_int *finished, int count, const char *what) {
    double deadline = monotonic_seconds() + DRAIN_SECONDS;
    while (atomic_load(finished) < count) {
        if (monotonic_seconds() > deadline)
            fatal("%s did not finish within %d s", what, DRAIN_SECONDS);
        sleep_seconds(0.002);
    }
}

int run_tcp(const struct options *options) {
    verifying = options->verify;
    open_streams(options);
    for (int i = 0; i < options->streams; i++) {
        start_thread(receive_stream, &streams[i]);
        start_thread(send_stream, &streams[i]);
    }
    sleep_seconds(warm_up_seconds);
    struct cpu_time cpu_before = read_cpu_time();
    uint64_t bytes_before = received_bytes(options->streams);
    double start = monotonic_seconds();
    sleep_seconds(options->seconds);
    uint64_t bytes = received_bytes(options->streams) - bytes_before;
    double elapsed = monotonic_seconds() - start;
    struct cpu_time cpu_after = read_cpu_time();

    atomic_store(&stopping, true);
    wait_for(&finished_senders, options->streams, "sending");
    if (verifying)
        wait_for(&finished_receivers, options->streams, "receiving");
    uint64_t mismatches = 0, missing = 0, verified = 0, retransmits = 0;
    for (int i = 0; i < options->streams; i++) {
        uint64_t received = atomic_load(&streams[i].received.value);
        mismatches += atomic_load(&streams[i].mismatches.value);
        missing += verifying ? streams[i].sent - received : 0;
        verified += verifying ? received : 0;
        retransmits += streams[i].retransmits;
    }
    double busy = cpu_after.busy - cpu_before.busy;
    printf("{\"gbps\": %.4f, \"cpu_seconds_per_gb\": %.4f, \"cpus_busy\": %.3f, \"stolen_seconds\": %.2f, "
           "\"retransmits\": %llu, \"verified_bytes\": %llu, \"mismatches\": %llu, \"missing_bytes\": %llu}\n",
           (double)bytes * 8e-9 / elapsed, bytes > 0 ? busy / ((double)bytes * 1e-9) : 0, busy / elapsed,
           cpu_after.stolen - cpu_before.stolen, (unsigned long long)retransmits, (unsigned long long)verified,
           (unsigned long long)mismatches, (unsigned long long)missing);
    fflush(stdout);
    _exit(mismatches + missing > 0 ? 3 : 0);
}
