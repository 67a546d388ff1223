// Matrix products of a block of rows with packed weights, in tiles of R rows by one panel of columns in registers.

// R, the rows of a tile: R * 2 accumulators, two weights and one value of `a` fit the registers.
constexpr int TILE = BYTES == 64 ? 12 : BYTES == 32 ? 6 : 4;

// A part of the factor on the left: rows of `width` values, `stride` apart.
template <class T> struct Segment {
    const T *data;
    int64_t stride;
    int width;
};

// c[R][panel] (+)= sum over segments a[R][width] w[width][panel]; w holds the segments one after another.
template <int R, class T>
INLINE void tile(T *c, int64_t ldc, int columns, const Segment<T> *segments, int count, int64_t row, const T *w, bool add) {
    Vec<T> sum[R][2] = {};
    for (int s = 0; s < count; s++) {
        const int64_t stride = segments[s].stride;
        const T *a = segments[s].data + row * stride;
        for (int k = 0, width = segments[s].width; k < width; k++, w += panel<T>) {
            Vec<T> w0 = load(w), w1 = load(w + lanes<T>);
            #pragma GCC unroll 12
            for (int r = 0; r < R; r++) {
                Vec<T> factor = fill(a[r * stride + k]);
                sum[r][0] += factor * w0;
                sum[r][1] += factor * w1;
            }
        }
    }
    for (int r = 0; r < R; r++) {
        for (int half = 0; half < 2; half++) {
            int rest = columns - half * lanes<T>;
            T *to = c + r * ldc + half * lanes<T>;
            if (rest > 0) store_part(to, add ? sum[r][half] + load_part(to, rest) : sum[r][half], rest);
        }
    }
}

// The same for any number of rows.
template <class T>
NOINLINE void product(T *c, int64_t ldc, int columns, const Segment<T> *segments, int count, int rows, const T *w, bool add) {
    int row = 0;
    for (; row + TILE <= rows; row += TILE) tile<TILE>(c + row * ldc, ldc, columns, segments, count, row, w, add);
    if (TILE > 6 && row + 6 <= rows) tile<6>(c + row * ldc, ldc, columns, segments, count, row, w, add), row += 6;
    if (row + 3 <= rows) tile<3>(c + row * ldc, ldc, columns, segments, count, row, w, add), row += 3;
    for (; row < rows; row++) tile<1>(c + row * ldc, ldc, columns, segments, count, row, w, add);
}

// dw[K][panel] += z[rows][K]^T da[rows][panel], for R of the K.
template <int R, class T> INLINE void outer_tile(T *dw, const T *z, int64_t stride, const T *da, int rows) {
    Vec<T> sum[R][2] = {};                 // of a block alone, as rounding errors grow with the number of terms
    for (int r = 0; r < rows; r++, z += stride, da += panel<T>) {
        Vec<T> da0 = load(da), da1 = load(da + lanes<T>);
        #pragma GCC unroll 12
        for (int k = 0; k < R; k++) {
            Vec<T> factor = fill(z[k]);
            sum[k][0] += factor * da0;
            sum[k][1] += factor * da1;
        }
    }
    for (int k = 0; k < R; k++)
        for (int half = 0; half < 2; half++) {
            T *to = dw + k * panel<T> + half * lanes<T>;
            store(to, load(to) + sum[k][half]);
        }
}

template <class T> NOINLINE void outer_product(T *dw, const Segment<T> &z, const T *da, int rows) {
    int k = 0, width = z.width;
    for (; k + TILE <= width; k += TILE) outer_tile<TILE>(dw + k * panel<T>, z.data + k, z.stride, da, rows);
    if (TILE > 6 && k + 6 <= width) outer_tile<6>(dw + k * panel<T>, z.data + k, z.stride, da, rows), k += 6;
    if (k + 2 <= width) outer_tile<2>(dw + k * panel<T>, z.data + k, z.stride, da, rows), k += 2;
    for (; k < width; k++) outer_tile<1>(dw + k * panel<T>, z.data + k, z.stride, da, rows);
}
