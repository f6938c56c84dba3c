// Convolution as matrix products whose left side is never written down ("implicit GEMM"; Chetlur et al.: "cuDNN:
// efficient primitives for deep learning", 2014). A matrix product is the convolution of images of one pixel.
//
//     out[m, n] = sum over k of left[m, k] * right[k, n]
//
// A block of threads computes a block BM x BN of the result. It walks along the sum in slices of BK terms: while the
// threads multiply the slice that lies in shared memory, the next one is on its way from global memory into registers,
// and then goes into the other half of the shared memory, so that one barrier a slice is enough. Every thread keeps
// TM x TN sums in registers, in squares of 4 x 4, for which it reads 16 bytes at a time.

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

// sums = left * right over the block's terms: the product itself, whatever its sides.
template <int BM, int BN, int TM, int TN, typename LeftSlice, typename RightSlice>
__device__ __forceinline__ void add_slices(const Block<BM, BN, TM, TN>& block, LeftSlice& rows, RightSlice& columns,
                                           REAL (&sums)[TM][TN]) {
    __shared__ __align__(16) REAL left[2][BK][BM + 4];  // 4: neighbouring terms lie in different banks
    __shared__ __align__(16) REAL right[2][BK][BN];
    rows.fetch(block.end);
    columns.fetch(block.first, block.end);
    rows.put(left[0]);
    columns.put(right[0]);
    __syncthreads();
    int half = 0;
    for (int k = block.first + BK; k < block.end; k += BK) {
        rows.fetch(block.end);
        columns.fetch(k, block.end);
        multiply<BM, BN, TM, TN>(left[half], right[half], block.ty, block.tx, sums);
        half ^= 1;
        rows.put(left[half]);
        columns.put(right[half]);
        __syncthreads();
    }
    multiply<BM, BN, TM, TN>(left[half], right[half], block.ty, block.tx, sums);
}

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

// Where moments of the result go, which normalization.cu puts together: a part's means and squares in its row of (parts,
// columns), and how many rows it has.
struct LeftMoments {
    REAL *means, *squares, *counts;
};

// For the rows of a block, per column: the mean of what `write_rows` writes, and the sum of the squared differences from it,
// both as sums of differences from the block's first row (Chan, Golub, LeVeque, as in normalization.cu).
template <int BM, int BN, int TM, int TN>
__device__ __forceinline__ void write_moments(const Block<BM, BN, TM, TN>& block, const Span& span, const REAL* bias,
                                              const LeftMoments& to, int row_length, bool relu, REAL (&sums)[TM][TN]) {
    constexpr int THREADS = Block<BM, BN, TM, TN>::THREADS, WARPS = THREADS / 32, WIDTH = BN / TN;  // threads side by side
    __shared__ REAL shift[BN], scratch[2][WARPS][BN];
    const int first_column = block.group * span.columns, rows = min(BM, span.rows - block.row);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < TN; ++j) {
        const int n = block.column_of(j);
        const REAL offset = bias && n < span.columns ? bias[first_column + n] : REAL(0);
#pragma unroll
        for (int i = 0; i < TM; ++i) sums[i][j] = activate(sums[i][j] + offset, relu);
        if (block.ty == 0) shift[n - block.column] = sums[0][j];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < TN; ++j) {
        const int n = block.column_of(j) - block.column;
        REAL sum = 0, square = 0;
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            const REAL difference = block.row_of(i) < span.rows ? sums[i][j] - shift[n] : REAL(0);
            sum += difference;
            square += difference * difference;
        }
#pragma unroll
        for (int step = WIDTH; step < 32; step *= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, step);
            square += __shfl_xor_sync(0xffffffffu, square, step);
        }
        if (lane < WIDTH) scratch[0][warp][n] = sum, scratch[1][warp][n] = square;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < BN && block.column + n < span.columns; n += THREADS) {
        REAL sum = 0, square = 0;
#pragma unroll
        for (int other = 0; other < WARPS; ++other) sum += scratch[0][other][n], square += scratch[1][other][n];
        const REAL offset = sum / rows;
        const int c = first_column + block.column + n;
        const int64 at = (int64)blockIdx.x * row_length + c;
        to.means[at] = shift[n] + offset;
        to.squares[at] = square - offset * sum;
        if (c == 0) to.counts[blockIdx.x] = rows;
    }
}

// ----------------------------------------------------------------------------------------------------- the kernels

