/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* This program's file: its own symbol table has the static functions too, which dladdr does not know. */
static const char *image;
static size_t image_size;
static uintptr_t base;

static int first_object(struct dl_phdr_info *info, size_t size, void *context)
{
    base = info->dlpi_addr;
    return 1;
}

static void load_image(void)
{
    struct stat status;
    int descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        return;
    void *mapped = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED)
        return;
    image = mapped;
    image_size = (size_t)status.st_size;
    dl_iterate_phdr(first_object, NULL);
}

static int in_this_program(uintptr_t address, char *text, size_t size)
{
    const Elf64_Ehdr *header = (const void *)image;
    const Elf64_Shdr *sections = (const void *)(image + header->e_shoff);

    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_offset + sections[i].sh_size > image_size)
            continue;
        const Elf64_Sym *symbols = (const void *)(image + sections[i].sh_offset);
        const char *names = image + sections[sections[i].sh_link].sh_offset;
        for (size_t n = 0; n < sections[i].sh_size / sizeof *symbols; n++) {
            uintptr_t start = base + symbols[n].st_value;
            if (ELF64_ST_TYPE(symbols[n].st_info) != STT_FUNC || address < start ||
                address - start >= symbols[n].st_size)
                continue;
            snprintf(text, size, "%s+%#lx", names + symbols[n].st_name, (unsigned long)(address - start));
            return 1;
        }
    }
    return 0;
}

void symbol_of(uintptr_t address, char *text, size_t size)
{
    Dl_info info;

    if (!image)
        load_image();
    if (address == 0)
        snprintf(text, size, "its end");
    else if (image && in_this_program(address, text, size))
        return;
    else if (dladdr((void *)address, &info) != 0 && info.dli_sname) // NOLINT(performance-no-int-to-ptr)
        snprintf(text, size, "%s+%#lx", info.dli_sname, (unsigned long)(address - (uintptr_t)info.dli_saddr));
    else
        snprintf(text, size, "%#lx", (unsigned long)address);
}
