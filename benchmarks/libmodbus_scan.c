/* Scans devices with libmodbus, one request after the other: the physical limit that our driver is measured against.
 *
 *     gcc -O2 libmodbus_scan.c -o libmodbus_scan -lmodbus
 *     libmodbus_scan SCANS PORT...
 *
 * Each scan reads 12 blocks of 125 input registers and one of 20 from every port. Prints CPU and wall time of a scan
 * in ms. */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double cpu_ms(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static double wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    int scans = atoi(argv[1]), n = argc - 2;
    modbus_t **devices = calloc(n, sizeof *devices);
    uint16_t words[1520];
    double cpu = 0, wall = 0;
    for (int i = 0; i < n; i++) {
        devices[i] = modbus_new_tcp("127.0.0.1", atoi(argv[i + 2]));
        modbus_set_slave(devices[i], 1);
        if (modbus_connect(devices[i])) {
            fprintf(stderr, "%s: %s\n", argv[i + 2], modbus_strerror(errno));
            return 1;
        }
    }
    for (int scan = -1; scan < scans; scan++) {
        if (scan == 0) { /* the first one warms up */
            cpu = cpu_ms();
            wall = wall_ms();
        }
        for (int i = 0; i < n; i++)
            for (int block = 0; block < 13; block++)
                if (modbus_read_input_registers(devices[i], 125 * block, block < 12 ? 125 : 20, words + 125 * block) < 0) {
                    fprintf(stderr, "%s: %s\n", argv[i + 2], modbus_strerror(errno));
                    return 1;
                }
    }
    printf("%.3f %.3f\n", (cpu_ms() - cpu) / scans, (wall_ms() - wall) / scans);
    return 0;
}
