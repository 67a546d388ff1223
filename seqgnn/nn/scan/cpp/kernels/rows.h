// A cell on the rows of a block: loads registers, calls the equations, stores.

// The shape of a cell, for code that serves all cells.
struct CellShape {
    int gates, states, peepholes, projections, output_gate, inputs;
    bool saves_gates, resets;
    int input[4], hiddens[2], hidden[2][4];
    Source sources[2];
};

// The rows of a block of nodes at one step. Gates [gates][panels][block][panel columns]; all else [rows][H] by row.
template <class T> struct Rows {
    T *gates;                              // pre-activations, gates, and in the backward pass their gradients
    int64_t gate_size, block, hidden;
    int count;
    bool stores_gates;
    const T *bias, *pre;                   // [gates * H]; [rows][inputs * H] or null
    const T *before[2], *peepholes[3];
    T *after[2], *output, *reset;          // `output` only if it is not after[0]
    const uint8_t *active;                 // of each row, or null
    const T *saved, *output_gradient, *reset_gradient;
    T *d[2], *direct[2], *peephole_gradient[3];
};

template <class T> INLINE int64_t vector_offset(int64_t vector, int64_t block, int64_t row) {
    return (vector >> 1) * block * panel<T> + row * panel<T> + (vector & 1) * lanes<T>;
}

// Calls work(first channel, channels left) for all vectors. For whole ones the latter is a constant, so that the compiler
// removes what is for others and keeps all in registers.
#define WORK(...) [&](__VA_ARGS__) __attribute__((always_inline))
template <class T, class Work> INLINE void for_vectors(int64_t hidden, Work work) {
    int64_t j = 0;
    for (; j + lanes<T> <= hidden; j += lanes<T>) work(j, lanes<T>);
    if (j < hidden) work(j, int(hidden - j));
}

