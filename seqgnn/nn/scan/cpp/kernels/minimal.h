// The steps of minGRU and minLSTM: gates and recurrence at once, forward and backward, for some rows or channels.
//
// h' = (1 - z) h + z c with z = sigmoid(a_z), or z = sigmoid(i) / (sigmoid(f) + sigmoid(i)). Products of their own, not
// h + z (c - h), as inf and nan have to be where the equations have them.

// e^-|x|, which is 0 for an infinite x.
template <class T> INLINE Vec<T> exp_of_minus_size(Vec<T> x) {
    x = x < T(0) ? x : -x;
    return x < Simd<T>::smallest ? Vec<T>{} : exp<T>(x);
}

template <class T, bool is_lstm> struct MinimalSteps {
    static constexpr int gates = is_lstm ? 3 : 2;
    const MinimalCall &call;
    const int64_t R = call.rows, H = call.hidden;
    int64_t row_begin = 0, row_end = R, begin = 0, end = H;  // rows and channels of this thread
    T *bias_gradient;                      // of this thread

    // Threads share the rows or the registers of channels, whichever divides more evenly.
    MinimalSteps(const MinimalCall &call, int rank, int count) : call(call) {
        const int64_t registers = (H + lanes<T> - 1) / lanes<T>;
        auto most = [&](int64_t parts) { return double((parts + count - 1) / count) / double(parts); };
        if (most(R) <= most(registers)) {
            row_begin = R * rank / count, row_end = R * (rank + 1) / count;
        } else {
            begin = registers * rank / count * lanes<T>, end = registers * (rank + 1) / count * lanes<T>;
            if (end > H) end = H;
        }
        bias_gradient = (T *)call.bias_gradients + int64_t(rank) * gates * H;
    }

    // The gate z; `slopes` are 1 - sigmoid of the pre-activations of f and i.
    INLINE Vec<T> gate(const Vec<T> *a, Vec<T> *slopes) {
        if constexpr (!is_lstm) return sigmoid<T>(a[0]);
        // With p = e^-|f| and q = e^-|i|, log sigmoid(f) = min(f, 0) - log(1 + p), so z = (1 + p) / (1 + p + e^m (1 + q)).
        const Vec<T> f = a[0], i = a[1], one = fill(T(1));
        const Vec<T> p = exp_of_minus_size<T>(f), q = exp_of_minus_size<T>(i);
        const Vec<T> m = (f > T(0) ? Vec<T>{} : f) - (i > T(0) ? Vec<T>{} : i);
        slopes[0] = (f < T(0) ? one : p) / (one + p), slopes[1] = (i < T(0) ? one : q) / (one + q);
        return (one + p) / (one + p + exp<T>(m) * (one + q));
    }
    template <bool whole> INLINE Vec<T> get(const T *p, int count) { return whole ? load(p) : load_part(p, count); }
    template <bool whole> INLINE void put(T *p, Vec<T> x, int count) {
        if (whole) store(p, x);
        else store_part(p, x, count);
    }
    // Calls work<whole>(t, s, j, channels left) for all registers of channels of all steps.
    template <class Work> void for_registers(bool forward, Work work) const {
        const int64_t S = call.steps;
        for (int64_t k = 0; k < S; k++) {
            const int64_t s = forward ? k : S - 1 - k, t = call.reverse ? S - 1 - s : s;
            int64_t j = begin;
            for (; j + lanes<T> <= end; j += lanes<T>) work.template operator()<true>(t, s, j, lanes<T>);
            if (j < end) work.template operator()<false>(t, s, j, int(end - j));
        }
    }

    struct Forward {
        const MinimalSteps &at;
        template <bool whole> INLINE void run(const MinimalSteps &at, int64_t t, int64_t j, int count) {
            const MinimalCall &call = at.call;
            const int64_t R = at.R, H = at.H;
            Vec<T> bias[gates], a[gates], slopes[2];
            for (int g = 0; g < gates; g++) bias[g] = call.bias ? get<whole>((const T *)call.bias + g * H + j, count) : Vec<T>{};
            for (int64_t r = at.row_begin; r < at.row_end; r++) {
                T *state = (T *)call.state + r * H + j, *output = (T *)call.output + (t * R + r) * H + j;
                if (call.active && !call.active[t * R + r]) {
                    put<whole>(output, Vec<T>{}, count);
                    continue;
                }
                const T *pre = (const T *)call.pre + (t * R + r) * gates * H + j;
                for (int g = 0; g < gates; g++) a[g] = get<whole>(pre + g * H, count) + bias[g];
                const Vec<T> z = gate(a, slopes), h = (T(1) - z) * get<whole>(state, count) + z * a[gates - 1];
                put<whole>(state, h, count);
                put<whole>(output, h, count);
            }
        }
        template <bool whole> void operator()(int64_t t, int64_t, int64_t j, int count) const { run<whole>(at, t, j, count); }
    };

    // The gates, which replace the pre-activations, and the states before the steps.
    struct Recompute {
        const MinimalSteps &at;
        template <bool whole> INLINE void run(const MinimalSteps &at, int64_t t, int64_t s, int64_t j, int count) {
            const MinimalCall &call = at.call;
            const int64_t R = at.R, H = at.H;
            Vec<T> bias[gates], a[gates], slopes[2];
            for (int g = 0; g < gates; g++) bias[g] = call.bias ? get<whole>((const T *)call.bias + g * H + j, count) : Vec<T>{};
            for (int64_t r = at.row_begin; r < at.row_end; r++) {
                const T *before = (s == 0 ? (const T *)call.state : (const T *)call.states + s * R * H) + r * H + j;
                Vec<T> h = get<whole>(before, count);
                if (!call.active || call.active[t * R + r]) {
                    const int64_t place = (t * R + r) * gates * H + j;
                    for (int g = 0; g < gates; g++) a[g] = get<whole>((const T *)call.pre + place + g * H, count) + bias[g];
                    const Vec<T> z = gate(a, slopes);
                    h = (T(1) - z) * h + z * a[gates - 1];
                    T *to = (T *)call.pre_gradient + place;
                    put<whole>(to, z, count);
                    put<whole>(to + (gates - 1) * H, a[gates - 1], count);
                    if (is_lstm) {
                        put<whole>(to + H, slopes[1], count);
                        put<whole>((T *)call.slopes + (t * R + r) * H + j, slopes[0], count);
                    }
                }
                if (s + 1 < call.steps) put<whole>((T *)call.states + ((s + 1) * R + r) * H + j, h, count);
            }
        }
        template <bool whole> void operator()(int64_t t, int64_t s, int64_t j, int count) const { run<whole>(at, t, s, j, count); }
    };

    struct Backward {
        const MinimalSteps &at;
        template <bool whole> INLINE void run(const MinimalSteps &at, int64_t t, int64_t s, int64_t j, int count) {
            const MinimalCall &call = at.call;
            const int64_t R = at.R, H = at.H;
            Vec<T> sums[gates] = {};
            for (int64_t r = at.row_begin; r < at.row_end; r++) {
                T *to = (T *)call.pre_gradient + (t * R + r) * gates * H + j;
                if (call.active && !call.active[t * R + r]) {
                    for (int g = 0; g < gates; g++) put<whole>(to + g * H, Vec<T>{}, count);
                    continue;
                }
                T *dstate = (T *)call.state_gradient + r * H + j;
                const T *before = (s == 0 ? (const T *)call.state : (const T *)call.states + s * R * H) + r * H + j;
                Vec<T> d = get<whole>(dstate, count), da[gates];
                if (call.output_gradient) d += get<whole>((const T *)call.output_gradient + (t * R + r) * H + j, count);
                const Vec<T> z = get<whole>(to, count), c = get<whole>(to + (gates - 1) * H, count), keep = T(1) - z;
                const Vec<T> dlogit = (d * c - d * get<whole>(before, count)) * keep * z;
                da[0] = dlogit, da[gates - 1] = d * z;
                if (is_lstm) {
                    da[0] = -dlogit * get<whole>((const T *)call.slopes + (t * R + r) * H + j, count);
                    da[1] = dlogit * get<whole>(to + H, count);
                }
                put<whole>(dstate, d * keep, count);
                for (int g = 0; g < gates; g++) sums[g] += da[g], put<whole>(to + g * H, da[g], count);
            }
            for (int g = 0; g < gates; g++) {
                T *sum = at.bias_gradient + g * H + j;
                put<whole>(sum, get<whole>(sum, count) + sums[g], count);
            }
        }
        template <bool whole> void operator()(int64_t t, int64_t s, int64_t j, int count) const { run<whole>(at, t, s, j, count); }
    };

    void forward() const { for_registers(true, Forward{*this}); }
    void backward() const {
        for (int64_t k = 0; k < gates * H; k++) bias_gradient[k] = 0;
        for_registers(true, Recompute{*this});
        for_registers(false, Backward{*this});
    }
};

template <class T> struct MinimalEntry {
    struct Job {
        const MinimalCall &call;
        int count;
        bool backward;
    };
    template <bool is_lstm> static void steps(const Job &job, int rank) {
        const MinimalSteps<T, is_lstm> steps(job.call, rank, job.count);
        if (job.backward) steps.backward();
        else steps.forward();
    }
    static void work(int rank, void *data) {
        const Job &job = *(const Job *)data;
        if (job.call.is_lstm) steps<true>(job, rank);
        else steps<false>(job, rank);
    }
    static void run(const MinimalCall *call, bool backward) {
        Team team(call->threads);
        Job job{*call, team.count(), backward};
        team.run(work, &job);
        if (!backward || !call->bias_gradient) return;
        const int64_t width = (call->is_lstm ? 3 : 2) * call->hidden;
        for (int rank = 0; rank < team.count(); rank++)
            for (int64_t k = 0; k < width; k++) ((T *)call->bias_gradient)[k] += ((const T *)call->bias_gradients)[rank * width + k];
    }
};
