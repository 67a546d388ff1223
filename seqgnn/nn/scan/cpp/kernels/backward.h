// The backward pass over all steps: gradients with respect to inputs, states, weights and the values of operators.

template <class T> struct Backward : Pass<T> {
    using Base = Pass<T>;
    using Base::Base;
    using Base::plan, Base::shape, Base::call, Base::rank, Base::count, Base::barrier, Base::N, Base::H,
        Base::window_begin, Base::window_end, Base::run, Base::synchronize, Base::for_blocks, Base::is_zero,
        Base::gates, Base::work_gates, Base::recomputed_output, Base::signal, Base::operator_of,
        Base::compute_chains, Base::segments, Base::takes_part, Base::rows_of, Base::propagated;
    using Block = typename Base::Block;

    T *dsignal(int p, int64_t b, int64_t s, int term) const {
        const int64_t slot = plan.slot(b, rank), each = N * plan.channels(p);
        return plan.dsignals[p] + (((s & 1) * plan.slots + slot) * plan.terms(p) + term) * each;
    }
    // That of signal k, or null for a source that is no term of the basis.
    T *dsignal_of(int p, int64_t b, int64_t s, int k) const {
        int term = k - !plan.projection(p).keeps_input;
        return term < 0 ? nullptr : dsignal(p, b, s, term);
    }
    // out[rows][C] += the gradient with respect to the source of a projection at step s, at the nodes of a block.
    void collect(int p, const Block &at, int64_t s, T *out) {
        const int64_t C = plan.channels(p), first = at.first * C, size = at.rows * C;
        if (const T *own = dsignal_of(p, at.b, s, 0))
            for (int64_t c = 0; c < size; c++) out[c] += own[first + c];
        for (int k = 1; k <= plan.hops(p); k++) {
            const Hop &hop = plan.projection(p).hops[k - 1];
            const T *d = dsignal_of(p, at.b, s, k);
            if (hop.source == 0) {
                const Gather<T> from(operator_of(p, hop, s), true, d, int(C), N);
                propagate(out, from, at.first, at.rows, T(hop.scale), true, propagated());
            }
            if (hop.minus == 0)
                for (int64_t c = 0; c < size; c++) out[c] -= d[first + c];
        }
    }
    // Passes the gradients of signals to those they were computed from, the source apart, and those of the values.
    void propagate_back(int p, int64_t from, int64_t to, int64_t s) {
        const int C = plan.channels(p);
        for (int k = plan.hops(p); k > 0; k--) {
            const Hop &hop = plan.projection(p).hops[k - 1];
            const Operator &op = operator_of(p, hop, s);
            T *dvalues = gradient_of(op);
            if (!dvalues && hop.source <= 0 && hop.minus <= 0) continue;
            for_blocks(from, to, [&](const Block &at) {
                const T *d = dsignal_of(p, at.b, s, k);
                const int64_t first = at.first * C, end = first + at.rows * C;
                if (hop.source > 0)
                    propagate(dsignal_of(p, at.b, s, hop.source) + first, Gather<T>(op, true, d, C, N), at.first, at.rows,
                              T(hop.scale), true, propagated());
                if (hop.minus > 0)
                    for (int64_t c = first; c < end; c++) dsignal_of(p, at.b, s, hop.minus)[c] -= d[c];
                for (int64_t n = at.first; n < at.first + at.rows && dvalues; n++)
                    values_gradient(dvalues, op.pointers, op.columns, d + n * C, signal(p, at.b, s, hop.source), C, n, C,
                                    T(hop.scale));
            });
            synchronize();
        }
    }
    T *gradient_of(const Operator &op) const {
        if (!op.gradient) return nullptr;
        T *place = plan.dvalues + rank * plan.num_values;
        for (const Operator *earlier = call.operators; earlier < &op; earlier++)
            if (earlier->gradient) place += earlier->pointers[N];
        return place;
    }

    void backward() {
        zero(plan.dbias + int64_t(rank) * shape.gates * plan.panels * panel<T>, int64_t(shape.gates) * plan.panels * panel<T>);
        zero(plan.dpeephole + int64_t(rank) * shape.peepholes * plan.panels * panel<T>,
             int64_t(shape.peepholes) * plan.panels * panel<T>);
        zero(plan.dvalues + rank * plan.num_values, plan.num_values);
        for (int p = 0, unit = 0; p < plan.projections; p++) {
            zero(plan.dweight[p] + rank * plan.dweight_count(p), plan.dweight_count(p));
            for (int term = 0; term < plan.terms(p); term++)
                for (int j = 0; j * panel<T> < plan.channels(p); j++)
                    if (unit++ % count == rank) plan.pack_back(p, term, j);
        }
        for_blocks(window_begin, window_end, [&](const Block &at) {
            for (int i = 0; i < shape.states; i++) {
                T *to = plan.direct[i] + at.row * H;
                const T *from = (const T *)call.last_gradient[i];
                for (int64_t k = 0; k < at.rows * H; k++) to[k] = from ? from[at.row * H + k] : T(0);
            }
        });
        barrier.wait();
        run(false, [&](int64_t from, int64_t to, int64_t s) {
            step_backward(from, to, s);
            if (s == 0) finish_first_state(from, to);
        });
        barrier.wait();
        reduce();
    }
    static void zero(T *p, int64_t count) {
        for (int64_t k = 0; k < count; k++) p[k] = T(0);
    }

    void step_backward(int64_t from, int64_t to, int64_t s) {
        if (!call.states[0] && s > 0) {
            for_blocks(from, to, [&](const Block &at) { recompute_output(at, s); });
            synchronize();
        }
        for (int p = 0; p < plan.projections; p++)
            if (takes_part(p, 0, s)) compute_chains(p, from, to, s);
        if (shape.resets) {
            for_blocks(from, to, [&](const Block &at) { recompute_reset_state(at, s); });
            synchronize();
            if (takes_part(plan.projections - 1, 1, s)) compute_chains(plan.projections - 1, from, to, s);
        }
        for (int stage = plan.stages - 1; stage >= 0; stage--) {
            for_blocks(from, to, [&](const Block &at) {
                if (stage == plan.stages - 1) cell_backward(at, s);
                else reset_backward(at, s);
                if (stage == 0) accumulate_biases(at, s);
                for (int p = 0; p < plan.projections; p++)
                    if (takes_part(p, stage, s)) projection_backward(p, at, s);
            });
            synchronize();
            for (int p = 0; p < plan.projections; p++)
                if (takes_part(p, stage, s) && needs_signals(p)) propagate_back(p, from, to, s);
        }
        if (!plan.has_input || !call.x_gradient) return;
        const int C = plan.channels(0);
        for_blocks(from, to, [&](const Block &at) {
            T *dx = (T *)call.x_gradient + (plan.step_of(s) * plan.rows + at.row) * C;
            zero(dx, int64_t(at.rows) * C);
            collect(0, at, s, dx);
        });
    }
    bool needs_signals(int p) const { return p > 0 || plan.projection(0).needs_gradient; }

    // The gradient with respect to the state after a step, without that of the output, to dstate[rows][H].
    void collect_state(const Block &at, int64_t s) {
        for (int i = 0; i < shape.states; i++) {
            T *to = plan.dstate[i] + int64_t(rank) * plan.block * H;
            const T *direct = plan.direct[i] + at.row * H;
            for (int64_t k = 0; k < at.rows * H; k++) to[k] = direct[k];
        }
        if (s + 1 == plan.T_) return;
        for (int p = 1; p < plan.projections; p++) {
            if (shape.sources[p - 1] == RESET_STATE) continue;
            T *to = plan.dstate[shape.sources[p - 1] == CELL_STATE] + int64_t(rank) * plan.block * H;
            collect(p, at, s + 1, to);
        }
    }
    T *peephole_gradient(int k) const {
        return plan.dpeephole + (int64_t(rank) * shape.peepholes + k) * plan.panels * panel<T>;
    }
    Rows<T> rows_backward(const Block &at, int64_t s) const {
        Rows<T> rows = rows_of(at, s);
        rows.saved = rows.gates, rows.gates = work_gates(at);
        for (int i = 0; i < shape.states; i++) {
            rows.d[i] = plan.dstate[i] + int64_t(rank) * plan.block * H;
            rows.direct[i] = plan.direct[i] + at.row * H;
        }
        for (int k = 0; k < shape.peepholes; k++) rows.peephole_gradient[k] = peephole_gradient(k);
        if (call.output_gradient)
            rows.output_gradient = (const T *)call.output_gradient + (plan.step_of(s) * plan.rows + at.row) * H;
        return rows;
    }
    void cell_backward(const Block &at, int64_t s) {
        collect_state(at, s);
        plan.cell.backward(rows_backward(at, s));
    }
    void reset_backward(const Block &at, int64_t s) {
        Rows<T> rows = rows_backward(at, s);
        T *drh = rows.d[0];
        zero(drh, at.rows * H);
        if (!is_zero(s)) collect(plan.projections - 1, at, s, drh);
        rows.reset_gradient = drh;
        plan.cell.reset_backward(rows);
    }
    void recompute_output(const Block &at, int64_t s) {
        Rows<T> rows = rows_of(at, s - 1);
        rows.saved = rows.gates, rows.output = recomputed_output(at.b) + at.first * H;
        plan.cell.recompute_output(rows);
    }
    void recompute_reset_state(const Block &at, int64_t s) {
        Rows<T> rows = rows_of(at, s);
        rows.saved = rows.gates;
        plan.cell.recompute_reset(rows);
    }
    void accumulate_biases(const Block &at, int64_t s) {
        const T *block = work_gates(at);
        for (int gate = 0; gate < shape.gates; gate++)
            for (int v = 0; v * lanes<T> < H; v++) {
                const T *from = block + gate * plan.gate_size + vector_offset<T>(v, plan.block, 0);
                Vec<T> sum = {};
                for (int r = 0; r < at.rows; r++) sum += load(from + int64_t(r) * panel<T>);
                T *to = plan.dbias + (int64_t(rank) * shape.gates + gate) * plan.panels * panel<T> + int64_t(v) * lanes<T>;
                store(to, load(to) + sum);
            }
        if (!call.pre_gradient) return;
        for (int r = 0; r < at.rows; r++)
            for (int number = 0; number < shape.inputs; number++)
                for (int v = 0; v * lanes<T> < H; v++) {
                    const int64_t j = int64_t(v) * lanes<T>, row = plan.step_of(s) * plan.rows + at.row + r;
                    T *to = (T *)call.pre_gradient + (row * shape.inputs + number) * H + j;
                    store_part(to, load(block + shape.input[number] * plan.gate_size + vector_offset<T>(v, plan.block, r)), int(H - j));
                }
    }
    // The gradients of the signals of a block, and of the weights.
    void projection_backward(int p, const Block &at, int64_t s) {
        const T *block = work_gates(at);
        const int C = plan.channels(p), number = plan.gates_of(p);
        Segment<T> signals[MAX_TERMS];
        const int terms = segments(p, at, s, signals, true);
        T *dw = plan.dweight[p] + rank * plan.dweight_count(p);
        for (int gate = 0; gate < number; gate++)
            for (int j = 0; j < plan.panels; j++) {
                const T *da = block + plan.gate_of(p, gate) * plan.gate_size + int64_t(j) * plan.block * panel<T>;
                for (int term = 0; term < terms; term++, dw += int64_t(C) * panel<T>) outer_product(dw, signals[term], da, at.rows);
            }
        if (!needs_signals(p)) return;
        const int channel_panels = (C + panel<T> - 1) / panel<T>;
        for (int term = 0; term < terms; term++)
            for (int j = 0; j < channel_panels; j++) {
                const T *w = plan.packed_back[p] + (int64_t(term) * channel_panels + j) * number * H * panel<T>;
                T *to = dsignal(p, at.b, s, term) + at.first * C + j * panel<T>;
                const int columns = C - j * panel<T> < panel<T> ? C - j * panel<T> : panel<T>;
                bool add = false;          // in chunks of as many segments as fit
                Segment<T> chunk[CHUNK];
                int n = 0;
                const T *w_chunk = w;
                int64_t depth = 0;
                for (int gate = 0; gate < number; gate++)
                    for (int q = 0; q < plan.panels; q++) {
                        const int width = int(H - q * panel<T> < panel<T> ? H - q * panel<T> : panel<T>);
                        chunk[n++] = {block + plan.gate_of(p, gate) * plan.gate_size + int64_t(q) * plan.block * panel<T>, panel<T>, width};
                        depth += width;
                        const bool is_last = gate == number - 1 && q == plan.panels - 1;
                        if (n < CHUNK && !is_last) continue;
                        product(to, C, columns, chunk, n, at.rows, w_chunk, add);
                        w_chunk += depth * panel<T>, depth = 0, n = 0, add = true;
                    }
            }
    }
    // The gradient with respect to the state before the first step.
    void finish_first_state(int64_t from, int64_t to_) {
        for_blocks(from, to_, [&](const Block &at) {
            for (int i = 0; i < shape.states; i++) {
                T *to = (T *)call.first_gradient[i];
                if (!to) continue;
                to += at.row * H;
                for (int64_t k = 0; k < at.rows * H; k++) to[k] = plan.direct[i][at.row * H + k];
                if (call.zero_state) continue;
                for (int p = 1; p < plan.projections; p++)
                    if (shape.sources[p - 1] == (i ? CELL_STATE : HIDDEN_STATE)) collect(p, at, 0, to);
            }
        });
    }
    // Adds up what the threads have accumulated, in the order of the threads.
    void reduce() {
        int unit = 0;
        for (int p = 0; p < plan.projections; p++) {
            const int64_t width = int64_t(plan.terms(p)) * plan.channels(p);
            T *to = (T *)plan.projection(p).weight_gradient;
            for (int gate = 0; gate < plan.gates_of(p) && to; gate++)
                for (int j = 0; j < plan.panels; j++) {
                    if (unit++ % count != rank) continue;
                    T *first = plan.dweight[p] + (int64_t(gate) * plan.panels + j) * width * panel<T>;
                    for (int other = 1; other < count; other++) {
                        const T *from = first + other * plan.dweight_count(p);
                        for (int64_t k = 0; k < width * panel<T>; k++) first[k] += from[k];
                    }
                    for (int q = 0; q < panel<T> && j * panel<T> + q < H; q++)
                        for (int64_t k = 0; k < width; k++)
                            to[(gate * H + j * panel<T> + q) * width + k] = first[k * panel<T> + q];
                }
        }
        if (rank != 0) return;
        const int64_t padded = int64_t(plan.panels) * panel<T>;
        for (int p = 0; p < plan.projections; p++)
            if (T *to = (T *)plan.projection(p).bias_gradient)
                for (int number = 0; number < plan.gates_of(p); number++)
                    for (int64_t j = 0; j < H; j++)
                        to[number * H + j] = total(plan.dbias + plan.gate_of(p, number) * padded + j, shape.gates * padded);
        for (int k = 0; k < shape.peepholes; k++)
            for (int64_t j = 0; j < H; j++)
                ((T *)call.peephole_gradient[k])[j] = total(plan.dpeephole + k * padded + j, shape.peepholes * padded);
        int64_t first = 0;
        for (int o = 0; o < call.num_operators; o++) {
            T *to = (T *)call.operators[o].gradient;
            if (!to) continue;
            const int64_t entries = call.operators[o].pointers[N];
            for (int64_t e = 0; e < entries; e++) to[e] = total(plan.dvalues + first + e, plan.num_values);
            first += entries;
        }
    }
    T total(const T *first, int64_t stride) const {
        T sum = 0;
        for (int other = 0; other < count; other++) sum += first[other * stride];
        return sum;
    }
};
