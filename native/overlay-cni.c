// The CNI plugin: hands the call, environment and standard input verbatim, to overlayd over its Unix socket and prints the answer. What
// a call means is known there. Here is only what has to work while overlayd is away: VERSION is answered, DEL is left on disk for
// overlayd to do when it is back, and everything else fails with the code that tells the runtime to try again.
//
// Of the configuration it reads no more than three strings of the outermost object: cniVersion, in which errors are told, and socket and
// pending, where overlayd is told from another place than by default. OVERLAY_CNI_SOCKET and OVERLAY_CNI_PENDING go before them.
//
// Request: two big-endian 32-bit lengths, then as many bytes of environment (the CNI_ variables, each ended by a zero) and of standard
// input. Answer: big-endian 32-bit exit status and length, then as many bytes for standard output.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/overlay/cni.sock"
#define DEFAULT_PENDING "/var/lib/overlay/pods/pending"
#ifndef DEADLINE_MILLISECONDS
#define DEADLINE_MILLISECONDS 60000
#endif
#define MAX_BYTES (1u << 20)
#define LENGTHS (2 * sizeof(uint32_t))

// Error codes of the CNI specification 1.1, "Error".
enum {
    IO_FAILURE = 5,
    INVALID_CONFIGURATION = 7,
    TRY_AGAIN_LATER = 11,
    LIMITED_CONNECTIVITY = 51,
};

struct buffer {
    char *bytes;
    size_t length;
};

static int64_t s_deadline;
static char s_version[32] = "1.1.0";

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_command(const char *command)
{
    const char *value = getenv("CNI_COMMAND");
    return value && strcmp(value, command) == 0;
}

