// The sides of the products of products.cu, slice by slice on their way into shared memory: `fetch` loads the next slice into
// registers, `put` stores it.

constexpr int BK = 8;
constexpr int OUTSIDE = -(1 << 29);  // a row coordinate that no tap brings back into the image

template <int COUNT>
struct Pack {
    REAL v[COUNT];
};
template <>
struct __align__(16) Pack<4> {
    REAL v[4];
};

template <int COUNT>
__device__ __forceinline__ Pack<COUNT> load(const REAL* p) {
    return *reinterpret_cast<const Pack<COUNT>*>(p);
}

template <int COUNT>
__device__ __forceinline__ void store(REAL* p, const Pack<COUNT>& pack) {
    *reinterpret_cast<Pack<COUNT>*>(p) = pack;
}

template <int COUNT>
__device__ __forceinline__ Pack<COUNT> nothing() {
    Pack<COUNT> pack;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) pack.v[i] = 0;
    return pack;
}

// Elements of a gradient where a ReLU was on, that is where `y` is above 0 or NaN; `y` null: all of them.
template <int COUNT>
__device__ __forceinline__ Pack<COUNT> load_masked(const REAL* dy, const REAL* y, int64 at) {
    Pack<COUNT> pack = load<COUNT>(dy + at);
    if (!y) return pack;
    const Pack<COUNT> mask = load<COUNT>(y + at);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) pack.v[i] = mask.v[i] <= 0 ? REAL(0) : pack.v[i];
    return pack;
}

// The right side: rows of a row-major matrix into shared memory, by way of registers. `COUNT` elements an access.
template <int BN, int COUNT, int THREADS, bool MASKED>
struct MatrixSlice {
    static constexpr int LANES = BN / COUNT, LOADS = (BK * LANES + THREADS - 1) / THREADS;
    const REAL *matrix, *mask;
    int row_length, column, columns;
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ MatrixSlice(const REAL* matrix, const REAL* mask, int row_length, int column, int columns)
        : matrix(matrix), mask(mask), row_length(row_length), column(column), columns(columns) {}

    // Row k of the slice is row `first + k` of the matrix; rows from `end` on and columns from `columns` on are zeros.
    __device__ __forceinline__ void fetch(int64 first, int64 end) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int at = threadIdx.x + i * THREADS, k = at / LANES, j = column + at % LANES * COUNT;
            const bool inside = k < BK && first + k < end && j < columns;
            const int64 from = (first + k) * row_length + j;
            held[i] = !inside ? nothing<COUNT>()
                      : MASKED ? load_masked<COUNT>(matrix, mask, from)
                               : load<COUNT>(matrix + from);
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BN]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int at = threadIdx.x + i * THREADS, k = at / LANES;
            if (k < BK) store<COUNT>(&shared[k][at % LANES * COUNT], held[i]);
        }
    }
};

// The right side of an input gradient: terms are taps and filters, columns are channels; (taps, channels, filters of all
// groups) is read as it lies, and turned on its way into shared memory.
template <int BN, int COUNT, int THREADS>
struct TurnedSlice {
    static constexpr int LANES = BK / COUNT, COLUMNS = THREADS / LANES, LOADS = (BN + COLUMNS - 1) / COLUMNS;
    const REAL* kernel;
    int row_length, column, columns, filters;  // filters: of one group
    int tap, filter;                           // of this thread's lane in the next slice
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ TurnedSlice(const REAL* kernel, int row_length, int column, int columns, int filters,
                                           int first)
        : kernel(kernel), row_length(row_length), column(column), columns(columns), filters(filters) {
        const int k = first + threadIdx.x % LANES * COUNT;
        tap = k / filters;
        filter = k % filters;
    }

    // To be called for slices that follow each other.
    __device__ __forceinline__ void fetch(int64 first, int64 end) {
        const bool is_term = first + threadIdx.x % LANES * COUNT < end;
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int at = threadIdx.x / LANES + i * COLUMNS, n = column + at;
            const bool inside = is_term && at < BN && n < columns;
            held[i] = inside ? load<COUNT>(kernel + ((int64)tap * columns + n) * row_length + filter) : nothing<COUNT>();
        }
        filter += BK;
        while (filter >= filters) {
            filter -= filters;
            ++tap;
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BN]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int at = threadIdx.x / LANES + i * COLUMNS;
            if (at >= BN) continue;
#pragma unroll
            for (int j = 0; j < COUNT; ++j) shared[threadIdx.x % LANES * COUNT + j][at] = held[i].v[j];
        }
    }
};

// -------------------------------------------- rows are positions: the convolution, and the gradient of its input

// Where the rows of a block lie: the start of their image, and the pixel that a tap (0, 0) meets.
template <int BM, int THREADS>
struct Located {
    int64 image[BM];
    int y[BM], x[BM];

    __device__ __forceinline__ void fill(const Positions& p, const Pool& pool, int first, int rows, int first_channel) {
        for (int i = threadIdx.x; i < BM; i += THREADS) {
            int row = first + i, down = 0, right = 0;
            image[i] = 0;
            y[i] = x[i] = OUTSIDE;
            if (row >= rows) continue;
            int height = p.row_height, width = p.row_width, stride_y = 1, stride_x = 1;
            if (pool.height) {  // row = 4 * cell + tap of the pooling window
                down = row % 4 / 2;
                right = row % 2;
                row /= 4;
                height = pool.height, width = pool.width, stride_y = pool.stride_y, stride_x = pool.stride_x;
            }
            image[i] = (int64)(row / width / height) * p.height * p.width * p.channels + first_channel;
            y[i] = (row / width % height * stride_y + down) * p.scale_y + p.offset_y;
            x[i] = (row % width * stride_x + right) * p.scale_x + p.offset_x;
        }
    }
};

