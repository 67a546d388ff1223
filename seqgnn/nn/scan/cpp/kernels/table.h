// The routines of one dtype.
#pragma once
#include "call.h"
#include "minimal_call.h"

struct Routines {
    void (*run)(const Call *call, bool backward);
    int64_t (*workspace_bytes)(const Call *call, bool backward);
    int64_t (*saved_bytes)(const Call *call);  // of the gates that the backward pass needs
    void (*minimal)(const MinimalCall *call, bool backward);
};

Routines engine_portable(int is_double);
#if defined(__x86_64__)
Routines engine_avx2(int is_double);
Routines engine_avx512(int is_double);
#endif
