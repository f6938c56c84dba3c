// Convolution as matrix products whose left side is never written down ("implicit GEMM"; Chetlur et al.: "cuDNN:
// efficient primitives for deep learning", 2014). A matrix product is the convolution of images of one pixel.
//
//     out[m, n] = sum over k of left[m, k] * right[k, n]
//
// A block of threads computes a block BM x BN of the result. It walks along the sum in slices of BK terms: while the
// threads multiply the slice that lies in shared memory, the next one is on its way from global memory into registers,
// and then goes into the other half of the shared memory, so that one barrier a slice is enough. Every thread keeps
// TM x TN sums in registers, in squares of 4 x 4, for which it reads 16 bytes at a time.

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

// sums += left' * right for one slice; `left` holds BK rows of BM, `right` BK rows of BN elements (and padding).
template <int BM, int BN, int TM, int TN>
__device__ __forceinline__ void multiply(const REAL (*left)[BM + 4], const REAL (*right)[BN], int ty, int tx,
                                         REAL (&sums)[TM][TN]) {
#pragma unroll
    for (int k = 0; k < BK; ++k) {
        REAL l[TM], r[TN];
#pragma unroll
        for (int square = 0; square < TM / 4; ++square) {
            const Pack<4> four = load<4>(&left[k][square * (BM * 4 / TM) + ty * 4]);
#pragma unroll
            for (int i = 0; i < 4; ++i) l[square * 4 + i] = four.v[i];
        }
#pragma unroll
        for (int square = 0; square < TN / 4; ++square) {
            const Pack<4> four = load<4>(&right[k][square * (BN * 4 / TN) + tx * 4]);
#pragma unroll
            for (int i = 0; i < 4; ++i) r[square * 4 + i] = four.v[i];
        }
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) sums[i][j] += l[i] * r[j];
    }
}

// The right side: rows of a row-major matrix into shared memory, by way of registers. `COUNT` elements an access.
template <int BN, int COUNT, int THREADS>
struct MatrixSlice {
    static constexpr int LANES = BN / COUNT, LOADS = (BK * LANES + THREADS - 1) / THREADS;
    Pack<COUNT> held[LOADS];

    // Row k of the slice is row `first + k` of the matrix; rows from `end` on and columns from `columns` on are zeros.
    __device__ __forceinline__ void fetch(const REAL* matrix, int64 first, int64 end, int row_length, int column,
                                          int columns) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int at = threadIdx.x + i * THREADS, k = at / LANES, j = column + at % LANES * COUNT;
            const bool inside = k < BK && first + k < end && j < columns;
            held[i] = inside ? load<COUNT>(matrix + (first + k) * row_length + j) : nothing<COUNT>();
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

// What a block of threads computes, and this thread of it.
template <int BM, int BN, int TM, int TN>
struct Block {
    static constexpr int THREADS = (BM / TM) * (BN / TN);
    int row, column;  // where it starts in the result
    int part, group, first, end;  // the terms first … end - 1 are a part of the sums of a group
    int tx, ty;

    __device__ __forceinline__ explicit Block(const Span& span) {
        row = blockIdx.x * BM, column = blockIdx.y * BN;
        part = blockIdx.z % span.parts, group = blockIdx.z / span.parts;
        first = part * span.slices * BK;
        end = min(span.depth, first + span.slices * BK);
        tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
    }