template <class T, class Cell> struct CellRows {
    static constexpr CellShape shape() {
        CellShape s{Cell::gates, Cell::states, Cell::peepholes, Cell::projections, Cell::output_gate, Cell::inputs,
                    Cell::saves_gates, Cell::sources[Cell::projections - 1] == RESET_STATE, {}, {}, {}, {}};
        for (int k = 0; k < Cell::inputs; k++) s.input[k] = Cell::input[k];
        for (int p = 0; p < Cell::projections; p++) {
            s.hiddens[p] = Cell::hiddens[p], s.sources[p] = Cell::sources[p];
            for (int k = 0; k < Cell::hiddens[p]; k++) s.hidden[p][k] = Cell::hidden[p][k];
        }
        return s;
    }
    static constexpr bool is_reset = Cell::sources[Cell::projections - 1] == RESET_STATE;

    // Pre-activations: products, biases and what is given of them.
    INLINE void load_gates(const Rows<T> &rows, Vec<T> *a, const T *from, int r, int64_t j, int rest) {
        for (int g = 0; g < Cell::gates; g++)
            a[g] = load(from + g * rows.gate_size) + load_part(rows.bias + g * rows.hidden + j, rest);
        if (!rows.pre) return;
        const T *pre = rows.pre + r * Cell::inputs * rows.hidden + j;
        for (int k = 0; k < Cell::inputs; k++) a[Cell::input[k]] += load_part(pre + k * rows.hidden, rest);
    }
    static void forward(const Rows<T> &given) {
        const Rows<T> rows = given;  // nothing that is stored can change it
        const int64_t H = rows.hidden;
        for_vectors<T>(H, WORK(int64_t j, int rest) {
            Vec<T> w[3];
            for (int k = 0; k < Cell::peepholes; k++) w[k] = load_part(rows.peepholes[k] + j, rest);
            for (int r = 0; r < rows.count; r++) {
                T *place = rows.gates + vector_offset<T>(j / lanes<T>, rows.block, r);
                const int64_t at = r * H + j;
                Vec<T> a[Cell::gates], before[Cell::states], after[Cell::states];
                if (is_reset)
                    for (int g = 0; g < Cell::gates; g++) a[g] = load(place + g * rows.gate_size);
                else load_gates(rows, a, place, r, j, rest);
                for (int i = 0; i < Cell::states; i++) before[i] = load_part(rows.before[i] + at, rest);
                Cell::template forward<T>(a, before, after, w);
                if (rows.stores_gates)
                    for (int g = 0; g < Cell::gates; g++) store(place + g * rows.gate_size, a[g]);
                const bool is_active = !rows.active || rows.active[r];
                for (int i = 0; i < Cell::states; i++) store_part(rows.after[i] + at, is_active ? after[i] : before[i], rest);
                if (rows.output) store_part(rows.output + at, is_active ? after[0] : Vec<T>{}, rest);
            }
        });
    }
    static void backward(const Rows<T> &given) {
        const Rows<T> rows = given;
        const int64_t H = rows.hidden;
        for_vectors<T>(H, WORK(int64_t j, int rest) {
            Vec<T> w[3], dw[3] = {};
            for (int k = 0; k < Cell::peepholes; k++) w[k] = load_part(rows.peepholes[k] + j, rest);
            for (int r = 0; r < rows.count; r++) {
                const int64_t place = vector_offset<T>(j / lanes<T>, rows.block, r), at = r * H + j;
                Vec<T> a[Cell::gates], before[Cell::states], after[Cell::states], d[Cell::states];
                for (int i = 0; i < Cell::states; i++) d[i] = load_part(rows.d[i] + at, rest);
                if (rows.active && !rows.active[r]) {
                    for (int g = 0; g < Cell::gates; g++) a[g] = Vec<T>{};
                } else {
                    if (rows.output_gradient) d[0] += load_part(rows.output_gradient + at, rest);
                    if (Cell::saves_gates)
                        for (int g = 0; g < Cell::gates; g++) a[g] = load(rows.saved + g * rows.gate_size + place);
                    for (int i = 0; i < Cell::states; i++) before[i] = load_part(rows.before[i] + at, rest);
                    for (int i = Cell::output_gate >= 0; i < Cell::states; i++) after[i] = load_part(rows.after[i] + at, rest);
                    Cell::template backward<T>(a, before, after, d, w, dw);
                }
                for (int g = 0; g < Cell::gates; g++) store(rows.gates + g * rows.gate_size + place, a[g]);
                for (int i = 0; i < Cell::states; i++) store_part(rows.direct[i] + at, d[i], rest);
            }
            for (int k = 0; k < Cell::peepholes; k++) {
                T *sum = rows.peephole_gradient[k] + j;
                store(sum, load(sum) + dw[k]);
            }
        });
    }
    // The gates before the reset, r * h, and the pre-activations of the candidate as far as they are known.
    static void reset(const Rows<T> &rows) {
        if constexpr (is_reset)
            for_vectors<T>(rows.hidden, WORK(int64_t j, int rest) {
                for (int r = 0; r < rows.count; r++) {
                    T *place = rows.gates + vector_offset<T>(j / lanes<T>, rows.block, r);
                    Vec<T> a[Cell::gates], h = load_part(rows.before[0] + r * rows.hidden + j, rest);
                    load_gates(rows, a, place, r, j, rest);
                    store_part(rows.reset + r * rows.hidden + j, Cell::template reset<T>(a, h), rest);
                    for (int g = 0; g < Cell::gates; g++) store(place + g * rows.gate_size, a[g]);
                }
            });
    }
    static void reset_backward(const Rows<T> &rows) {
        if constexpr (is_reset)
            for_vectors<T>(rows.hidden, WORK(int64_t j, int rest) {
                for (int r = 0; r < rows.count; r++) {
                    const int64_t place = vector_offset<T>(j / lanes<T>, rows.block, r), at = r * rows.hidden + j;
                    Vec<T> a[1] = {load(rows.saved + place)}, d[1] = {load_part(rows.direct[0] + at, rest)};
                    Vec<T> h = load_part(rows.before[0] + at, rest), drh = load_part(rows.reset_gradient + at, rest);
                    Cell::template reset_backward<T>(a, h, drh, d);
                    store(rows.gates + place, a[0]);
                    store_part(rows.direct[0] + at, d[0], rest);
                }
            });
    }
    // What the backward pass computes again: r * h, and the output before the step from gates and cell state.
    static void recompute_reset(const Rows<T> &rows) {
        for_vectors<T>(rows.hidden, WORK(int64_t j, int rest) {
            for (int r = 0; r < rows.count; r++) {
                Vec<T> gate = load(rows.saved + vector_offset<T>(j / lanes<T>, rows.block, r));
                store_part(rows.reset + r * rows.hidden + j, gate * load_part(rows.before[0] + r * rows.hidden + j, rest), rest);
            }
        });
    }
    static void recompute_output(const Rows<T> &rows) {
        for_vectors<T>(rows.hidden, WORK(int64_t j, int rest) {
            for (int r = 0; r < rows.count; r++) {
                Vec<T> o = load(rows.saved + Cell::output_gate * rows.gate_size + vector_offset<T>(j / lanes<T>, rows.block, r));
                store_part(rows.output + r * rows.hidden + j, o * tanh<T>(load_part(rows.after[1] + r * rows.hidden + j, rest)), rest);
            }
        });
    }
};

// The functions of a cell, by pointer.
template <class T> struct CellFunctions {
    CellShape shape;
    void (*forward)(const Rows<T> &), (*backward)(const Rows<T> &), (*reset)(const Rows<T> &);
    void (*reset_backward)(const Rows<T> &), (*recompute_reset)(const Rows<T> &), (*recompute_output)(const Rows<T> &);
};

template <class T, class Cell> CellFunctions<T> functions_of_cell() {
    using C = CellRows<T, Cell>;
    constexpr bool is_output_gated = Cell::output_gate >= 0;
    CellFunctions<T> all{C::shape(), C::forward, C::backward, nullptr, nullptr, nullptr, nullptr};
    if constexpr (C::is_reset)
        all.reset = C::reset, all.reset_backward = C::reset_backward, all.recompute_reset = C::recompute_reset;
    if constexpr (is_output_gated) all.recompute_output = C::recompute_output;
    return all;
}
