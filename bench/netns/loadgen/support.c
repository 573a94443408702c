// Namespaces, sockets, clocks and the payload pattern.
#define _GNU_SOURCE
#include "loadgen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_SECONDS = 5, DATAGRAM_BUFFER = 8 << 20, PATTERN_PERIOD = 1048573, DESTINATION_STRIDE = 256 };

static uint8_t pattern[PATTERN_PERIOD + PATTERN_SPAN];

void fatal(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void fatal_errno(const char *call) {
    fatal("%s: %s", call, strerror(errno));
}

double monotonic_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void sleep_seconds(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        continue;
}

struct cpu_time read_cpu_time(void) {
    unsigned long long user, nice, system, idle, wait, hard, soft, steal;
    FILE *file = fopen("/proc/stat", "r");
    if (file == NULL)
        fatal_errno("/proc/stat");
    int fields = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &hard,
                        &soft, &steal);
    fclose(file);
    if (fields != 8)
        fatal("/proc/stat: the first line is not the sum over all CPUs");
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    return (struct cpu_time){
        .busy = (double)(user + nice + system + hard + soft) * tick,
        .stolen = (double)steal * tick,
    };
}

void enter_namespace(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/var/run/netns/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fatal_errno(path);
    if (setns(fd, CLONE_NEWNET) != 0)
        fatal_errno("setns");
    close(fd);
}

void pin_to_end(int end) {
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0)
        fatal_errno("sched_getaffinity");
    int chosen = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && (end == 1 || chosen < 0))
            chosen = cpu;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        fatal_errno("sched_setaffinity");
}

void start_thread(void *(*body)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    if (error != 0)
        fatal("pthread_create: %s", strerror(error));
    pthread_detach(thread);
}

int open_socket(const struct options *options, int type) {
    int fd = socket(options->address.any.sa_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fatal_errno("socket");
    if (type == SOCK_STREAM && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, options->congestion,
                                          (socklen_t)strlen(options->congestion)) != 0)
        fatal("--congestion %s: %s", options->congestion, strerror(errno));
    return fd;
}

union ip_address stream_address(const struct options *options, int stream) {
    union ip_address address = options->address;
    if (options->destinations > 0) {
        int offset = stream % options->destinations * DESTINATION_STRIDE + stream / options->destinations;
        address.v4.sin_addr.s_addr = htonl(ntohl(address.v4.sin_addr.s_addr) + (uint32_t)offset);
    } else {
        in_port_t *port = address.any.sa_family == AF_INET6 ? &address.v6.sin6_port : &address.v4.sin_port;
        *port = htons((uint16_t)(ntohs(*port) + stream));
    }
    return address;
}

int open_server(const struct options *options, int type, int stream) {
    enter_namespace(options->server);
    int fd = open_socket(options, type);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    union ip_address address = stream_address(options, stream);
    if (bind(fd, &address.any, options->address_length) != 0)
        fatal_errno("bind");
    if (type == SOCK_STREAM && listen(fd, 1024) != 0)
        fatal_errno("listen");
    set_timeouts(fd, CONNECT_SECONDS);
    return fd;
}

int open_client(const struct options *options, int type, int stream) {
    enter_namespace(options->client);
    int fd = open_socket(options, type);
    set_timeouts(fd, CONNECT_SECONDS);
    union ip_address address = stream_address(options, stream);
    if (connect(fd, &address.any, options->address_length) != 0)
        fatal("connect: %s", errno == EINPROGRESS ? "no answer in time" : strerror(errno));
    return fd;
}

int accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        fatal("accept: %s", errno == EAGAIN ? "no connection in time" : strerror(errno));
    return fd;
}

void set_timeouts(int fd, double seconds) {
    struct timeval time = {.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0)
        fatal_errno("SO_RCVTIMEO, SO_SNDTIMEO");
}

void set_datagram_buffers(int fd) {
    int bytes = DATAGRAM_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        fatal_errno("SO_RCVBUFFORCE, SO_SNDBUFFORCE");
}

void pattern_fill(void) {
    uint64_t state = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < PATTERN_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
    memcpy(pattern + PATTERN_PERIOD, pattern, PATTERN_SPAN);
}

const uint8_t *pattern_at(uint64_t position) {
    return pattern + position % PATTERN_PERIOD;
}