static size_t skip_blanks(const char *json, size_t length, size_t at)
{
    while (at < length && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r')) at++;
    return at;
}

// Where the string that starts behind the quote at - 1 ends: the index of its closing quote, or length.
static size_t string_end(const char *json, size_t length, size_t at)
{
    while (at < length && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
    return at < length ? at : length;
}

// Copies the string of a key of the outermost object, if it is there, without escapes, and fits with its zero; else leaves value alone.
static void find_string(const char *json, size_t length, const char *key, char *value, size_t size)
{
    int depth = 0;
    for (size_t at = 0; at < length; at++) {
        if (json[at] == '{' || json[at] == '[') depth++;
        if (json[at] == '}' || json[at] == ']') depth--;
        if (json[at] != '"') continue;
        size_t start = at + 1, end = string_end(json, length, start);
        at = end;
        if (depth != 1 || end - start != strlen(key) || memcmp(json + start, key, end - start) != 0) continue;
        size_t next = skip_blanks(json, length, end + 1);
        if (next >= length || json[next] != ':') continue;
        next = skip_blanks(json, length, next + 1);
        if (next >= length || json[next] != '"') continue;
        start = next + 1;
        at = end = string_end(json, length, start);
        if (end >= length || end - start >= size || end == start || memchr(json + start, '\\', end - start) || memchr(json + start, 0, end - start)) continue;
        memcpy(value, json + start, end - start);
        value[end - start] = 0;
    }
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char octet = (unsigned char)*text;
        if (octet == '"' || octet == '\\') printf("\\%c", octet);
        else if (octet < ' ' || octet > '~') putchar('?');
        else putchar(octet);
    }
    putchar('"');
}

// Prints an error as the specification wants it, and ends.
__attribute__((noreturn, format(printf, 3, 4))) static void fail(int code, const char *details, const char *format, ...)
{
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    printf("{\"cniVersion\":");
    print_json_string(s_version);
    printf(",\"code\":%d,\"msg\":", code);
    print_json_string(message);
    printf(",\"details\":");
    print_json_string(details);
    printf("}\n");
    fflush(stdout);
    exit(1);
}

// Waits until the descriptor is ready. False, with errno ETIMEDOUT, at the deadline.
static bool wait_for(int descriptor, short events)
{
    while (true) {
        int64_t left = s_deadline - now_milliseconds();
        struct pollfd ready = { .fd = descriptor, .events = events };
        int count = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (count > 0) return true;
        if (count == 0) {
            errno = ETIMEDOUT;
            return false;
        }
        if (errno != EINTR) return false;
    }
}

static bool write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        if (!wait_for(descriptor, POLLOUT)) return false;
        ssize_t written = write(descriptor, bytes, length);
        if (written < 0) {
            if (errno == EINTR || errno == EAGAIN) continue;
            return false;
        }
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

// Reads up to length bytes; fewer only at the end of the stream. -1 on failure.
static ssize_t read_up_to(int descriptor, char *bytes, size_t length)
{
    size_t total = 0;
    while (total < length) {
        if (!wait_for(descriptor, POLLIN)) return -1;
        ssize_t count = read(descriptor, bytes + total, length - total);
        if (count == 0) break;
        if (count < 0) {
            if (errno == EINTR || errno == EAGAIN) continue;
            return -1;
        }
        total += (size_t)count;
    }
    return (ssize_t)total;
}

static void *allocate(size_t length)
{
    void *memory = malloc(length);
    if (!memory) fail(IO_FAILURE, "", "out of memory for %zu bytes", length);
    return memory;
}

extern char **environ;

// The whole request: lengths, environment, standard input, which starts at *configuration.
static struct buffer read_request(size_t *configuration)
{
    size_t environment = 0;
    for (char **variable = environ; *variable; variable++) {
        if (strncmp(*variable, "CNI_", 4) == 0) environment += strlen(*variable) + 1;
    }
    if (environment > MAX_BYTES) fail(INVALID_CONFIGURATION, "", "the CNI_ variables have %zu bytes; at most %u are taken", environment, MAX_BYTES);

    struct buffer request = { .bytes = allocate(LENGTHS + environment + MAX_BYTES + 1) };
    char *end = request.bytes + LENGTHS;
    for (char **variable = environ; *variable; variable++) {
        if (strncmp(*variable, "CNI_", 4) == 0) end = stpcpy(end, *variable) + 1;
    }
    ssize_t input = read_up_to(STDIN_FILENO, end, MAX_BYTES + 1);
    if (input < 0) fail(IO_FAILURE, "", "standard input cannot be read: %s", strerror(errno));
    if ((size_t)input > MAX_BYTES) fail(INVALID_CONFIGURATION, "", "standard input has more than %u bytes", MAX_BYTES);

    *configuration = LENGTHS + environment;
    uint32_t lengths[2] = { htonl((uint32_t)environment), htonl((uint32_t)input) };
    memcpy(request.bytes, lengths, LENGTHS);
    request.length = LENGTHS + environment + (size_t)input;
    return request;
}

// A connected socket, or -1 with errno.
static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    while (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
        // A full backlog: overlayd is there, but busy.
        bool busy = errno == EAGAIN && now_milliseconds() < s_deadline;
        if (!busy && errno != EINTR) {
            int cause = errno;
            close(descriptor);
            errno = cause;
            return -1;
        }
        poll(NULL, 0, 10);
    }
    return descriptor;
}

// Asks overlayd. False, with errno, where there is no whole answer.
static bool ask(const char *path, const struct buffer *request, uint32_t *status, struct buffer *answer)
{
    int descriptor = connect_to(path);
    if (descriptor < 0) return false;
    uint32_t lengths[2];
    ssize_t count = -1;
    bool whole = write_all(descriptor, request->bytes, request->length)
        && (count = read_up_to(descriptor, (char *)lengths, LENGTHS)) == (ssize_t)LENGTHS;
    if (whole) {
        *status = ntohl(lengths[0]);
        answer->length = ntohl(lengths[1]);
        if (answer->length > MAX_BYTES) {
            errno = EMSGSIZE;
            whole = false;
        } else {
            answer->bytes = allocate(answer->length + 1);
            count = read_up_to(descriptor, answer->bytes, answer->length);
            whole = count == (ssize_t)answer->length;
        }
    }
    if (!whole && count >= 0 && errno != EMSGSIZE) errno = ECONNRESET;
    int cause = errno;
    close(descriptor);
    errno = cause;
    return whole;
}

