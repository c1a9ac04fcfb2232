/* Modbus TCP devices that answer function 4 a fixed time after each request and work on a few requests at a time.
 *
 *     gcc -O2 slow_devices.c -o slow_devices
 *     slow_devices DEVICES ANSWER_US IN_FLIGHT
 *
 * Prints the ports on one line. A request beyond IN_FLIGHT on a connection waits until one before it is answered. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 512, QUEUE = 256 };
struct request { long long due; int connection; unsigned char head[12]; };
static struct pollfd polled[MOST];
static struct { struct request waiting[QUEUE]; int first, last, busy; } connections[MOST];
static struct request started[65536]; /* one answer time for all: they fall due in the order of their start */
static unsigned first_started, last_started;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    int n = atoi(argv[1]), devices = n, in_flight = atoi(argv[3]);
    long long answer = atoll(argv[2]) * 1000LL;
    for (int i = 0; i < n; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof at;
        polled[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        polled[i].events = POLLIN;
        if (bind(polled[i].fd, (struct sockaddr *)&at, size) || listen(polled[i].fd, 16)) return 1;
        getsockname(polled[i].fd, (struct sockaddr *)&at, &size);
        printf("%d ", ntohs(at.sin_port));
    }
    printf("\n");
    fflush(stdout);
    for (;;) {
        struct timespec wait = {3600, 0};
        if (first_started != last_started) {
            long long left = started[first_started & 65535].due - now();
            wait.tv_sec = 0;
            wait.tv_nsec = left > 0 ? left : 0;
        }
        ppoll(polled, n, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (!(polled[i].revents & (POLLIN | POLLHUP))) continue;
            if (i < devices) {
                if (n == MOST) return 1;
                int one = 1, fd = accept(polled[i].fd, NULL, NULL);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                memset(&connections[n], 0, sizeof connections[n]);
                polled[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
                continue;
            }
            unsigned char data[4096];
            ssize_t got = read(polled[i].fd, data, sizeof data);
            if (got <= 0) {
                close(polled[i].fd);
                polled[i].fd = -1;
                continue;
            }
            for (ssize_t at = 0; at + 12 <= got; at += 12)
                memcpy(connections[i].waiting[connections[i].last++ % QUEUE].head, data + at, 12);
        }
        while (first_started != last_started && started[first_started & 65535].due <= now()) {
            struct request *r = &started[first_started++ & 65535];
            unsigned char out[512] = {0};
            int bytes = 2 * (r->head[10] << 8 | r->head[11]);
            memcpy(out, r->head, 8);
            out[4] = (3 + bytes) >> 8;
            out[5] = 3 + bytes;
            out[8] = bytes;
            memset(out + 9, 7, bytes);
            if (polled[r->connection].fd >= 0 && write(polled[r->connection].fd, out, 9 + bytes) < 0) return 1;
            connections[r->connection].busy--;
        }
        for (int i = devices; i < n; i++)
            while (connections[i].first != connections[i].last && connections[i].busy < in_flight) {
                struct request r = connections[i].waiting[connections[i].first++ % QUEUE];
                r.due = now() + answer;
                r.connection = i;
                connections[i].busy++;
                started[last_started++ & 65535] = r;
            }
    }
}
