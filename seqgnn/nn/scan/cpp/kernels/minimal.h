// The steps of minGRU and minLSTM: gates and recurrence at once, forward and backward, for some rows or channels.
//
// h' = (1 - z) h + z c with z = sigmoid(a_z), or z = sigmoid(i) / (sigmoid(f) + sigmoid(i)). Products of their own, not
// h + z (c - h), as inf and nan have to be where the equations have them.

#define INLINE_MEMBER inline __attribute__((always_inline))

// True if a comparison holds in some lane.
template <class Mask> INLINE bool any(Mask mask) {
#if defined(__x86_64__) && BYTES == 64
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__x86_64__) && BYTES == 32
    return _mm256_movemask_epi8((__m256i)mask) != 0;
#elif defined(__x86_64__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    bool found = false;
    for (size_t k = 0; k < sizeof(mask) / sizeof(mask[0]); k++) found |= mask[k] != 0;
    return found;
#endif
}

// The gate of a minLSTM for any values. With p = e^-|f| and q = e^-|i|, log sigmoid(f) = min(f, 0) - log(1 + p), so that
// z = (1 + p) / (1 + p + e^m (1 + q)).
template <class T> NOINLINE void lstm_gate_of_large(const Vec<T> *a, Vec<T> *slopes, Vec<T> *z) {
    Vec<T> e[2], negative[2];
    for (int g = 0; g < 2; g++) {
        const Vec<T> x = a[g] < T(0) ? a[g] : -a[g];
        e[g] = x < Simd<T>::smallest ? Vec<T>{} : exp<T>(x);
        negative[g] = a[g] > T(0) ? Vec<T>{} : a[g];
        slopes[g] = (a[g] < T(0) ? fill(T(1)) : e[g]) / (T(1) + e[g]);
    }
    *z = (T(1) + e[0]) / (T(1) + e[0] + exp<T>(negative[0] - negative[1]) * (T(1) + e[1]));
    slopes[0] *= *z, slopes[1] *= T(1) - *z;
}

