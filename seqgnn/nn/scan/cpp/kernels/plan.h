// Sizes, packed weights and working memory of one call.

constexpr int MAX_PROJECTIONS = 3, MAX_STAGES = 2, MAX_GATES = 5, BLOCK = 96;

template <class T> struct Plan {
    const CellFunctions<T> cell;
    const CellShape &shape = cell.shape;
    const int projections, stages;         // of the input and hidden ones; 2 stages if one sees what the gates compute
    const Call &call;
    const int64_t T_, B, N, H, rows;
    int panels, block, blocks;             // of columns; rows of a block of nodes, and their number in a window
    bool has_input;                        // or the input's pre-activations are given
    bool saves;
    int64_t gate_size, block_size;         // of one gate, and of all, in a block
    bool starts_at_zero = false;           // nothing is to be added for the state before the first step
    bool is_team;                          // all threads share each window
    int slots;                             // windows that are worked on at the same time

    size_t used = 0;
    T *packed[MAX_STAGES][MAX_GATES], *packed_back[MAX_PROJECTIONS], *bias;
    int64_t packed_width[MAX_STAGES][MAX_GATES];
    T *chains[MAX_PROJECTIONS], *leaves[MAX_PROJECTIONS], *propagated, *block_gates, *reset_state, *recomputed_output;
    // The backward pass:
    T *dsignals[MAX_PROJECTIONS], *dstate[2], *direct[2], *dweight[MAX_PROJECTIONS], *dbias, *dpeephole, *dvalues;
    int64_t num_values;

    Plan(const CellFunctions<T> &cell, const Call &call, int threads, bool backward)
        : cell(cell), projections(1 + cell.shape.projections), stages(cell.shape.resets ? 2 : 1), call(call), T_(call.steps), B(call.windows), N(call.nodes), H(call.hidden), rows(call.rows) {
        panels = int((H + panel<T> - 1) / panel<T>);
        is_team = threads > 1 && B < 4 * threads && B % threads != 0;
        blocks = int((N + BLOCK - 1) / BLOCK);
        // An equal share for each thread; of those asked for, on which what is saved for the backward pass may depend.
        const int sharing = B < 4 * call.threads && B % call.threads != 0 ? call.threads : 1;
        if (N >= int64_t(sharing) * 2 * TILE) blocks = (blocks + sharing - 1) / sharing * sharing;
        block = int((N + blocks - 1) / blocks);
        if (blocks > 1) block = (block + TILE - 1) / TILE * TILE;
        blocks = int((N + block - 1) / block);
        gate_size = int64_t(panels) * block * panel<T>, block_size = shape.gates * gate_size;
        has_input = call.projections[0].weight != nullptr, saves = call.gates != nullptr;
        slots = is_team ? int(B) : threads;
        lay_out(threads, backward);
    }

    T *take(int64_t count) {
        size_t at = used;
        used += (size_t(count) * sizeof(T) + 63) / 64 * 64;
        return (T *)((char *)call.workspace + at);
    }

    void lay_out(int threads, bool backward) {
        if (!backward) {
            bias = take(shape.gates * H);
            for (int stage = 0; stage < stages; stage++)
                for (int gate = 0; gate < shape.gates; gate++) {
                    int64_t width = 0;
                    for (int p = 0; p < projections; p++)
                        if (place(stage, gate, p) >= 0) width += int64_t(terms(p)) * channels(p);
                    packed_width[stage][gate] = width;
                    packed[stage][gate] = take(panels * width * panel<T>);
                }
        }
        for (int p = 0; p < projections; p++) {
            chains[p] = take(int64_t(slots) * num_chained(p) * N * channels(p));
            leaves[p] = take(int64_t(threads) * hops(p) * block * channels(p));
        }
        propagated = take(has_dense() ? threads * propagated_size() : 0);
        bool persists = shape.resets;      // what the first stage computes for a window, the second needs
        block_gates = take(persists ? int64_t(slots) * blocks * block_size : int64_t(threads) * block_size);
        reset_state = take(persists ? int64_t(slots) * N * H : 0);
        if (!backward) return;
        recomputed_output = take(shape.output_gate >= 0 && !call.states[0] ? int64_t(slots) * N * H : 0);
        for (int p = 0; p < projections; p++) {
            int64_t channel_panels = (channels(p) + panel<T> - 1) / panel<T>;
            packed_back[p] = take(terms(p) * channel_panels * gates_of(p) * H * panel<T>);
            dsignals[p] = take(2 * int64_t(slots) * terms(p) * N * channels(p));
        }
        for (int i = 0; i < shape.states; i++) {
            dstate[i] = take(int64_t(threads) * block * H);
            direct[i] = take(rows * H);
        }
        for (int p = 0; p < projections; p++) dweight[p] = take(threads * dweight_count(p));
        dbias = take(int64_t(threads) * shape.gates * panels * panel<T>);
        dpeephole = take(int64_t(threads) * shape.peepholes * panels * panel<T>);
        num_values = 0;
        for (int o = 0; o < call.num_operators; o++)
            if (call.operators[o].gradient) num_values += call.operators[o].pointers[N];
        dvalues = take(threads * num_values);
    }

    int64_t propagated_size() const {
        int widest = 0;
        for (int p = 0; p < projections; p++) widest = channels(p) > widest ? channels(p) : widest;
        return N * panel<T> + int64_t(block) * widest;
    }
    bool has_dense() const {
        for (int o = 0; o < call.num_operators; o++)
            if (call.operators[o].dense) return true;
        return false;
    }
    const Projection &projection(int p) const { return call.projections[p]; }
    bool is_present(int p) const { return p > 0 || has_input; }
    int hops(int p) const { return is_present(p) ? projection(p).num_hops : 0; }
    int terms(int p) const { return is_present(p) ? projection(p).num_hops + projection(p).keeps_input : 0; }
    int channels(int p) const { return is_present(p) ? projection(p).channels : 0; }
    int gates_of(int p) const { return p == 0 ? shape.inputs : shape.hiddens[p - 1]; }
    int gate_of(int p, int number) const { return p == 0 ? shape.input[number] : shape.hidden[p - 1][number]; }
    int64_t dweight_count(int p) const {
        return int64_t(gates_of(p)) * panels * terms(p) * channels(p) * panel<T>;
    }
    // The number of a gate among those of a projection if that contributes to it in this stage, else -1.
    int place(int stage, int gate, int p) const {
        if (!is_present(p) || stage_of(p) != stage) return -1;
        for (int number = 0; number < gates_of(p); number++)
            if (gate_of(p, number) == gate) return number;
        return -1;
    }
    int stage_of(int p) const { return shape.resets && p == projections - 1 ? 1 : 0; }

    // True if signal k of a projection is needed at other nodes, for a later hop.
    bool is_chained(int p, int k) const {
        for (int hop = k; hop < hops(p); hop++)
            if (projection(p).hops[hop].source == k) return true;
        return false;
    }
    int num_chained(int p) const {
        int count = 0;
        for (int k = 1; k <= hops(p); k++) count += is_chained(p, k);
        return count;
    }

    // True if no hidden weight is inf or nan: these times a state of zero are nan.
    bool has_finite_weights() const {
        for (int p = 1; p < projections; p++)
            if (!are_finite((const T *)projection(p).weight, gates_of(p) * H * terms(p) * channels(p))) return false;
        return true;
    }

    int64_t nodes_of(int64_t b) const { return (b + 1) * N <= rows ? N : rows - b * N; }
    int64_t step_of(int64_t s) const { return call.reverse ? T_ - 1 - s : s; }  // s: in the order of the scan
    int slot(int64_t b, int rank) const { return is_team ? int(b) : rank; }

    // Packs the weights of one gate and one panel of columns: segments in the order of the projections.
    void pack(int stage, int gate, int column_panel) {
        T *to = packed[stage][gate] + column_panel * packed_width[stage][gate] * panel<T>;
        for (int p = 0; p < projections; p++) {
            int number = place(stage, gate, p);
            if (number < 0) continue;
            const int64_t width = int64_t(terms(p)) * channels(p), first = number * H + column_panel * panel<T>;
            const T *from = (const T *)projection(p).weight + first * width;
            const int columns = int(H - column_panel * panel<T> < panel<T> ? H - column_panel * panel<T> : panel<T>);
            for (int64_t k = 0; k < width; k++, to += panel<T>)
                for (int q = 0; q < panel<T>; q++) to[q] = q < columns ? from[q * width + k] : T(0);
        }
    }

    // The transposed weights of one term and one panel of its channels: [gates * H, panel].
    void pack_back(int p, int term, int channel_panel) {
        const int C = channels(p), depth = int(gates_of(p) * H), channel_panels = (C + panel<T> - 1) / panel<T>;
        const int first = channel_panel * panel<T>, columns = C - first < panel<T> ? C - first : panel<T>;
        T *to = packed_back[p] + (int64_t(term) * channel_panels + channel_panel) * depth * panel<T>;
        const T *from = (const T *)projection(p).weight + int64_t(term) * C + first;
        for (int row = 0; row < depth; row++, to += panel<T>, from += int64_t(terms(p)) * C)
            for (int q = 0; q < panel<T>; q++) to[q] = q < columns ? from[q] : T(0);
    }

    void sum_biases() {
        for (int64_t k = 0; k < shape.gates * H; k++) bias[k] = 0;
        for (int p = 0; p < projections; p++) {
            const T *from = (const T *)projection(p).bias;
            if (!from) continue;
            for (int number = 0; number < gates_of(p); number++)
                for (int64_t j = 0; j < H; j++) bias[gate_of(p, number) * H + j] += from[number * H + j];
        }
    }
};