static bool make_folders(const char *path)
{
    char prefix[PATH_MAX];
    if (strlen(path) >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(prefix, path);
    for (char *slash = prefix + 1; *slash; slash++) {
        if (*slash != '/') continue;
        *slash = 0;
        if (mkdir(prefix, 0700) < 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return mkdir(prefix, 0700) == 0 || errno == EEXIST;
}

// Writes the request where overlayd finds it: whole and durable under its name, or not at all.
static bool leave_for_later(const char *folder, const struct buffer *request)
{
    if (!make_folders(folder)) return false;
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return false;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char name[64], temporary[80];
    snprintf(name, sizeof name, "%019lld%09ld-%d.request", (long long)now.tv_sec, now.tv_nsec, (int)getpid());
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int file = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return false;
    s_deadline = now_milliseconds() + DEADLINE_MILLISECONDS;
    bool done = write_all(file, request->bytes, request->length) && fsync(file) == 0
        && renameat(directory, temporary, directory, name) == 0 && fsync(directory) == 0;
    int cause = errno;
    if (!done) unlinkat(directory, temporary, 0);
    close(file);
    close(directory);
    errno = cause;
    return done;
}

// A path: from the environment, from the configuration, or by default.
static void find_path(const char *variable, const char *key, const char *json, size_t length, const char *fallback, char *path)
{
    const char *given = getenv(variable);
    snprintf(path, PATH_MAX, "%s", fallback);
    if (given && *given) snprintf(path, PATH_MAX, "%s", given);
    else find_string(json, length, key, path, PATH_MAX);
}

// Copies the value of a key of CNI_ARGS, as much of it as fits with its zero; leaves value alone where there is none.
static void find_argument(const char *key, char *value, size_t size)
{
    const char *argument = getenv("CNI_ARGS");
    size_t length = strlen(key);
    while (argument && *argument) {
        const char *end = strchrnul(argument, ';');
        if ((size_t)(end - argument) > length && strncmp(argument, key, length) == 0 && argument[length] == '=') {
            const char *start = argument + length + 1;
            size_t count = (size_t)(end - start) < size ? (size_t)(end - start) : size - 1;
            memcpy(value, start, count);
            value[count] = 0;
            return;
        }
        argument = *end ? end + 1 : end;
    }
}

// How an error begins that is about a pod, as overlayd tells it; empty where it is about none.
static void name_pod(char *text, size_t size)
{
    const char *container = getenv("CNI_CONTAINERID"), *interface = getenv("CNI_IFNAME");
    char space[64] = "", name[254] = "";
    text[0] = 0;
    if (!container || !*container) return;
    find_argument("K8S_POD_NAMESPACE", space, sizeof space);
    find_argument("K8S_POD_NAME", name, sizeof name);
    if (!interface) interface = "";
    if (*name) snprintf(text, size, "pod %s%s%s (container %.300s, %.100s): ", space, *space ? "/" : "", name, container, interface);
    else snprintf(text, size, "container %.300s, %.100s: ", container, interface);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    s_deadline = now_milliseconds() + DEADLINE_MILLISECONDS;
    size_t start = 0;
    struct buffer request = read_request(&start), answer = { 0 };
    const char *json = request.bytes + start;
    size_t length = request.length - start;
    find_string(json, length, "cniVersion", s_version, sizeof s_version);
    if (is_command("VERSION")) {
        printf("{\"cniVersion\":");
        print_json_string(s_version);
        puts(",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}");
        return fflush(stdout) == 0 ? 0 : 1;
    }

    char path[PATH_MAX], folder[PATH_MAX];
    find_path("OVERLAY_CNI_SOCKET", "socket", json, length, DEFAULT_SOCKET, path);
    uint32_t status = 1;
    if (ask(path, &request, &status, &answer)) {
        fwrite(answer.bytes, 1, answer.length, stdout);
        return fflush(stdout) == 0 ? (int)(status & 0x7f) : 1;
    }
    const char *cause = strerror(errno);
    const char *remedy = "start overlayd, or see its log; the call can be repeated";
    // It carries the packets, so what pods there are reach no other node.
    if (is_command("STATUS")) fail(LIMITED_CONNECTIVITY, remedy, "overlayd does not answer on %s: %s", path, cause);
    char pod[1024];
    name_pod(pod, sizeof pod);
    if (!is_command("DEL")) fail(TRY_AGAIN_LATER, remedy, "%soverlayd does not answer on %s: %s", pod, path, cause);

    find_path("OVERLAY_CNI_PENDING", "pending", json, length, DEFAULT_PENDING, folder);
    if (leave_for_later(folder, &request)) return 0;
    fail(TRY_AGAIN_LATER, remedy, "%soverlayd does not answer on %s (%s), and the deletion cannot be left in %s: %s", pod, path, cause, folder, strerror(errno));
}
