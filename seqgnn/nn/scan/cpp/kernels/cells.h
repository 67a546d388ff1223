// The cells: forward and backward of one step, on the registers of some channels of one row.
//
// `forward` turns pre-activations `a` into gates and the state `before` into that `after`. `backward` turns gates into
// gradients of pre-activations, and `d`, the gradients with respect to the state after the step, into those with respect
// to the state before it, without what passes through projections: the caller adds that.
//
// To add a cell, write its struct, its row in `engine.h` and in CELLS of spec.py. `input` and `hidden` list the gates
// to which the input's projection and those of `sources` contribute, in the order of the rows of their weights.
// A projection of RESET_STATE sees r * h, so it comes after the gates of the first. An `output_gate` o says that the
// output is o * tanh(c), which the backward pass recomputes rather than have it saved.

enum Source { HIDDEN_STATE, CELL_STATE, RESET_STATE };

// h' = tanh(a), or max(0, a).
template <bool is_relu> struct RNN {
    static constexpr int gates = 1, states = 1, peepholes = 0, projections = 1, output_gate = -1;
    static constexpr bool saves_gates = false;
    static constexpr int input[] = {0}, hidden[1][4] = {{0}}, inputs = 1, hiddens[] = {1};
    static constexpr Source sources[] = {HIDDEN_STATE};

    template <class T> INLINE void forward(Vec<T> *a, const Vec<T> *, Vec<T> *after, const Vec<T> *) {
        after[0] = is_relu ? relu<T>(a[0]) : tanh<T>(a[0]);
    }
    template <class T>
    INLINE void backward(Vec<T> *a, const Vec<T> *, const Vec<T> *after, Vec<T> *d, const Vec<T> *, Vec<T> *) {
        Vec<T> h = after[0];
        a[0] = is_relu ? (h <= T(0) ? Vec<T>{} : d[0]) : d[0] * (T(1) - h * h);
        d[0] = Vec<T>{};
    }
};

// c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'). With peepholes c enters i and f, and c' enters o.
// With a projected cell state its fifth "gate" m stands for c.
template <bool has_peepholes, bool projects_cell_state> struct LSTMCell {
    static constexpr int gates = projects_cell_state ? 5 : 4, states = 2, peepholes = has_peepholes ? 3 : 0;
    static constexpr int projections = projects_cell_state ? 2 : 1, output_gate = 3;
    static constexpr bool saves_gates = true;
    static constexpr int input[] = {0, 1, 2, 3}, hidden[2][4] = {{0, 1, 2, 3}, {4}}, inputs = 4, hiddens[] = {4, 1};
    static constexpr Source sources[] = {HIDDEN_STATE, CELL_STATE};

    template <class T> INLINE void forward(Vec<T> *a, const Vec<T> *before, Vec<T> *after, const Vec<T> *w) {
        Vec<T> i = a[0], f = a[1], o = a[3], c = before[1];
        if (has_peepholes) i += w[0] * c, f += w[1] * c;
        i = sigmoid<T>(i), f = sigmoid<T>(f);
        Vec<T> g = tanh<T>(a[2]);
        c = f * (projects_cell_state ? a[gates - 1] : c) + i * g;
        if (has_peepholes) o += w[2] * c;
        o = sigmoid<T>(o);
        after[0] = o * tanh<T>(c), after[1] = c;
        a[0] = i, a[1] = f, a[2] = g, a[3] = o;
    }
    template <class T>
    INLINE void backward(Vec<T> *a, const Vec<T> *before, const Vec<T> *after, Vec<T> *d, const Vec<T> *w, Vec<T> *dw) {
        Vec<T> i = a[0], f = a[1], g = a[2], o = a[3], c = before[1], m = projects_cell_state ? a[gates - 1] : c;
        Vec<T> tanh_c = tanh<T>(after[1]);
        Vec<T> d_o = d[0] * tanh_c * o * (T(1) - o), dc = d[1] + d[0] * o * (T(1) - tanh_c * tanh_c);
        if (has_peepholes) dc += d_o * w[2];
        Vec<T> di = dc * g * i * (T(1) - i), df = dc * m * f * (T(1) - f);
        a[0] = di, a[1] = df, a[2] = dc * i * (T(1) - g * g), a[3] = d_o;
        d[0] = Vec<T>{}, d[1] = dc * f;
        if (projects_cell_state) a[gates - 1] = d[1], d[1] = Vec<T>{};
        if (has_peepholes) {
            d[1] += di * w[0] + df * w[1];
            dw[0] += di * c, dw[1] += df * c, dw[2] += d_o * after[1];
        }
    }
};

