// The products of a sparse operator with a signal [N, C], row by row, and the gradient of its values.

// The entries of an operator, or of its transpose, and the signals [N, C] that they are multiplied with.
template <class T> struct Gather {
    const int32_t *pointers, *columns;
    const T *values, *dense, *signals;     // `dense` may be null
    int channels, prefetched;              // the number of entries for which signals are fetched ahead, if any
    int64_t nodes, entries;

    Gather(const Operator &op, bool transposed, const T *signals, int channels, int64_t nodes)
        : pointers(transposed ? op.back_pointers : op.pointers), columns(transposed ? op.back_columns : op.columns),
          values((const T *)(transposed ? op.back_values : op.values)),
          dense((const T *)(transposed ? op.back_dense : op.dense)), signals(signals), channels(channels),
          prefetched(nodes * channels * int64_t(sizeof(T)) > CACHE ? 16 : 0), nodes(nodes), entries(pointers[nodes]) {}
    static constexpr int64_t CACHE = 1 << 17;  // bytes of signals above which they are not close by
};

// out[C] (+)= scale * sum over the entries of row n of values[e] * signals[columns[e]].
template <class T> NOINLINE void gather(T *out, const Gather<T> &from, int64_t n, T scale, bool add) {
    constexpr int wide = 4 * lanes<T>;
    const int begin = from.pointers[n], end = from.pointers[n + 1];
    const int64_t stride = from.channels;
    const int32_t *columns = from.columns;
    int c = 0;
    for (; c + wide <= from.channels; c += wide) {
        Vec<T> sum[4] = {};
        const T *z = from.signals + c;
        for (int e = begin; e < end; e++) {
            if (from.prefetched && e + from.prefetched < from.entries) {
                const char *later = (const char *)(z + columns[e + from.prefetched] * stride);
                for (int line = 0; line < wide * int(sizeof(T)); line += 64) __builtin_prefetch(later + line);
            }
            const T *row = z + columns[e] * stride;
            Vec<T> value = fill(from.values[e]);
            for (int v = 0; v < 4; v++) sum[v] += value * load(row + v * lanes<T>);
        }
        for (int v = 0; v < 4; v++) {
            T *to = out + c + v * lanes<T>;
            store(to, add ? load(to) + sum[v] * scale : sum[v] * scale);
        }
    }
    for (; c + 2 < from.channels; c += lanes<T>) {
        const int rest = from.channels - c;
        Vec<T> sum = {};
        for (int e = begin; e < end; e++)
            sum += fill(from.values[e]) * load_part(from.signals + columns[e] * stride + c, rest);
        store_part(out + c, add ? load_part(out + c, rest) + sum * scale : sum * scale, rest);
    }
    for (; c < from.channels; c++) {
        T sum = 0;
        for (int e = begin; e < end; e++) sum += from.values[e] * from.signals[columns[e] * stride + c];
        out[c] = add ? out[c] + sum * scale : sum * scale;
    }
}

// True if no value is inf or nan.
template <class T> bool are_finite(const T *values, int64_t count) {
    Vec<T> sum = {};
    for (int64_t k = 0; k < count; k += lanes<T>)
        sum += load_part(values + k, int(count - k < lanes<T> ? count - k : lanes<T>)) * T(0);
    T total = 0;
    for (int k = 0; k < lanes<T>; k++) total += sum[k];
    return total == T(0);
}

// out[rows][C] (+)= scale * P z for the rows of P from `first` on. A dense P is multiplied as a matrix, unless the signal has
// inf or nan, which its zeros would bring to all nodes; `work` has a panel of the signal, [N][panel], and the product.
template <class T>
void propagate(T *out, const Gather<T> &from, int64_t first, int rows, T scale, bool add, T *work) {
    const int64_t C = from.channels, N = from.nodes, size = rows * C;
    if (from.dense && C >= lanes<T>) {
        const Segment<T> of_dense{from.dense + first * N, N, int(N)};
        T *result = work + N * panel<T>;
        for (int64_t c = 0; c < C; c += panel<T>) {
            const int columns = int(C - c < panel<T> ? C - c : panel<T>);
            for (int64_t n = 0; n < N; n++)
                for (int half = 0; half < 2; half++)
                    store(work + n * panel<T> + half * lanes<T>,
                          load_part(from.signals + n * C + c + half * lanes<T>, columns - half * lanes<T>));
            product(result + c, C, columns, &of_dense, 1, rows, work, false);
        }
        if (are_finite(result, size)) {
            for (int64_t k = 0; k < size; k++) out[k] = add ? out[k] + scale * result[k] : scale * result[k];
            return;
        }
    }
    for (int r = 0; r < rows; r++) gather(out + r * C, from, first + r, scale, add);
}

// gradient[e] += scale * <dy, z[columns[e]]> for the entries of row n.
template <class T>
NOINLINE void values_gradient(T *gradient, const int32_t *pointers, const int32_t *columns, const T *dy, const T *z,
                            int64_t stride, int64_t n, int channels, T scale) {
    for (int e = pointers[n]; e < pointers[n + 1]; e++) {
        const T *from = z + columns[e] * stride;
        Vec<T> sums = {};
        for (int c = 0; c < channels; c += lanes<T>) sums += load_part(dy + c, channels - c) * load_part(from + c, channels - c);
        T sum = 0;
        for (int k = 0; k < lanes<T>; k++) sum += sums[k];
        gradient[e] += scale * sum;
    }
}
