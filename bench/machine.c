/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static struct machine here;

const struct machine *machine(void)
{
    return &here;
}

/* A number that two hardware threads of one core share, and others do not. */
static long core_of(int cpu)
{
    static const char *const names[] = { "physical_package_id", "core_id" };
    long number[2] = { 0, cpu };
    char path[128];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, names[i]);
        FILE *file = fopen(path, "re");
        if (!file)
            return cpu;
        if (fscanf(file, "%ld", &number[i]) != 1)
            number[i] = i == 0 ? 0 : cpu;
        fclose(file);
    }
    return number[0] * 65536 + number[1];
}

/* First one hardware thread of each core, then whatever there is. */
static void choose_cores(void)
{
    cpu_set_t set, used;

    CPU_ZERO(&used);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    for (int distinct = 1; distinct >= 0; distinct--)
        for (int cpu = 0; cpu < CPU_SETSIZE && here.places < MACHINE_PLACES; cpu++) {
            bool fresh = CPU_ISSET(cpu, &set) && !CPU_ISSET(cpu, &used);
            for (unsigned i = 0; i < here.places && distinct && fresh; i++)
                fresh = core_of(cpu) != core_of(here.core[i]);
            if (!fresh)
                continue;
            CPU_SET(cpu, &used);
            here.core[here.places++] = cpu;
        }
}

static void name_cpu(void)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(here.cpu, sizeof here.cpu, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(here.cpu, sizeof here.cpu, "%.127s", value);
        break;
    }
    if (file)
        fclose(file);
}

void machine_look(void)
{
    struct utsname name;

    if (here.cores > 0)
        return;
    here.cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&name) == 0)
        snprintf(here.kernel, sizeof here.kernel, "%.30s %.60s %.30s", name.sysname, name.release,
                 name.machine);
    name_cpu();
    choose_cores();
}

int machine_pin(unsigned place)
{
    cpu_set_t set;

    if (here.places == 0)
        return 0;
    if (place >= 2)
        place = here.places > 2 ? 2 : place - 2;
    if (place >= here.places)
        place = 0;
    CPU_ZERO(&set);
    CPU_SET(here.core[place], &set);
    return sched_setaffinity(0, sizeof set, &set);
}