// One pixel for each row of the block and one tap and channel for each term.
template <int BM, int COUNT, int THREADS, bool MASKED>
struct PositionSlice {
    static constexpr int LANES = BK / COUNT, ROW_STRIDE = THREADS / LANES, LOADS = BM / ROW_STRIDE;
    const REAL *source, *mask;
    const Positions& p;
    const Located<BM, THREADS>& located;
    int k, tap_y, tap_x, channel;  // of this thread's lane in the next slice
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ PositionSlice(const REAL* source, const REAL* mask, const Positions& p,
                                             const Located<BM, THREADS>& located, int first)
        : source(source), mask(mask), p(p), located(located) {
        k = first + threadIdx.x % LANES * COUNT;
        const int tap = k / p.group_channels;
        channel = k % p.group_channels;
        tap_y = tap / p.kernel_width;
        tap_x = tap % p.kernel_width;
    }

    __device__ __forceinline__ void fetch(int end) {
        const int down = tap_y * p.step_y, right = tap_x * p.step_x;
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int row = threadIdx.x / LANES + i * ROW_STRIDE;
            int y = located.y[row] + down, x = located.x[row] + right;
            bool inside = k < end && y >= 0 && x >= 0;
            if (p.divide_y > 1) {
                inside = inside && y % p.divide_y == 0;
                y /= p.divide_y;
            }
            if (p.divide_x > 1) {
                inside = inside && x % p.divide_x == 0;
                x /= p.divide_x;
            }
            inside = inside && y < p.height && x < p.width;
            const int64 from = located.image[row] + (y * p.width + x) * p.channels + channel;
            held[i] = !inside ? nothing<COUNT>()
                      : MASKED ? load_masked<COUNT>(source, mask, from)
                               : load<COUNT>(source + from);
        }
        k += BK;
        channel += BK;
        while (channel >= p.group_channels) {
            channel -= p.group_channels;
            if (++tap_x == p.kernel_width) {
                tap_x = 0;
                ++tap_y;
            }
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BM + 4]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i)
#pragma unroll
            for (int j = 0; j < COUNT; ++j)
                shared[threadIdx.x % LANES * COUNT + j][threadIdx.x / LANES + i * ROW_STRIDE] = held[i].v[j];
    }
};

// ------------------------------------------------------------ rows are taps and channels: the gradient of the kernel

// One tap and channel for each row of the block, one position for each term. The row behind them, if there is one, holds
// ones: its products are the sums of the columns, the gradient of the bias.
template <int BM, int COUNT, int THREADS>
struct TapSlice {
    static constexpr int LANES = BM / COUNT, TERM_STRIDE = THREADS / LANES, LOADS = BK / TERM_STRIDE;
    const REAL* source;
    const Window& w;
    int channels;
    int k, n, y, x;            // the position of this thread in the next slice
    int down, right, channel;  // of this thread's row
    bool is_row, is_ones;
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ TapSlice(const REAL* source, const Taps& p, int row, int group, int first)
        : source(source), w(p.window), channels(p.channels) {
        const int m = row + threadIdx.x % LANES * COUNT;
        const int tap = m / p.group_channels;
        is_row = tap < w.kernel_height * w.kernel_width;
        is_ones = m == w.kernel_height * w.kernel_width * p.group_channels;
        channel = group * p.group_channels + m % p.group_channels;
        down = tap / w.kernel_width * w.dilation_y - w.pad_top;
        right = tap % w.kernel_width * w.dilation_x - w.pad_left;
        k = first + threadIdx.x / LANES;
        x = k % w.out_width;
        y = k / w.out_width % w.out_height;
        n = k / w.out_width / w.out_height;
    }

    __device__ __forceinline__ void fetch(int end) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int pixel_y = y * w.stride_y + down, pixel_x = x * w.stride_x + right;
            const bool inside = is_row && k < end && pixel_y >= 0 && pixel_y < w.in_height && pixel_x >= 0 &&
                                pixel_x < w.in_width;
            const int64 pixel = ((int64)n * w.in_height + pixel_y) * w.in_width + pixel_x;
            held[i] = inside ? load<COUNT>(source + pixel * channels + channel) : nothing<COUNT>();
            if (is_ones && k < end) held[i].v[0] = 1;
            advance();
        }
    }

    __device__ __forceinline__ void advance() {
        k += TERM_STRIDE;
        if (w.out_width * w.out_height == 1) {
            n += TERM_STRIDE;
            return;
        }
        x += TERM_STRIDE;
        while (x >= w.out_width) {
            x -= w.out_width;
            if (++y == w.out_height) {
                y = 0;
                ++n;
            }
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BM + 4]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i)
            store<COUNT>(&shared[threadIdx.x / LANES + i * TERM_STRIDE][threadIdx.x % LANES * COUNT], held[i]);
    }
};
