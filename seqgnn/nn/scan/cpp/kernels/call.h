// One call of one layer in one direction, as Python passes it; library.py has the same fields in the same order.
//
// T steps, B windows of N nodes, H channels; all tensors are contiguous, windows before nodes: x [T, B, N, F]. A layer
// without a graph passes its sequences as windows of a few nodes each, so the last one may have fewer.
#pragma once
#include <stdint.h>

enum CellKind { RNN_TANH, RNN_RELU, LSTM, PEEPHOLE_LSTM, CONV_CELL_STATE_LSTM, GRU, GRU_RESET_BEFORE, CELL_KINDS };

// A sparse operator P in CSR and, with a `back_`, its transpose; `gradient` of its values in the order of `values`. Both
// also as dense matrices [N, N] where they have enough entries, else null.
struct Operator {
    const int32_t *pointers, *columns, *back_pointers, *back_columns;
    const void *values, *back_values, *dense, *back_dense;
    void *gradient;
};

// z_k = scale * P z_source - z_minus, with minus = -1 for none.
struct Hop {
    int32_t operator_, source, minus;
    double scale;
};

// The projection of a signal z [N, C] to pre-activations: sum over terms k of z_k W_k^T + b.
// Rows of `weight` [gates * H, terms * C] are in the order of the cell's gates that it contributes to.
struct Projection {
    const void *weight, *bias;
    void *weight_gradient, *bias_gradient;
    const Hop *hops;
    const int32_t *operators;              // [T or 1, number of the filter's operators], indices into those of the call
    int32_t num_hops, num_operators, keeps_input, channels, per_step, needs_gradient;  // that of its signal
};

struct Call {
    int64_t steps, windows, nodes, rows, hidden;  // rows: B * N, or fewer if the last window has fewer nodes
    int32_t cell, reverse, zero_state, threads, num_projections, num_operators;
    const Projection *projections;         // the input's first; without hops and weight if `pre` holds its result
    const Operator *operators;
    const void *x, *pre;                   // [T, B, N, F]; or the input's pre-activations [T, B, N, gates * H]
    const uint8_t *active;                 // [T, B, N], zero where a sequence has ended; or null
    const void *peepholes[3];              // [H]
    const void *first[2];                  // states before the first step, [B, N, H]
    void *output, *states[2];              // [T, B, N, H]; without `gates`, states[1] of two steps
    void *gates;                           // saved for the backward pass, see `saved_bytes`; or null
    void *workspace;                       // see `workspace_bytes`
    // The backward pass, where `gates` and `states` are those of the forward pass; states[0] may be null if the output
    // can be recomputed from gates and cell state.
    const void *output_gradient, *last_gradient[2];
    void *x_gradient, *pre_gradient, *peephole_gradient[3], *first_gradient[2];
};
