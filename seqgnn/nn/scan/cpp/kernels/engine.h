// The engine for one instruction set, with BYTES the width of its registers and ENGINE the name of its table.
#include "call.h"
#include "table.h"
#include "threads.h"
#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

#include "simd.h"
#include "products.h"
#include "graph.h"
#include "cells.h"
#include "rows.h"

constexpr int MAX_TERMS = 32, CHUNK = 64;

#include "plan.h"
#include "pass.h"
#include "forward.h"
#include "backward.h"
#include "minimal.h"

template <class T> CellFunctions<T> functions_of(int cell) {
    switch (cell) {
        case RNN_TANH: return functions_of_cell<T, RNN<false>>();
        case RNN_RELU: return functions_of_cell<T, RNN<true>>();
        case LSTM: return functions_of_cell<T, LSTMCell<false, false>>();
        case PEEPHOLE_LSTM: return functions_of_cell<T, LSTMCell<true, false>>();
        case CONV_CELL_STATE_LSTM: return functions_of_cell<T, LSTMCell<false, true>>();
        case GRU: return functions_of_cell<T, GRUCell>();
        default: return functions_of_cell<T, GRUResetBeforeCell>();
    }
}

template <class T> struct Entry {
    struct Job {
        Plan<T> &plan;
        Barrier &barrier;
        int count;
        bool backward;
    };
    static void work(int rank, void *data) {
        Job &job = *(Job *)data;
        if (job.backward) Backward<T>(job.plan, rank, job.count, job.barrier).backward();
        else Forward<T>(job.plan, rank, job.count, job.barrier).forward();
    }
    static void run(const Call *call, bool backward) {
        Team team(call->threads);
        Plan<T> plan(functions_of<T>(call->cell), *call, team.count(), backward);
        plan.starts_at_zero = call->zero_state && plan.has_finite_weights();
        Barrier barrier(team.count());
        Job job{plan, barrier, team.count(), backward};
        team.run(work, &job);
    }
    static int64_t workspace_bytes(const Call *call, bool backward) {
        return int64_t(Plan<T>(functions_of<T>(call->cell), *call, call->threads, backward).used);
    }
    static int64_t saved_bytes(const Call *call) {
        Plan<T> plan(functions_of<T>(call->cell), *call, call->threads, false);
        return plan.shape.saves_gates ? plan.T_ * plan.B * plan.blocks * plan.block_size * int64_t(sizeof(T)) : 0;
    }
};

template <class T> Routines routines_of() {
    return {Entry<T>::run, Entry<T>::workspace_bytes, Entry<T>::saved_bytes, MinimalEntry<T>::run};
}

}  // namespace

Routines ENGINE(int is_double) { return is_double ? routines_of<double>() : routines_of<float>(); }