template <int BM, int BN, int TM, int TN, int COUNT, bool LEAVES_MOMENTS>
__device__ __forceinline__ void product(const REAL* __restrict__ source, const Positions& left,
                                        const REAL* __restrict__ matrix, const Matrix& right,
                                        const REAL* __restrict__ bias, REAL* __restrict__ out,
                                        unsigned char* __restrict__ winner, int row_length, bool relu, const Pool& pool,
                                        const Span& span, const LeftMoments& moments) {
    const Block<BM, BN, TM, TN> block(span);
    __shared__ Located<BM, block.THREADS> located;
    located.fill(left, pool, block.row, span.rows, block.group * left.group_channels);
    __syncthreads();
    PositionSlice<BM, COUNT, block.THREADS, false> rows(source, nullptr, left, located, block.first);
    matrix += (int64)block.group * right.group;
    MatrixSlice<BN, COUNT, block.THREADS, false> columns(matrix, nullptr, right.row, block.column, span.columns);
    REAL sums[TM][TN] = {};
    add_slices<BM, BN, TM, TN>(block, rows, columns, sums);
    if (pool.height)
        write_pooled(block, span, bias, out, winner, row_length, relu, sums);
    else
        write_rows<BM, BN, TM, TN, COUNT>(block, span, bias, out, row_length, relu, sums);
    if constexpr (LEAVES_MOMENTS) write_moments(block, span, bias, moments, row_length, relu, sums);
}

// The gradient of the input: rows are pixels, whose taps meet positions of `dy`, masked by `y`.
template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void gradient(const REAL* __restrict__ dy, const REAL* __restrict__ y, const Positions& left,
                                         const REAL* __restrict__ kernel, const Matrix& right, REAL* __restrict__ dx,
                                         int row_length, const Span& span) {
    const Block<BM, BN, TM, TN> block(span);
    __shared__ Located<BM, block.THREADS> located;
    located.fill(left, Pool{}, block.row, span.rows, block.group * left.group_channels);
    __syncthreads();
    PositionSlice<BM, COUNT, block.THREADS, true> rows(dy, y, left, located, block.first);
    kernel += (int64)block.group * right.group;
    TurnedSlice<BN, COUNT, block.THREADS> columns(kernel, right.row, block.column, span.columns, left.group_channels,
                                                  block.first);
    REAL sums[TM][TN] = {};
    add_slices<BM, BN, TM, TN>(block, rows, columns, sums);
    write_rows<BM, BN, TM, TN, COUNT>(block, span, nullptr, dx, row_length, false, sums);
}

// The gradient of the kernel, and with a row more than it has, of the bias; `dy` is masked by `y`.
template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void correlation(const REAL* __restrict__ source, const Taps& left,
                                            const REAL* __restrict__ dy, const REAL* __restrict__ y,
                                            const Matrix& right, REAL* __restrict__ out, int row_length,
                                            const Span& span) {
    const Block<BM, BN, TM, TN> block(span);
    TapSlice<BM, COUNT, block.THREADS> taps(source, left, block.row, block.group, block.first);
    const int64 group = (int64)block.group * right.group;
    MatrixSlice<BN, COUNT, block.THREADS, true> columns(dy + group, y ? y + group : nullptr, right.row, block.column,
                                                        span.columns);
    REAL sums[TM][TN] = {};
    add_slices<BM, BN, TM, TN>(block, taps, columns, sums);
    write_rows<BM, BN, TM, TN, 1>(block, span, nullptr, out, row_length, false, sums);
}

// `v4`: all counts of channels are multiples of 4, so that four elements can be moved at a time.
#define SIZE(BM, BN, TM, TN, COUNT)                                                                                    \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN)) product_##BM##x##BN##_v##COUNT(                \
        const REAL* __restrict__ source, Positions left, const REAL* __restrict__ matrix, Matrix right,                \
        const REAL* __restrict__ bias, REAL* __restrict__ out, unsigned char* __restrict__ winner, int row_length,     \
        int relu, Pool pool, Span span) {                                                                              \
        product<BM, BN, TM, TN, COUNT, false>(source, left, matrix, right, bias, out, winner, row_length, relu, pool,  \
                                              span, {});                                                               \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN))                                                \
        product_and_moments_##BM##x##BN##_v##COUNT(                                                                    \
            const REAL* __restrict__ source, Positions left, const REAL* __restrict__ matrix, Matrix right,            \
            const REAL* __restrict__ bias, REAL* __restrict__ out, int row_length, int relu, Span span,                \
            REAL* __restrict__ means, REAL* __restrict__ squares, REAL* __restrict__ counts) {                         \
        product<BM, BN, TM, TN, COUNT, true>(source, left, matrix, right, bias, out, nullptr, row_length, relu,        \
                                             Pool{}, span, {means, squares, counts});                                  \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN)) gradient_##BM##x##BN##_v##COUNT(               \
        const REAL* __restrict__ dy, const REAL* __restrict__ y, Positions left, const REAL* __restrict__ kernel,      \
        Matrix right, REAL* __restrict__ dx, int row_length, Span span) {                                              \
        gradient<BM, BN, TM, TN, COUNT>(dy, y, left, kernel, right, dx, row_length, span);                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN)) correlation_##BM##x##BN##_v##COUNT(            \
        const REAL* __restrict__ source, Taps left, const REAL* __restrict__ dy, const REAL* __restrict__ y,           \
        Matrix right, REAL* __restrict__ out, int row_length, Span span) {                                             \
        correlation<BM, BN, TM, TN, COUNT>(source, left, dy, y, right, out, row_length, span);                         \
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
