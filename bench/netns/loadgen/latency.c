// Round trips and connection set-up.
#define _GNU_SOURCE
#include "loadgen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SAMPLES = 4 << 20, STALL_SECONDS = 5 };
static const double warm_up_seconds = 0.2;

static const struct options *run;
static int answering[MAX_STREAMS];

static bool transfer(int fd, uint8_t *buffer, size_t size, ssize_t (*call)(int, void *, size_t)) {
    for (size_t done = 0; done < size;) {
        ssize_t count = call(fd, buffer + done, size - done);
        if (count == 0)
            return false;
        if (count < 0 && errno != EINTR)
            fatal("request/response: %s", errno == EAGAIN ? "no answer in time" : strerror(errno));
        if (count > 0)
            done += (size_t)count;
    }
    return true;
}

static ssize_t send_part(int fd, void *data, size_t size) {
    return send(fd, data, size, MSG_NOSIGNAL);
}

static ssize_t receive_part(int fd, void *data, size_t size) {
    return recv(fd, data, size, 0);
}

static void *answer_requests(void *unused) {
    (void)unused;
    pin_to_end(1);
    uint8_t *buffer = malloc(run->size);
    if (buffer == NULL)
        fatal("out of memory");
    for (int i = 0; transfer(answering[i], buffer, run->size, receive_part) &&
                    transfer(answering[i], buffer, run->size, send_part);)
        i = (i + 1) % run->streams;
    return NULL;
}

static int by_value(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static void open_pair(const struct options *options, int stream, int *client, int *server) {
    int listener = open_server(options, SOCK_STREAM, stream);
    *client = open_client(options, SOCK_STREAM, stream);
    *server = accept_one(listener);
    close(listener);
    int *ends[] = {client, server};
    for (int i = 0; i < 2; i++) {
        setsockopt(*ends[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        set_timeouts(*ends[i], STALL_SECONDS);
    }
}

int run_request_response(const struct options *options) {
    run = options;
    int clients[MAX_STREAMS];
    for (int i = 0; i < options->streams; i++)
        open_pair(options, i, &clients[i], &answering[i]);
    start_thread(answer_requests, NULL);
    pin_to_end(0);
    float *samples = malloc(MAX_SAMPLES * sizeof *samples);
    uint8_t *request = malloc(options->size), *response = malloc(options->size);
    if (samples == NULL || request == NULL || response == NULL)
        fatal("out of memory");
    int count = 0;
    uint64_t sequence = 0;
    double begin = monotonic_seconds() + warm_up_seconds, end = begin + options->seconds;
    for (double start = monotonic_seconds(); start < end && count < MAX_SAMPLES; sequence++) {
        int client = clients[sequence % (uint64_t)options->streams];
        memcpy(request, pattern_at(sequence), options->size);
        transfer(client, request, options->size, send_part);
        if (!transfer(client, response, options->size, receive_part))
            fatal("request/response: the server closed the connection");
        double finish = monotonic_seconds();
        if (memcmp(request, response, options->size) != 0)
            fatal("request/response: the answer differs from the request");
        if (start >= begin)
            samples[count++] = (float)((finish - start) * 1e6);
        start = finish;
    }
    if (count == 0)
        fatal("request/response: no round trip within the window");
    qsort(samples, (size_t)count, sizeof *samples, by_value);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"transactions\": %d}\n", (double)samples[count / 2],
           (double)samples[(int)(count * 0.99)], count);
    fflush(stdout);
    _exit(0);
}

static struct counter completed[MAX_STREAMS];

// The server closes first, so that it, not the client, keeps the ports in TIME_WAIT and the client never runs out.
static void *accept_and_close(void *argument) {
    int listener = *(int *)argument;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            fatal_errno("accept");
    }
}

static void *connect_and_close(void *argument) {
    struct counter *counter = argument;
    enter_namespace(run->client);
    for (;;) {
        int fd = open_socket(run, SOCK_STREAM);
        set_timeouts(fd, STALL_SECONDS);
        uint8_t byte;
        if (connect(fd, &run->address.any, run->address_length) != 0)
            fatal("connect: %s", errno == EINPROGRESS ? "no answer in time" : strerror(errno));
        if (recv(fd, &byte, 1, 0) != 0)
            fatal("connect: %s", errno == EAGAIN ? "not closed in time" : strerror(errno));
        close(fd);
        atomic_fetch_add_explicit(&counter->value, 1, memory_order_relaxed);
    }
}

static uint64_t total_completed(void) {
    uint64_t sum = 0;
    for (int i = 0; i < run->streams; i++)
        sum += atomic_load_explicit(&completed[i].value, memory_order_relaxed);
    return sum;
}

int run_connect(const struct options *options) {
    run = options;
    int listener = open_server(options, SOCK_STREAM, 0);
    start_thread(accept_and_close, &listener);
    for (int i = 0; i < options->streams; i++)
        start_thread(connect_and_close, &completed[i]);
    sleep_seconds(warm_up_seconds);
    uint64_t before = total_completed();
    double start = monotonic_seconds();
    sleep_seconds(options->seconds);
    double rate = (double)(total_completed() - before) / (monotonic_seconds() - start);
    printf("{\"connections_per_second\": %.0f}\n", rate);
    fflush(stdout);
    _exit(0);
}
