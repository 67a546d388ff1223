// What both passes need of the steps, for the windows and nodes of one thread.
//
// Where there are enough windows each thread takes some of them through all steps, so that their state stays in cache;
// else all threads share the nodes of every window and wait for each other where values of other nodes are read.

template <class T> struct Pass {
    Plan<T> &plan;
    const CellShape &shape;
    const Call &call;
    const int rank, count;
    Barrier &barrier;
    const int64_t N, H;
    int64_t window_begin, window_end;
    int block_begin, block_end;

    Pass(Plan<T> &plan, int rank, int count, Barrier &barrier)
        : plan(plan), shape(plan.shape), call(plan.call), rank(rank), count(count), barrier(barrier), N(plan.N), H(plan.H) {
        window_begin = plan.is_team ? 0 : plan.B * rank / count, block_begin = 0, block_end = plan.blocks;
        window_end = plan.is_team ? plan.B : plan.B * (rank + 1) / count;
        if (plan.is_team) {
            block_begin = int(int64_t(plan.blocks) * rank / count);
            block_end = int(int64_t(plan.blocks) * (rank + 1) / count);
        }
    }

    // Runs the steps: window by window, or, in a team, all windows step by step.
    template <class Step> void run(bool forward, Step step) {
        const int64_t last = window_end, T_ = plan.T_;
        for (int64_t b = window_begin; b < last; b = plan.is_team ? last : b + 1)
            for (int64_t k = 0; k < T_; k++) step(b, plan.is_team ? last : b + 1, forward ? k : T_ - 1 - k);
    }
    void synchronize() {
        if (plan.is_team) barrier.wait();
    }

    struct Block {
        int64_t b, first, row;             // the window, the first node in it, and its row among all
        int rows, number;
    };
    template <class Work> void for_blocks(int64_t from, int64_t to, Work work) {
        for (int64_t b = from; b < to; b++)
            for (int k = block_begin; k < block_end; k++) {
                int64_t first = int64_t(k) * plan.block, nodes = plan.nodes_of(b);
                if (first >= nodes) break;
                int rows = int(nodes - first < plan.block ? nodes - first : plan.block);
                work(Block{b, first, b * N + first, rows, k});
            }
    }

    // Tensors at a step, s in the order of the scan; states are those of a window.
    const T *state_before(int i, int64_t b, int64_t s) const {
        if (s == 0) return (const T *)call.first[i] + b * N * H;
        return i == 0 && !call.states[0] ? recomputed_output(b) : state_after(i, b, s - 1);
    }
    T *state_after(int i, int64_t b, int64_t s) const {
        const int64_t place = i == 0 || plan.saves ? plan.step_of(s) : s & 1;
        return (T *)call.states[i] + (place * plan.rows + b * N) * H;
    }
    T *recomputed_output(int64_t b) const { return plan.recomputed_output + int64_t(plan.slot(b, rank)) * N * H; }
    bool is_zero(int64_t s) const { return plan.starts_at_zero && s == 0; }
    T *gates(const Block &at, int64_t s) const {
        const int64_t each = plan.block_size;
        if (plan.saves && shape.saves_gates) return (T *)call.gates + ((plan.step_of(s) * plan.B + at.b) * plan.blocks + at.number) * each;
        return work_gates(at);
    }
    T *work_gates(const Block &at) const {
        if (!shape.resets) return plan.block_gates + rank * plan.block_size;
        return plan.block_gates + (int64_t(plan.slot(at.b, rank)) * plan.blocks + at.number) * plan.block_size;
    }
    T *reset_state(int64_t b) const { return plan.reset_state + int64_t(plan.slot(b, rank)) * N * H; }
    // The signals of a projection.
    const T *source(int p, int64_t b, int64_t s) const {
        if (p == 0) return (const T *)call.x + (plan.step_of(s) * plan.rows + b * N) * plan.channels(0);
        Source from = shape.sources[p - 1];
        return from == RESET_STATE ? reset_state(b) : state_before(from == CELL_STATE, b, s);
    }
    T *chain(int p, int64_t b, int k) const {
        int place = 0;
        for (int earlier = 1; earlier < k; earlier++) place += plan.is_chained(p, earlier);
        return plan.chains[p] + (int64_t(plan.slot(b, rank)) * plan.num_chained(p) + place) * N * plan.channels(p);
    }
    T *leaf(int p, int k) const {
        return plan.leaves[p] + (int64_t(rank) * plan.hops(p) + k - 1) * plan.block * plan.channels(p);
    }
    // Where signal k of all nodes is, for a chained one or the source.
    const T *signal(int p, int64_t b, int64_t s, int k) const { return k == 0 ? source(p, b, s) : chain(p, b, k); }
    const Operator &operator_of(int p, const Hop &hop, int64_t s) const {
        const Projection &projection = plan.projection(p);
        int64_t step = projection.per_step ? plan.step_of(s) : 0;
        return call.operators[projection.operators[step * projection.num_operators + hop.operator_]];
    }
    T *propagated() const { return plan.propagated + rank * plan.propagated_size(); }
    // out[rows][C] = signal k at the nodes of a block; `minus` is that of the same nodes.
    void hop(int p, int k, const Block &at, int64_t s, T *out) {
        const Hop &hop = plan.projection(p).hops[k - 1];
        const int C = plan.channels(p);
        const Gather<T> from(operator_of(p, hop, s), false, signal(p, at.b, s, hop.source), C, N);
        propagate(out, from, at.first, at.rows, T(hop.scale), false, propagated());
        if (hop.minus < 0) return;
        const T *minus = signal(p, at.b, s, hop.minus) + at.first * C;
        for (int64_t c = 0; c < int64_t(at.rows) * C; c++) out[c] -= minus[c];
    }
    // The signals that later hops read at other nodes.
    void compute_chains(int p, int64_t from, int64_t to, int64_t s) {
        for (int k = 1; k <= plan.hops(p); k++) {
            if (!plan.is_chained(p, k)) continue;
            for_blocks(from, to, [&](const Block &at) {
                hop(p, k, at, s, chain(p, at.b, k) + at.first * plan.channels(p));
            });
            synchronize();
        }
    }
    // The basis of a block, computing what is not a chain.
    int segments(int p, const Block &at, int64_t s, Segment<T> *to, bool compute) {
        const int C = plan.channels(p);
        int n = 0;
        if (plan.projection(p).keeps_input) to[n++] = {source(p, at.b, s) + at.first * C, C, C};
        for (int k = 1; k <= plan.hops(p); k++) {
            if (plan.is_chained(p, k)) {
                to[n++] = {chain(p, at.b, k) + at.first * C, C, C};
                continue;
            }
            T *out = leaf(p, k);
            if (compute) hop(p, k, at, s, out);
            to[n++] = {out, C, C};
        }
        return n;
    }
    bool takes_part(int p, int stage, int64_t s) const {
        return plan.is_present(p) && plan.stage_of(p) == stage && (p == 0 || !is_zero(s));
    }

    // The rows of a block at a step, without what the backward pass adds.
    Rows<T> rows_of(const Block &at, int64_t s) const {
        Rows<T> rows{};
        rows.gates = gates(at, s), rows.gate_size = plan.gate_size, rows.block = plan.block, rows.hidden = H;
        rows.count = at.rows, rows.stores_gates = shape.saves_gates && plan.saves;
        rows.bias = plan.bias;
        if (call.pre) rows.pre = (const T *)call.pre + (plan.step_of(s) * plan.rows + at.row) * shape.inputs * H;
        for (int i = 0; i < shape.states; i++) {
            rows.before[i] = state_before(i, at.b, s) + at.first * H;
            if (call.states[i]) rows.after[i] = state_after(i, at.b, s) + at.first * H;
        }
        for (int k = 0; k < shape.peepholes; k++) rows.peepholes[k] = (const T *)call.peepholes[k];
        if (call.active) rows.active = call.active + plan.step_of(s) * plan.rows + at.row;
        if (shape.resets) rows.reset = reset_state(at.b) + at.first * H;
        return rows;
    }
};
