// The forward pass over all steps.

template <class T> struct Forward : Pass<T> {
    using Base = Pass<T>;
    using Base::Base;
    using Base::plan, Base::shape, Base::call, Base::rank, Base::count, Base::barrier, Base::H, Base::run,
        Base::synchronize, Base::for_blocks, Base::gates, Base::compute_chains, Base::segments, Base::takes_part,
        Base::rows_of;
    using Block = typename Base::Block;

    void forward() {
        for (int stage = 0, unit = 0; stage < plan.stages; stage++)
            for (int gate = 0; gate < shape.gates; gate++)
                for (int j = 0; j < plan.panels; j++)
                    if (unit++ % count == rank) plan.pack(stage, gate, j);
        if (rank == 0) plan.sum_biases();
        barrier.wait();
        run(true, [&](int64_t from, int64_t to, int64_t s) {
            for (int stage = 0; stage < plan.stages; stage++) {
                for (int p = 0; p < plan.projections; p++)
                    if (takes_part(p, stage, s)) compute_chains(p, from, to, s);
                for_blocks(from, to, [&](const Block &at) {
                    multiply(at, s, stage);
                    cell_forward(at, s, stage);
                });
                synchronize();
            }
        });
    }

    // The pre-activations of a block, without biases and what is given of them.
    void multiply(const Block &at, int64_t s, int stage) {
        Segment<T> all[MAX_PROJECTIONS][MAX_TERMS];
        int counts[MAX_PROJECTIONS] = {};
        for (int p = 0; p < plan.projections; p++)
            if (takes_part(p, stage, s)) counts[p] = segments(p, at, s, all[p], true);
        T *a = gates(at, s);
        for (int gate = 0; gate < shape.gates; gate++) {
            Segment<T> used[MAX_PROJECTIONS * MAX_TERMS];
            int n = 0;
            bool contributes = stage == 0;
            for (int p = 0; p < plan.projections; p++) {
                if (plan.place(stage, gate, p) < 0) continue;
                contributes = true;
                for (int k = 0; k < counts[p]; k++) used[n++] = all[p][k];
            }
            if (!contributes) continue;
            for (int j = 0; j < plan.panels; j++) {
                const T *w = plan.packed[stage][gate] + j * plan.packed_width[stage][gate] * panel<T>;
                T *to = a + gate * plan.gate_size + int64_t(j) * plan.block * panel<T>;
                product(to, panel<T>, panel<T>, used, n, at.rows, w, stage == 1);
            }
        }
    }
    void cell_forward(const Block &at, int64_t s, int stage) {
        Rows<T> rows = rows_of(at, s);
        if (call.states[0] != call.output) rows.output = (T *)call.output + (plan.step_of(s) * plan.rows + at.row) * H;
        (shape.resets && stage == 0 ? plan.cell.reset : plan.cell.forward)(rows);
    }
};
