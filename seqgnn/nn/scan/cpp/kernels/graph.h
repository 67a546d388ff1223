// The products of a sparse operator with a signal [N, C], row by row, and the gradient of its values.

// The entries of an operator, or of its transpose, and the signals [N, C] that they are multiplied with.
template <class T> struct Gather {
    const int32_t *pointers, *columns;
    const T *values, *signals;
    int channels, prefetched;              // the number of entries for which signals are fetched ahead, if any
    int64_t entries;

    Gather(const int32_t *pointers, const int32_t *columns, const void *values, const T *signals, int channels, int64_t nodes)
        : pointers(pointers), columns(columns), values((const T *)values), signals(signals), channels(channels),
          prefetched(nodes * channels * int64_t(sizeof(T)) > CACHE ? 16 : 0), entries(pointers[nodes]) {}
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

// gradient[e] += scale * <dy, z[columns[e]]> for the entries of row n.
template <class T>
NOINLINE void values_gradient(T *gradient, const int32_t *pointers, const int32_t *columns, const T *dy, const T *z,
                            int64_t stride, int64_t n, int channels, T scale) {
    for (int e = pointers[n]; e < pointers[n + 1]; e++) {
        const T *from = z + columns[e] * stride;
        T sum = 0;
        for (int c = 0; c < channels; c++) sum += dy[c] * from[c];
        gradient[e] += scale * sum;
    }
}
