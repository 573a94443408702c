// Load generator: moves traffic between two network namespaces of one machine and measures it at the receiver.
// One process opens both ends, so no clock, control connection or start order has to be agreed.
#include "loadgen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct workload {
    const char *name;
    int (*run)(const struct options *options);
} workloads[] = {
    {"tcp", run_tcp},
    {"udp", run_udp},
    {"udp-search", run_udp_search},
    {"request-response", run_request_response},
    {"connect", run_connect},
};

static void usage(FILE *out) {
    fputs("usage: loadgen WORKLOAD --client NETNS --server NETNS --address IP [options]\n"
          "  tcp               goodput of TCP streams\n"
          "  udp               datagrams per second delivered, at --rate or as fast as possible\n"
          "  udp-search        highest rate of datagrams that loses at most 1 %\n"
          "  request-response  TCP round trips, one outstanding, ends pinned to two CPUs\n"
          "  connect           TCP connections opened, accepted and closed per second\n"
          "options:\n"
          "  --port N          first port (5201)\n"
          "  --seconds S       measured window; one step of a search (2)\n"
          "  --streams N       TCP streams, flows of datagrams, connections used in turn, or connecting threads (1)\n"
          "  --destinations N  spread the streams over N IPv4 networks of 256 addresses from --address on (0: one address)\n"
          "  --size B          payload of a datagram or request (64)\n"
          "  --rate N          datagrams per second, 0 for no limit (0)\n"
          "  --congestion NAME TCP congestion control (cubic)\n"
          "  --reverse         send from server to client (tcp)\n"
          "  --verify          tcp, udp: compare every received byte and end only when all has arrived;\n"
          "                    udp: sizes run from 16 to --size and ECN marks alternate\n"
          "One line of JSON on standard output. Exit status 0: measured; 1: failed; 3: payload or marks differ.\n",
          out);
}

static double number(const char *text, double minimum, double maximum, const char *option) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || value < minimum || value > maximum)
        fatal("--%s %s: must be a number from %g to %g", option, text, minimum, maximum);
    return value;
}

static void parse_address(struct options *options, const char *text, int port) {
    struct sockaddr_in *v4 = &options->address.v4;
    struct sockaddr_in6 *v6 = &options->address.v6;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        options->address_length = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        options->address_length = sizeof *v6;
    } else {
        fatal("--address %s: not an IP address", text);
    }
}

static struct options parse_options(int count, char **arguments) {
    static const struct option known[] = {
        {"client", required_argument, NULL, 'c'},  {"server", required_argument, NULL, 's'},
        {"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 't'}, {"streams", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 'b'},    {"rate", required_argument, NULL, 'r'},
        {"destinations", required_argument, NULL, 'd'},
        {"congestion", required_argument, NULL, 'C'},
        {"reverse", no_argument, NULL, 'R'},       {"verify", no_argument, NULL, 'v'},
        {0},
    };
    struct options options = {.congestion = "cubic", .streams = 1, .size = 64, .seconds = 2};
    const char *address = NULL;
    int port = 5201;
    int option;
    int index = 0;
    while ((option = getopt_long(count, arguments, "", known, &index)) != -1) {
        const char *name = known[index].name;
        switch (option) {
        case 'c': options.client = optarg; break;
        case 's': options.server = optarg; break;
        case 'a': address = optarg; break;
        case 'p': port = (int)number(optarg, 1, 65535 - MAX_STREAMS, name); break;
        case 't': options.seconds = number(optarg, 0.05, 3600, name); break;
        case 'n': options.streams = (int)number(optarg, 1, MAX_STREAMS, name); break;
        case 'd': options.destinations = (int)number(optarg, 0, 65536, name); break;
        case 'b': options.size = (size_t)number(optarg, 1, 65507, name); break;
        case 'r': options.rate = number(optarg, 0, 1e9, name); break;
        case 'C': options.congestion = optarg; break;
        case 'R': options.reverse = true; break;
        case 'v': options.verify = true; break;
        default: usage(stderr); exit(1);
        }
    }
    if (options.client == NULL || options.server == NULL || address == NULL || optind != count) {
        usage(stderr);
        exit(1);
    }
    parse_address(&options, address, port);
    if (options.destinations > 0 && options.address.any.sa_family != AF_INET)
        fatal("--destinations %d: needs an IPv4 address", options.destinations);
    return options;
}

int main(int count, char **arguments) {
    if (count < 2 || strcmp(arguments[1], "--help") == 0) {
        usage(count < 2 ? stderr : stdout);
        return count < 2;
    }
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(arguments[1], workloads[i].name) != 0)
            continue;
        struct options options = parse_options(count - 1, arguments + 1);
        pattern_fill();
        // The last resort behind the time-outs of the sockets: a search takes the most steps, a drain 10 s.
        alarm((unsigned)(options.seconds * 30 + 30));
        return workloads[i].run(&options);
    }
    fatal("%s: no such workload; see loadgen --help", arguments[1]);
}