// n = tanh(g_n + sigmoid(r) u_n), h' = (1 - sigmoid(z)) n + sigmoid(z) h; gates r, z, n and u_n.
struct GRUCell {
    static constexpr int gates = 4, states = 1, peepholes = 0, projections = 1, output_gate = -1;
    static constexpr bool saves_gates = true;
    static constexpr int input[] = {0, 1, 2}, hidden[1][4] = {{0, 1, 3}}, inputs = 3, hiddens[] = {3};
    static constexpr Source sources[] = {HIDDEN_STATE};

    template <class T> INLINE void forward(Vec<T> *a, const Vec<T> *before, Vec<T> *after, const Vec<T> *) {
        Vec<T> r = sigmoid<T>(a[0]), z = sigmoid<T>(a[1]), n = tanh<T>(a[2] + r * a[3]);
        after[0] = n + z * (before[0] - n);
        a[0] = r, a[1] = z, a[2] = n;
    }
    template <class T>
    INLINE void backward(Vec<T> *a, const Vec<T> *before, const Vec<T> *, Vec<T> *d, const Vec<T> *, Vec<T> *) {
        Vec<T> r = a[0], z = a[1], n = a[2], u_n = a[3];
        Vec<T> dn = d[0] * (T(1) - z) * (T(1) - n * n);
        a[0] = dn * u_n * r * (T(1) - r), a[1] = d[0] * (before[0] - n) * z * (T(1) - z), a[2] = dn, a[3] = dn * r;
        d[0] *= z;
    }
};

// n = tanh(g_n + u_n(sigmoid(r) h)), h' = (1 - sigmoid(z)) n + sigmoid(z) h; gates r, z and n.
struct GRUResetBeforeCell {
    static constexpr int gates = 3, states = 1, peepholes = 0, projections = 2, output_gate = -1;
    static constexpr bool saves_gates = true;
    static constexpr int input[] = {0, 1, 2}, hidden[2][4] = {{0, 1}, {2}}, inputs = 3, hiddens[] = {2, 1};
    static constexpr Source sources[] = {HIDDEN_STATE, RESET_STATE};

    // The gates r and z, and r * h.
    template <class T> INLINE Vec<T> reset(Vec<T> *a, Vec<T> h) {
        a[0] = sigmoid<T>(a[0]), a[1] = sigmoid<T>(a[1]);
        return a[0] * h;
    }
    template <class T> INLINE void forward(Vec<T> *a, const Vec<T> *before, Vec<T> *after, const Vec<T> *) {
        Vec<T> n = tanh<T>(a[2]);
        after[0] = n + a[1] * (before[0] - n);
        a[2] = n;
    }
    template <class T>
    INLINE void backward(Vec<T> *a, const Vec<T> *before, const Vec<T> *, Vec<T> *d, const Vec<T> *, Vec<T> *) {
        Vec<T> z = a[1], n = a[2];
        a[1] = d[0] * (before[0] - n) * z * (T(1) - z);
        a[2] = d[0] * (T(1) - z) * (T(1) - n * n);
        d[0] *= z;
    }
    // From the gradient with respect to r * h: the gradient of r's pre-activation, and that of h is added to d.
    template <class T> INLINE void reset_backward(Vec<T> *a, Vec<T> h, Vec<T> drh, Vec<T> *d) {
        Vec<T> r = a[0];
        a[0] = drh * h * r * (T(1) - r);
        d[0] += drh * r;
    }
};
