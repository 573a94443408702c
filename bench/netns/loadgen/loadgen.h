// Shared declarations of the load generator.
#ifndef LOADGEN_H
#define LOADGEN_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { MAX_STREAMS = 256, CACHE_LINE = 64, MARK_COUNT = 4 };

union ip_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct options {
    const char *client;  // network namespace of the connecting side
    const char *server;  // network namespace of the listening side
    union ip_address address; // where the server listens, as the client reaches it
    socklen_t address_length;
    const char *congestion; // TCP congestion control of every connection
    int streams;
    int destinations;    // addresses that the streams are spread over
    size_t size;         // bytes of payload per datagram or request
    double seconds;      // measured window, or one step of a search
    double rate;         // datagrams per second, 0: as fast as possible
    bool reverse;        // data flows from server to client
    bool verify;         // compare every received byte with what was sent
};

struct counter {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t value;
};

// Busy CPU time of the whole machine (user, system, interrupts) and time stolen by a hypervisor, in seconds.
struct cpu_time {
    double busy;
    double stolen;
};

// Workloads. Each prints one line of JSON on standard output and returns the exit status.
int run_tcp(const struct options *options);
int run_udp(const struct options *options);
int run_udp_search(const struct options *options);
int run_request_response(const struct options *options);
int run_connect(const struct options *options);

// Ends the process with a message; fatal_errno appends the text of errno.
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatal_errno(const char *call);

double monotonic_seconds(void);
void sleep_seconds(double seconds);
struct cpu_time read_cpu_time(void);

// Moves the calling thread into a named network namespace. Sockets made afterwards stay there.
void enter_namespace(const char *name);
// Binds the calling thread to the first (0) or last (1) CPU the process may use.
void pin_to_end(int end);
void start_thread(void *(*body)(void *), void *argument);

int open_socket(const struct options *options, int type);
// Where a stream goes: with destinations, one of them after the other and within each the next address, at one port;
// without, the one address at the port of its number.
union ip_address stream_address(const struct options *options, int stream);
// A listening or bound socket in the server's namespace, where a stream goes to.
int open_server(const struct options *options, int type, int stream);
// A socket in the client's namespace connected to where a stream goes.
int open_client(const struct options *options, int type, int stream);
int accept_one(int listener);
void set_timeouts(int fd, double seconds);
void set_datagram_buffers(int fd);

// The payload at a position of a stream: a fixed pseudo-random sequence with a prime period, so that a chunk delivered
// at any other position differs. Valid for PATTERN_SPAN bytes from the returned pointer.
enum { PATTERN_SPAN = 128 * 1024 };
void pattern_fill(void);
const uint8_t *pattern_at(uint64_t position);

#endif
