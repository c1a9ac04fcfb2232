/* A `cell-cluster` device, written from docs/cell-cluster.md with libmodbus.
 *
 *     cell_cluster_device PORTS UNITS FIRST_PORT
 *
 * listens on PORTS ports of 127.0.0.1 from FIRST_PORT, prints "READY" and answers until its standard
 * input ends. With UNITS 1 each port is a cluster of its own; with more, each port serves clusters 1..UNITS as unit ids.
 * Each write of `life` prints "LIFE cluster value".
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKS = 2, CELLS = 4, SENSORS = 2, MAX_CLUSTERS = 8, MAX_PORTS = 8 };
enum { N_CELLS = PACKS * CELLS, N_SENSORS = PACKS * SENSORS };
enum { HEADER = 25, CELL_VOLTAGE = 1000, TEMPERATURE = 5000, N_INPUT = TEMPERATURE + N_SENSORS };
enum { READ_INPUT = 4, WRITE_SINGLE = 6, WRITE_MULTIPLE = 16 };

static modbus_mapping_t *clusters[MAX_CLUSTERS + 1];
static int listeners[MAX_PORTS];

static void put32(uint16_t *at, uint32_t value)
{
    at[0] = (uint16_t)(value >> 16); /* most significant word first */
    at[1] = (uint16_t)value;
}

static void put_text(uint16_t *at, const char *text, int registers)
{
    char padded[64] = {0};
    strncpy(padded, text, sizeof padded - 1);
    for (int i = 0; i < registers; i++)
        at[i] = (uint16_t)((uint8_t)padded[2 * i] << 8 | (uint8_t)padded[2 * i + 1]);
}

static void fill(int cluster)
{
    uint16_t *r = clusters[cluster]->tab_input_registers;
    r[2] = 1;                                               /* layout_version */
    r[3] = 1 << 0 | 1 << 2;                                 /* Ready, Discharging */
    put32(r + 4, cluster == 2 ? 1u << 14 : 0);              /* Temperature sensor alarm */
    put32(r + 6, cluster == 1 ? 1u << 20 : 0);              /* a bit without a name, in the upper word */
    r[8] = (uint16_t)(263 + cluster);                       /* voltage, 0.1 V */
    r[9] = (uint16_t)(int16_t)(cluster == 1 ? -125 : 71);   /* current, 0.1 A */
    r[10] = (uint16_t)(350 + cluster);                      /* state_of_charge, 0.1 % */
    r[11] = 987;                                            /* state_of_health, 0.1 % */
    r[12] = cluster == 2 ? 0xFFFF : 1200;                   /* insulation_resistance, kOhm */
    r[13] = (uint16_t)cluster;                              /* contactor_state: Closed, Pre-charging */
    r[14] = PACKS;
    r[15] = N_CELLS;
    r[16] = N_SENSORS;
    put_text(r + 17, "CC-0042", 8);
    for (int i = 0; i < N_CELLS; i++)
        r[CELL_VOLTAGE + i] = (uint16_t)(3280 + 100 * cluster + i);
    for (int i = 0; i < N_SENSORS; i++)
        r[TEMPERATURE + i] = (uint16_t)(640 + 10 * cluster + i); /* 24.0 degC and more */
    if (cluster == 2) {
        r[CELL_VOLTAGE + 5] = 0xFFFF; /* pack 2, cell 2 */
        r[TEMPERATURE + 0] = 365;     /* -3.5 degC */
        r[TEMPERATURE + 3] = 0xFFFF;  /* pack 2, sensor 2 */
    }
}

static void beat(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (int k = 1; k <= MAX_CLUSTERS; k++) /* 10 a second, passing from one word into the other */
        put32(clusters[k]->tab_input_registers, (uint32_t)(now.tv_sec * 10 + now.tv_nsec / 100000000) + 65000u);
}

static int inside(int start, int length, int address, int count)
{
    return address >= start && address + count <= start + length;
}

/* 0, or the exception that the document wants */
static int refusal(int function, int address, int count)
{
    if (function == READ_INPUT) {
        if (count < 1 || count > 125)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
        if (!inside(0, HEADER, address, count) && !inside(CELL_VOLTAGE, N_CELLS, address, count)
            && !inside(TEMPERATURE, N_SENSORS, address, count))
            return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
        return 0;
    }
    if (function == WRITE_SINGLE || function == WRITE_MULTIPLE)
        return inside(0, 1, address, function == WRITE_SINGLE ? 1 : count) ? 0 : MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
    return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
}

/* false: the connection is over */
static int answer(modbus_t *ctx, int socket, int port_index, int units)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(ctx, socket);
    int length = modbus_receive(ctx, query);
    if (length <= 0)
        return length == 0;
    int header = modbus_get_header_length(ctx);
    int unit = query[header - 1], function = query[header];
    int address = query[header + 1] << 8 | query[header + 2];
    int count = query[header + 3] << 8 | query[header + 4];
    int cluster = units == 1 ? port_index + 1 : unit;
    if (unit < 1 || unit > units)
        return modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_GATEWAY_TARGET) >= 0;
    int code = refusal(function, address, count);
    if (code)
        return modbus_reply_exception(ctx, query, (unsigned)code) >= 0;
    beat();
    if (modbus_reply(ctx, query, length, clusters[cluster]) < 0)
        return 0;
    if (function != READ_INPUT) {
        printf("LIFE %d %d\n", cluster, clusters[cluster]->tab_registers[0]);
        fflush(stdout);
    }
    return 1;
}

int main(int argc, char **argv)
{
    int ports = argc > 1 ? atoi(argv[1]) : 1, units = argc > 2 ? atoi(argv[2]) : 1, port_of[FD_SETSIZE];
    int first = argc > 3 ? atoi(argv[3]) : 0;
    if (ports < 1 || ports > MAX_PORTS || units < 1 || units > MAX_CLUSTERS)
        return 2;
    for (int k = 1; k <= MAX_CLUSTERS; k++) {
        clusters[k] = modbus_mapping_new(0, 0, 1, N_INPUT);
        if (clusters[k] == NULL)
            return 1;
        fill(k);
    }
    modbus_t *ctx = NULL;
    fd_set all;
    FD_ZERO(&all);
    FD_SET(STDIN_FILENO, &all);
    int top = 0;
    for (int i = 0; i < ports; i++) {
        modbus_t *one = modbus_new_tcp("127.0.0.1", first + i);
        listeners[i] = modbus_tcp_listen(one, 8);
        if (listeners[i] < 0) {
            fprintf(stderr, "port %d: %s\n", first + i, modbus_strerror(errno));
            return 75;
        }
        FD_SET(listeners[i], &all);
        top = listeners[i] > top ? listeners[i] : top;
        ctx = one;
    }
    printf("READY\n");
    fflush(stdout);
    for (;;) {
        fd_set ready = all;
        if (select(top + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        if (FD_ISSET(STDIN_FILENO, &ready))
            return 0;
        for (int fd = 0; fd <= top; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            int listener = -1;
            for (int i = 0; i < ports; i++)
                if (fd == listeners[i])
                    listener = i;
            if (listener >= 0) {
                int fresh = accept(fd, NULL, NULL);
                if (fresh < 0 || fresh >= FD_SETSIZE)
                    continue;
                port_of[fresh] = listener;
                FD_SET(fresh, &all);
                top = fresh > top ? fresh : top;
            } else if (!answer(ctx, fd, port_of[fd], units)) {
                close(fd);
                FD_CLR(fd, &all);
            }
        }
    }
}