    // Row and column of the result that sums[i][j] of this thread belongs to.
    __device__ __forceinline__ int row_of(int i) const { return row + i / 4 * (BM * 4 / TM) + ty * 4 + i % 4; }
    __device__ __forceinline__ int column_of(int j) const { return column + j / 4 * (BN * 4 / TN) + tx * 4 + j % 4; }
};

// sums = left * right over the block's terms: the product itself, whatever its left side.
template <int BM, int BN, int TM, int TN, int COUNT, typename LeftSlice>
__device__ __forceinline__ void add_slices(const Block<BM, BN, TM, TN>& block, LeftSlice& rows,
                                           const REAL* __restrict__ source, const REAL* __restrict__ matrix,
                                           int row_length, int column_count, REAL (&sums)[TM][TN]) {
    __shared__ __align__(16) REAL left[2][BK][BM + 4];  // 4: neighbouring terms lie in different banks
    __shared__ __align__(16) REAL right[2][BK][BN];
    MatrixSlice<BN, COUNT, (BM / TM) * (BN / TN)> columns;
    rows.fetch(source, block.end);
    columns.fetch(matrix, block.first, block.end, row_length, block.column, column_count);
    rows.put(left[0]);
    columns.put(right[0]);
    __syncthreads();
    int half = 0;
    for (int k = block.first + BK; k < block.end; k += BK) {
        rows.fetch(source, block.end);
        columns.fetch(matrix, k, block.end, row_length, block.column, column_count);
        multiply<BM, BN, TM, TN>(left[half], right[half], block.ty, block.tx, sums);
        half ^= 1;
        rows.put(left[half]);
        columns.put(right[half]);
        __syncthreads();
    }
    multiply<BM, BN, TM, TN>(left[half], right[half], block.ty, block.tx, sums);
}

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
template <int BM, int COUNT, int THREADS>
struct PositionSlice {
    static constexpr int LANES = BK / COUNT, ROW_STRIDE = THREADS / LANES, LOADS = BM / ROW_STRIDE;
    const Positions& p;
    const Located<BM, THREADS>& located;
    int k, tap_y, tap_x, channel;  // of this thread's lane in the next slice
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ PositionSlice(const Positions& p, const Located<BM, THREADS>& located, int first)
        : p(p), located(located) {
        k = first + threadIdx.x % LANES * COUNT;
        const int tap = k / p.group_channels;
        channel = k % p.group_channels;
        tap_y = tap / p.kernel_width;
        tap_x = tap % p.kernel_width;
    }

    __device__ __forceinline__ void fetch(const REAL* source, int end) {
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
            held[i] = inside ? load<COUNT>(source + located.image[row] + (y * p.width + x) * p.channels + channel)
                             : nothing<COUNT>();
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

__device__ __forceinline__ REAL activate(REAL value, bool relu) { return relu && value < 0 ? REAL(0) : value; }

// bias and ReLU, then the block's sums into rows of the result.
template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void write_rows(const Block<BM, BN, TM, TN>& block, const Span& span, const REAL* bias,
                                           REAL* out, int row_length, bool relu, const REAL (&sums)[TM][TN]) {
    const int first_column = block.group * span.columns;
    out += (int64)block.part * span.rows * row_length;
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = block.row_of(i);
        if (m >= span.rows) continue;
#pragma unroll
        for (int square = 0; square < TN; square += 4) {
            const int n = block.column_of(square);
            REAL* target = out + (int64)m * row_length + first_column + n;
#pragma unroll
            for (int j = 0; j < 4; j += COUNT) {
                if (n + j >= span.columns) continue;
                Pack<COUNT> pack;
#pragma unroll
                for (int e = 0; e < COUNT; ++e) {
                    const REAL offset = bias ? bias[first_column + n + j + e] : REAL(0);
                    pack.v[e] = activate(sums[i][square + j + e] + offset, relu);
                }
                store<COUNT>(target + j, pack);
            }
        }
    }
}

// The maximum of each four rows, which are one pooling window; then bias and ReLU, which change no order.
template <int BM, int BN, int TM, int TN>
__device__ __forceinline__ void write_pooled(const Block<BM, BN, TM, TN>& block, const Span& span, const REAL* bias,
                                             REAL* out, unsigned char* winner, int row_length, bool relu,
                                             const REAL (&sums)[TM][TN]) {
#pragma unroll
    for (int i = 0; i < TM; i += 4) {
        const int m = block.row_of(i);
        if (m >= span.rows) continue;
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int n = block.column_of(j);
            if (n >= span.columns) continue;
            REAL best = sums[i][j];
            unsigned char tap = 0;
#pragma unroll
            for (int t = 1; t < 4; ++t) {
                const REAL other = sums[i + t][j];
                if (other > best || (other != other && best == best)) {  // NaN beats every number
                    best = other;
                    tap = t;
                }
            }
            if (bias) best += bias[n];
            const int64 at = (int64)(m / 4) * row_length + n;
            if (winner) winner[at] = relu && best <= 0 ? 255 : tap;
            out[at] = activate(best, relu);
        }
    }
}

// ------------------------------------------------------------ rows are taps and channels: the gradient of the kernel

// One tap and channel for each row of the block, one position for each term.
template <int BM, int COUNT, int THREADS>
struct TapSlice {
    static constexpr int LANES = BM / COUNT, TERM_STRIDE = THREADS / LANES, LOADS = BK / TERM_STRIDE;
    const Window& w;
    int channels;
    int k, n, y, x;            // the position of this thread in the next slice
    int down, right, channel;  // of this thread's row
    bool is_row;
    Pack<COUNT> held[LOADS];

