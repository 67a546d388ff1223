// What Python calls. Every function returns without an exception; sizes and pointers are checked in Python.
#include "table.h"
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

typedef Routines (*Engine)(int is_double);

static const char *const names[] = {"portable", "avx2", "avx512"};

static int best() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}

static int chosen = -1;

static int current() {
    if (chosen < 0) chosen = best();
    return chosen;
}

static Routines routines(int is_double) {
#if defined(__x86_64__)
    static const Engine engines[] = {engine_portable, engine_avx2, engine_avx512};
#else
    static const Engine engines[] = {engine_portable};
#endif
    return engines[current()](is_double);
}

// Changes with every change of `Call` or `MinimalCall`, so that a library of another version is not used.
EXPORT int seqgnn_version() { return 4; }

EXPORT const char *seqgnn_instruction_set() { return names[current()]; }

// Uses another instruction set, for tests; returns 0 if this processor does not have it.
EXPORT int seqgnn_use_instruction_set(const char *name) {
    for (int k = 0; k <= best(); k++)
        if (strcmp(name, names[k]) == 0) {
            chosen = k;
            return 1;
        }
    return 0;
}

EXPORT int64_t seqgnn_saved_bytes(const Call *call, int is_double) { return routines(is_double).saved_bytes(call); }

EXPORT int64_t seqgnn_workspace_bytes(const Call *call, int is_double, int backward) {
    return routines(is_double).workspace_bytes(call, backward);
}

EXPORT void seqgnn_minimal(const MinimalCall *call, int is_double, int backward) {
    routines(is_double).minimal(call, backward);
}

EXPORT void seqgnn_run(const Call *call, int is_double, int backward) { routines(is_double).run(call, backward); }

// Asks for large pages of 2 MiB for new memory: to provide one takes the system as long as a few of its 512 small ones.
EXPORT void seqgnn_advise(void *memory, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t large = 1 << 21, first = ((uintptr_t)memory + large - 1) / large * large;
    const uintptr_t end = ((uintptr_t)memory + (uintptr_t)bytes) / large * large;
    if (end > first) madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}
