// One call of the steps of a cell whose gates do not see the hidden state, as Python passes it; minimal.py has the same
// fields in the same order. S steps in the order of time, R rows, H channels; all tensors are contiguous.
#pragma once
#include <stdint.h>

struct MinimalCall {
    int64_t steps, rows, hidden, block;    // the state before every `block` steps is saved
    int32_t is_lstm, reverse, threads;
    const uint8_t *active;                 // [S, R], zero where a sequence has no step; or null
    const void *pre, *bias;                // [S, R, gates * H] without the bias [gates * H], which may be null
    void *state, *output;                  // [R, H], replaced by that after the steps; [S, R, H]
    void *saved_states;                    // [S / block rounded up, R, H], in the order of the scan; or null
    // The backward pass:
    const void *output_gradient;           // or null
    void *state_gradient;                  // of the state after the steps, replaced by that of the state before
    void *pre_gradient, *bias_gradient;    // the first may be `pre`; the second, to which is added, may be null
    void *states, *slopes;                 // workspace: [block, R, H] each, the second of a minLSTM only
    void *bias_gradients;                  // workspace: [threads, gates * H]
};