template <class T, bool is_lstm> struct MinimalSteps {
    static constexpr int gates = is_lstm ? 3 : 2;
    const MinimalCall &given;
    const int64_t R = given.rows, H = given.hidden;
    int64_t row_begin = 0, row_end = R, begin = 0, end = H;  // rows and channels of this thread
    T *bias_gradient;                      // of this thread

    // Threads share the rows or the registers of channels, whichever divides more evenly.
    MinimalSteps(const MinimalCall &given, int rank, int count) : given(given) {
        const int64_t registers = (H + lanes<T> - 1) / lanes<T>;
        auto most = [&](int64_t parts) { return double((parts + count - 1) / count) / double(parts); };
        if (most(R) <= most(registers)) {
            row_begin = R * rank / count, row_end = R * (rank + 1) / count;
        } else {
            begin = registers * rank / count * lanes<T>, end = registers * (rank + 1) / count * lanes<T>;
            if (end > H) end = H;
        }
        bias_gradient = (T *)given.bias_gradients + int64_t(rank) * gates * H;
    }

    // The gate z and, of a minLSTM, z (1 - sigmoid(f)) and (1 - z) (1 - sigmoid(i)).
    static INLINE_MEMBER Vec<T> gate(const Vec<T> *a, Vec<T> *slopes) {
        if constexpr (!is_lstm) return sigmoid<T>(a[0]);
        const Vec<T> f = a[0], i = a[1], u = exp<T>(-f), v = exp<T>(-i);
        const Vec<T> scale = T(1) / (T(2) + u + v);
        Vec<T> z = (T(1) + u) * scale;
        slopes[0] = u * scale, slopes[1] = v * scale;
        const T large = -Simd<T>::smallest;  // up to it, neither u and v nor their sum overflow or underflow
        if (__builtin_expect(any((f < -large) | (i < -large) | (f > large) | (i > large)), 0)) {
            const Vec<T> values[2] = {f, i};
            Vec<T> results[3];
            lstm_gate_of_large<T>(values, results, results + 2);
            slopes[0] = results[0], slopes[1] = results[1], z = results[2];
        }
        return z;
    }
    // Calls work(t, s, j, channels left) for all registers of channels of some steps, s in the order of the scan.
    template <class Work> INLINE_MEMBER void for_registers(int64_t first, int64_t last, bool forward, Work work) const {
        const int64_t start = begin, stop = end, S = given.steps;
        const bool reverse = given.reverse;
        for (int64_t k = 0; k < last - first; k++) {
            const int64_t s = forward ? first + k : last - 1 - k, t = reverse ? S - 1 - s : s;
            int64_t j = start;
            for (; j + lanes<T> <= stop; j += lanes<T>) work(t, s, j, lanes<T>);
            if (j < stop) work(t, s, j, int(stop - j));
        }
    }
    static INLINE_MEMBER void load_bias(Vec<T> *to, const void *bias, int64_t H, int64_t j, int count) {
        for (int g = 0; g < gates; g++) to[g] = bias ? load_part((const T *)bias + g * H + j, count) : Vec<T>{};
    }

    NOINLINE void forward() const {
        const MinimalSteps self = *this;
        const MinimalCall call = given;    // nothing that is stored can change it
        const int64_t R = self.R, H = self.H;
        for_registers(0, call.steps, true, WORK(int64_t t, int64_t s, int64_t j, int count) {
            T *saved = call.saved_states && s % call.block == 0 ? (T *)call.saved_states + s / call.block * R * H : nullptr;
            Vec<T> bias[gates], a[gates], slopes[2];
            load_bias(bias, call.bias, H, j, count);
            for (int64_t r = self.row_begin; r < self.row_end; r++) {
                T *state = (T *)call.state + r * H + j, *output = (T *)call.output + (t * R + r) * H + j;
                const Vec<T> before = load_part(state, count);
                if (saved) store_part(saved + r * H + j, before, count);
                if (call.active && !call.active[t * R + r]) {
                    store_part(output, Vec<T>{}, count);
                    continue;
                }
                const T *pre = (const T *)call.pre + (t * R + r) * gates * H + j;
                for (int g = 0; g < gates; g++) a[g] = load_part(pre + g * H, count) + bias[g];
                const Vec<T> z = gate(a, slopes), h = (T(1) - z) * before + z * a[gates - 1];
                store_part(state, h, count);
                store_part(output, h, count);
            }
        });
    }

    // The gates of a block, which replace its pre-activations, and the states before its steps but the first.
    NOINLINE void recompute(int64_t first, int64_t last) const {
        const MinimalSteps self = *this;
        const MinimalCall call = given;
        const int64_t R = self.R, H = self.H;
        for_registers(first, last, true, WORK(int64_t t, int64_t s, int64_t j, int count) {
            Vec<T> bias[gates], a[gates], slopes[2];
            load_bias(bias, call.bias, H, j, count);
            const T *before = state_before(call, s, first, R, H) + j;
            for (int64_t r = self.row_begin; r < self.row_end; r++) {
                Vec<T> h = load_part(before + r * H, count);
                if (!call.active || call.active[t * R + r]) {
                    const int64_t place = (t * R + r) * gates * H + j;
                    for (int g = 0; g < gates; g++) a[g] = load_part((const T *)call.pre + place + g * H, count) + bias[g];
                    const Vec<T> z = gate(a, slopes);
                    h = (T(1) - z) * h + z * a[gates - 1];
                    T *to = (T *)call.pre_gradient + place;
                    store_part(to, z, count);
                    store_part(to + (gates - 1) * H, a[gates - 1], count);
                    if (is_lstm) {
                        store_part(to + H, slopes[1], count);
                        store_part((T *)call.slopes + ((s - first) * R + r) * H + j, slopes[0], count);
                    }
                }
                if (s + 1 < last) store_part((T *)call.states + ((s + 1 - first) * R + r) * H + j, h, count);
            }
        });
    }
    static INLINE_MEMBER const T *state_before(const MinimalCall &call, int64_t s, int64_t first, int64_t R, int64_t H) {
        return s == first ? (const T *)call.saved_states + s / call.block * R * H : (const T *)call.states + (s - first) * R * H;
    }

    NOINLINE void backward(int64_t first, int64_t last) const {
        const MinimalSteps self = *this;
        const MinimalCall call = given;
        const int64_t R = self.R, H = self.H;
        for_registers(first, last, false, WORK(int64_t t, int64_t s, int64_t j, int count) {
            Vec<T> sums[gates] = {};
            const T *before = state_before(call, s, first, R, H) + j;
            for (int64_t r = self.row_begin; r < self.row_end; r++) {
                T *to = (T *)call.pre_gradient + (t * R + r) * gates * H + j;
                if (call.active && !call.active[t * R + r]) {
                    for (int g = 0; g < gates; g++) store_part(to + g * H, Vec<T>{}, count);
                    continue;
                }
                T *dstate = (T *)call.state_gradient + r * H + j;
                Vec<T> d = load_part(dstate, count), da[gates];
                if (call.output_gradient) d += load_part((const T *)call.output_gradient + (t * R + r) * H + j, count);
                const Vec<T> z = load_part(to, count), c = load_part(to + (gates - 1) * H, count), keep = T(1) - z;
                const Vec<T> dz = d * c - d * load_part(before + r * H, count);
                da[gates - 1] = d * z;
                if (is_lstm) {
                    da[0] = -dz * keep * load_part((const T *)call.slopes + ((s - first) * R + r) * H + j, count);
                    da[1] = dz * z * load_part(to + H, count);
                } else {
                    da[0] = dz * keep * z;
                }
                store_part(dstate, d * keep, count);
                for (int g = 0; g < gates; g++) sums[g] += da[g], store_part(to + g * H, da[g], count);
            }
            for (int g = 0; g < gates; g++) {
                T *sum = self.bias_gradient + g * H + j;
                store_part(sum, load_part(sum, count) + sums[g], count);
            }
        });
    }

    void backward() const {
        for (int64_t k = 0; k < gates * H; k++) bias_gradient[k] = 0;
        for (int64_t last = given.steps; last > 0;) {  // blocks stay in the cache between both
            const int64_t first = (last - 1) / given.block * given.block;
            recompute(first, last);
            backward(first, last);
            last = first;
        }
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
