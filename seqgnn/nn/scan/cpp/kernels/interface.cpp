// What Python calls. Every function returns without an exception; sizes and pointers are checked in Python.
#include "table.h"
#include <string.h>

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

// Changes with every change of `Call`, so that a library of another version is not used.
EXPORT int seqgnn_version() { return 1; }

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

EXPORT void seqgnn_run(const Call *call, int is_double, int backward) { routines(is_double).run(call, backward); }