    __device__ __forceinline__ TapSlice(const Taps& p, int row, int rows, int group, int first)
        : w(p.window), channels(p.channels) {
        const int m = row + threadIdx.x % LANES * COUNT;
        const int tap = m / p.group_channels;
        is_row = m < rows;
        channel = group * p.group_channels + m % p.group_channels;
        down = tap / w.kernel_width * w.dilation_y - w.pad_top;
        right = tap % w.kernel_width * w.dilation_x - w.pad_left;
        k = first + threadIdx.x / LANES;
        x = k % w.out_width;
        y = k / w.out_width % w.out_height;
        n = k / w.out_width / w.out_height;
    }

    __device__ __forceinline__ void fetch(const REAL* source, int end) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int pixel_y = y * w.stride_y + down, pixel_x = x * w.stride_x + right;
            const bool inside = is_row && k < end && pixel_y >= 0 && pixel_y < w.in_height && pixel_x >= 0 &&
                                pixel_x < w.in_width;
            const int64 pixel = ((int64)n * w.in_height + pixel_y) * w.in_width + pixel_x;
            held[i] = inside ? load<COUNT>(source + pixel * channels + channel) : nothing<COUNT>();
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

// ----------------------------------------------------------------------------------------------------- the kernels

template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void product(const REAL* __restrict__ source, const Positions& left,
                                        const REAL* __restrict__ matrix, const Matrix& right,
                                        const REAL* __restrict__ bias, REAL* __restrict__ out,
                                        unsigned char* __restrict__ winner, int row_length, bool relu, const Pool& pool,
                                        const Span& span) {
    const Block<BM, BN, TM, TN> block(span);
    __shared__ Located<BM, block.THREADS> located;
    located.fill(left, pool, block.row, span.rows, block.group * left.group_channels);
    __syncthreads();
    PositionSlice<BM, COUNT, block.THREADS> rows(left, located, block.first);
    REAL sums[TM][TN] = {};
    matrix += (int64)block.group * right.group;
    add_slices<BM, BN, TM, TN, COUNT>(block, rows, source, matrix, right.row, span.columns, sums);
    if (pool.height)
        write_pooled(block, span, bias, out, winner, row_length, relu, sums);
    else
        write_rows<BM, BN, TM, TN, COUNT>(block, span, bias, out, row_length, relu, sums);
}

template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void correlation(const REAL* __restrict__ source, const Taps& left,
                                            const REAL* __restrict__ dy, const Matrix& right, REAL* __restrict__ out,
                                            int row_length, const Span& span) {
    const Block<BM, BN, TM, TN> block(span);
    TapSlice<BM, COUNT, block.THREADS> taps(left, block.row, span.rows, block.group, block.first);
    REAL sums[TM][TN] = {};
    dy += (int64)block.group * right.group;
    add_slices<BM, BN, TM, TN, COUNT>(block, taps, source, dy, right.row, span.columns, sums);
    write_rows<BM, BN, TM, TN, 1>(block, span, nullptr, out, row_length, false, sums);
}

// `v4`: all counts of channels are multiples of 4, so that four elements can be moved at a time.
#define SIZE(BM, BN, TM, TN, COUNT)                                                                                    \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN)) product_##BM##x##BN##_v##COUNT(                \
        const REAL* __restrict__ source, Positions left, const REAL* __restrict__ matrix, Matrix right,                \
        const REAL* __restrict__ bias, REAL* __restrict__ out, unsigned char* __restrict__ winner, int row_length,     \
        int relu, Pool pool, Span span) {                                                                              \
        product<BM, BN, TM, TN, COUNT>(source, left, matrix, right, bias, out, winner, row_length, relu, pool, span);  \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN)) correlation_##BM##x##BN##_v##COUNT(            \
        const REAL* __restrict__ source, Taps left, const REAL* __restrict__ dy, Matrix right, REAL* __restrict__ out, \
        int row_length, Span span) {                                                                                   \
        correlation<BM, BN, TM, TN, COUNT>(source, left, dy, right, out, row_length, span);                            \
    }
#define SIZES(BM, BN, TM, TN) SIZE(BM, BN, TM, TN, 1) SIZE(BM, BN, TM, TN, 4)

// Blocks of each size are compiled on their own, when they are first used (products.py chooses); 8 x 8 sums of double
// would not fit into registers.
#if defined(BLOCK_128x64)
SIZES(128, 64, 8, 8)
#elif defined(BLOCK_64x32)
SIZES(64, 32, 4, 4)
#elif defined(BLOCK_128x16)
SIZES(128, 16, 4, 4)
#endif
