// Vectors of one instruction set and the functions of a gate. Compiled once per set: BYTES is the width of a register.
//
// Nothing here needs -ffast-math: nan stays nan, sigmoid(-inf) = 0 and tanh(+-inf) = +-1.

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))  // once for all cells, or the compiler takes minutes

template <class T> struct Simd;

template <> struct Simd<float> {
    typedef float V __attribute__((vector_size(BYTES), aligned(4), may_alias));
    typedef int32_t Bits __attribute__((vector_size(BYTES), aligned(4), may_alias));
    static constexpr int mantissa = 23;
    static constexpr float smallest = -87.0f, largest = 89.0f, round = 0x1.8p23f + 127.0f;
    static constexpr float ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;
};

template <> struct Simd<double> {
    typedef double V __attribute__((vector_size(BYTES), aligned(8), may_alias));
    typedef int64_t Bits __attribute__((vector_size(BYTES), aligned(8), may_alias));
    static constexpr int mantissa = 52;
    static constexpr double smallest = -708.0, largest = 710.0, round = 0x1.8p52 + 1023.0;
    static constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
};

template <class T> using Vec = typename Simd<T>::V;
template <class T> constexpr int lanes = BYTES / sizeof(T);
template <class T> constexpr int panel = 2 * lanes<T>;                // columns of a tile, two registers

template <class T> INLINE Vec<T> load(const T* p) { return *(const Vec<T>*)p; }
template <class T> INLINE void store(T* p, Vec<T> x) { *(Vec<T>*)p = x; }
template <class T> INLINE Vec<T> fill(T x) { return x - Vec<T>{}; }

// The first `count` lanes, the others zero.
template <class T> INLINE Vec<T> load_part(const T* p, int count) {
    if (count >= lanes<T>) return load(p);
    Vec<T> x = {};
    for (int k = 0; k < count; k++) x[k] = p[k];
    return x;
}
template <class T> INLINE void store_part(T* p, Vec<T> x, int count) {
    if (count >= lanes<T>) return store(p, x);
    for (int k = 0; k < count; k++) p[k] = x[k];
}

// The smaller and the larger of a bound and each x; nan stays.
#if defined(__x86_64__) && BYTES < 64
#define MIN_MAX(T, V, prefix, suffix)                                                                                 \
    INLINE Vec<T> at_most(T bound, Vec<T> x) { return (Vec<T>)prefix##_min_##suffix((V)fill(bound), (V)x); }           \
    INLINE Vec<T> at_least(T bound, Vec<T> x) { return (Vec<T>)prefix##_max_##suffix((V)fill(bound), (V)x); }
#if BYTES == 32
MIN_MAX(float, __m256, _mm256, ps) MIN_MAX(double, __m256d, _mm256, pd)
#else
MIN_MAX(float, __m128, _mm, ps) MIN_MAX(double, __m128d, _mm, pd)
#endif
#else
template <class T> INLINE Vec<T> at_most(T bound, Vec<T> x) { return x > bound ? fill(bound) : x; }
template <class T> INLINE Vec<T> at_least(T bound, Vec<T> x) { return x < bound ? fill(bound) : x; }
#endif

template <class T> INLINE Vec<T> polynomial(Vec<T> x, const T *coefficients, int degree) {
    Vec<T> sum = fill(coefficients[degree]);
    #pragma GCC unroll 16
    for (int k = degree - 1; k >= 0; k--) sum = sum * x + coefficients[k];
    return sum;
}

// e^r for |r| <= ln(2) / 2, within 4e-9 and 5e-18 of it: by weighted least squares, and by Taylor's series.
static constexpr float EXP_FLOAT[] = {1.0f, 1.0f, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f2p-5f, 0x1.1239e2p-7f,
                                      0x1.6a2434p-10f};
static constexpr double EXP_DOUBLE[] = {
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
INLINE Vec<float> exp_near_zero(Vec<float> r) { return polynomial<float>(r, EXP_FLOAT, 6); }
INLINE Vec<double> exp_near_zero(Vec<double> r) { return polynomial<double>(r, EXP_DOUBLE, 13); }

// e^x = 2^n e^r with |r| <= ln(2) / 2; inf from `largest` on, and below `smallest` as there. Adding `round` rounds to n,
// and leaves n and the bias of exponents in the lowest bits.
template <class T> INLINE Vec<T> exp(Vec<T> x) {
    using S = Simd<T>;
    x = at_least(S::smallest, at_most(S::largest, x));
    Vec<T> shifted = x * T(1.44269504088896340736) + S::round, n = shifted - S::round;
    Vec<T> r = (x - n * S::ln2_high) - n * S::ln2_low;
    return exp_near_zero(r) * (Vec<T>)((typename S::Bits)shifted << S::mantissa);
}

template <class T> INLINE Vec<T> sigmoid(Vec<T> x) { return T(1) / (T(1) + exp<T>(-x)); }

// x P(x^2) / Q(x^2), by weighted least squares on |x| <= 9, where it is within 2e-8 of tanh; rounding adds 3e-7.
INLINE Vec<float> tanh_of(Vec<float> x) {
    static constexpr float P[] = {1.0f, 0x1.120b60p-3f, 0x1.ca2e72p-9f, 0x1.59c73cp-16f, 0x1.cae6dap-27f};
    static constexpr float Q[] = {1.0f, 0x1.de5afap-2f, 0x1.a7f8e2p-6f, 0x1.58889ap-12f, 0x1.a186f6p-21f};
    x = at_least(-9.0f, at_most(9.0f, x));
    Vec<float> s = x * x;
    return at_least(-1.0f, at_most(1.0f, x * polynomial<float>(s, P, 4) / polynomial<float>(s, Q, 4)));
}

// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; near zero, where that cancels, Lambert's continued fraction.
INLINE Vec<double> tanh_of(Vec<double> x) {
    Vec<double> size = x < 0.0 ? -x : x, e = exp<double>(-2.0 * size), s = x * x;
    Vec<double> up = ((s + 378.0) * s + 17325.0) * s + 135135.0;
    Vec<double> down = ((28.0 * s + 3150.0) * s + 62370.0) * s + 135135.0;
    Vec<double> rest = x < 0.0 ? e - 1.0 : 1.0 - e;
    return (size < 0.4 ? x * up : rest) / (size < 0.4 ? down : 1.0 + e);
}

template <class T> INLINE Vec<T> tanh(Vec<T> x) { return tanh_of(x); }

template <class T> INLINE Vec<T> relu(Vec<T> x) { return x < T(0) ? Vec<T>{} : x; }
