/* SPDX-License-Identifier: MIT
 *
 * The shim in place: in a test program, before main, in the import tables of virtsock-1.dll and of the program itself. Files stay as they are.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hvshim.h"

#define SLOTS_MIN 7                     /* of the library, or it found Winsock by another way */

static bool replace(IMAGE_THUNK_DATA *slot, const char *name)
{
    DWORD old;

    for (const struct hvshim_function *f = hvshim_functions; f->name != NULL; f++) {
        if (strcmp(f->name, name) != 0)
            continue;
        if (!VirtualProtect(slot, sizeof *slot, PAGE_READWRITE, &old))
            return false;
        slot->u1.Function = (ULONG_PTR)f->ours;
        VirtualProtect(slot, sizeof *slot, old, &old);
        return true;
    }
    return false;
}

static int replace_all(BYTE *base, const IMAGE_IMPORT_DESCRIPTOR *from)
{
    const IMAGE_THUNK_DATA *name = (const IMAGE_THUNK_DATA *)(base + from->OriginalFirstThunk);
    IMAGE_THUNK_DATA       *slot = (IMAGE_THUNK_DATA *)(base + from->FirstThunk);
    int                     n = 0;

    for (; name->u1.AddressOfData != 0; name++, slot++) {
        if (IMAGE_SNAP_BY_ORDINAL(name->u1.Ordinal))
            return -1;
        n += replace(slot, ((const IMAGE_IMPORT_BY_NAME *)(base + name->u1.AddressOfData))->Name);
    }
    return n;
}

int hvshim_patch(HMODULE module)
{
    BYTE                          *base = (BYTE *)module;
    const IMAGE_NT_HEADERS        *head = (const IMAGE_NT_HEADERS *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew);
    const IMAGE_DATA_DIRECTORY     imports = head->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    const IMAGE_IMPORT_DESCRIPTOR *from = (const IMAGE_IMPORT_DESCRIPTOR *)(base + imports.VirtualAddress);

    for (; imports.Size != 0 && from->Name != 0; from++)
        if (_stricmp((const char *)base + from->Name, "ws2_32.dll") == 0)
            return replace_all(base, from);
    return 0;
}

__attribute__((constructor)) static void patch(void)
{
    int n = hvshim_patch(GetModuleHandleA("virtsock-1.dll"));

    hvshim_patch(GetModuleHandleA(NULL));
    if (n >= SLOTS_MIN)
        return;
    fprintf(stderr, "hvshim: %d functions of Winsock replaced in virtsock-1.dll, not %d\n", n, SLOTS_MIN);
    exit(3);
}
