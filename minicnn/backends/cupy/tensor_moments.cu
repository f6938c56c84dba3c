// What a convolution on tensor cores leaves of its results for the batch normalization behind it (normalization.cu): for the
// rows of a block, per column, their mean and the sum of the squared differences from it. And what the gradient of its input
// leaves for the normalization before it: that gradient as far as ReLU lets it through, and the sums of norm_gradient_sums. The
// results are in registers anyway, so that nobody reads them for that.

// As the direction of a convolution: forward, and turned.
constexpr int MOMENTS = 3, GRADIENT_SUMS = 4;

// Where they go: a part's means and squares in its row of (parts, columns), and how many rows it has.
struct LeftMoments {
    float *means, *squares, *counts;
};

// Adds numbers up over the eight lanes that hold the same columns. A lane has the sums of COUNT / 8 of them in the end, or
// of one: from the returned one on.
template <int COUNT, int STEP = 16>
__device__ __forceinline__ int add_over_rows(float (&numbers)[COUNT]) {
    if constexpr (STEP < 4) {
        return 0;
    } else if constexpr (COUNT == 1) {
        numbers[0] += __shfl_xor_sync(0xffffffffu, numbers[0], STEP);
        return add_over_rows<1, STEP / 2>(numbers);
    } else {  // one of two lanes goes on with the first half of them, the other one with the second
        const bool is_upper = threadIdx.x & STEP;
        float half[COUNT / 2];
#pragma unroll
        for (int k = 0; k < COUNT / 2; ++k) {
            const float given = is_upper ? numbers[k] : numbers[k + COUNT / 2];
            half[k] = (is_upper ? numbers[k + COUNT / 2] : numbers[k]) + __shfl_xor_sync(0xffffffffu, given, STEP);
        }
        const int first = add_over_rows<COUNT / 2, STEP / 2>(half);
#pragma unroll
        for (int k = 0; k < COUNT / 2; ++k) numbers[k] = half[k];
        return first + (is_upper ? COUNT / 2 : 0);
    }
}

// Two sums of columns, BN apart, into the memory of this lane's columns: COUNT of them, of which it has added up those from
// `first` on.
template <int BN, int COUNT, int LEFT>
__device__ __forceinline__ void put_sums(float* to, int first, const float (&sums)[LEFT], const float (&others)[LEFT]) {
    constexpr int TWICE = COUNT < 8 ? 32 / COUNT - 4 : 0;  // bits of lanes that have added up the same
    if (threadIdx.x % 32 & TWICE) return;
#pragma unroll
    for (int k = 0; k < LEFT; ++k) {
        const int n = (first + k) / 2 * 8 + (first + k) % 2;
        to[n] = sums[k], to[BN + n] = others[k];
    }
}

// Sums over the rows of a warp, whose lanes hold NT tiles of 16 x 8 side by side as `multiply` leaves them: of differences
// from the warp's first row, and of their squares (Chan, Golub, LeVeque, as in normalization.cu).
template <int NT>
struct RowSums {
    static constexpr int COUNT = NT * 2, LEFT = COUNT < 8 ? 1 : COUNT / 8;  // columns of a lane; those that it adds up
    float shift[COUNT], sums[LEFT] = {}, squares[LEFT] = {};
    int rows = 0, first_sum;

    // MT * 16 rows more, from row `first` of the result on, but for those that it does not have; of the tiles from `tile` on.
    template <int MT, int ALL>
    __device__ __forceinline__ void add(const float (&results)[MT][ALL][4], int tile, int first, int all_rows) {
        const int lane = threadIdx.x % 32;
        if (rows == 0)
#pragma unroll
            for (int k = 0; k < COUNT; ++k)
                shift[k] = __shfl_sync(0xffffffffu, results[0][tile + k / 2][k % 2], lane % 4);
        float more[COUNT] = {}, more_squares[COUNT] = {};
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const bool exists = first + i * 16 + half * 8 + lane / 4 < all_rows;
#pragma unroll
                for (int k = 0; k < COUNT; ++k) {
                    const float result = results[i][tile + k / 2][half * 2 + k % 2];
                    const float difference = exists ? result - shift[k] : 0.0f;
                    more[k] += difference;
                    more_squares[k] += difference * difference;
                }
            }
        first_sum = add_over_rows(more);
        add_over_rows(more_squares);
#pragma unroll
        for (int k = 0; k < LEFT; ++k) sums[k] += more[k], squares[k] += more_squares[k];
        rows += min(max(all_rows - first, 0), MT * 16);
    }

    // Into the block's memory, where WARPS of them, whose rows lie below each other, have shifts, sums and squares of BN
    // columns, and how many rows they are. This one is number `warp`, and has columns from `column` on.
    template <int WARPS, int BN>
    __device__ __forceinline__ void put(float* memory, int warp, int column) const {
        const int lane = threadIdx.x % 32;
        float* const mine = memory + warp * (3 * BN) + column + lane % 4 * 2;
        if (lane < 4)
#pragma unroll
            for (int k = 0; k < COUNT; ++k) mine[k / 2 * 8 + k % 2] = shift[k];
        put_sums<BN, COUNT>(mine + BN, first_sum, sums, squares);
        if (lane == 0 && column == 0) memory[WARPS * 3 * BN + warp] = rows;
    }
};

// Writes what the warps have put into the block's memory, as part `part` of columns from `column` on.
template <int WARPS, int BN>
__device__ __forceinline__ void write_moments(const LeftMoments& to, const float* memory, int part, int column,
                                              int columns) {
    for (int n = threadIdx.x; n < BN && column + n < columns; n += blockDim.x) {
        float rows = 0, mean = 0, square = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; ++warp) {
            const float* const own = memory + warp * (3 * BN) + n;  // shift, sum, sum of squares
            const float more = memory[WARPS * 3 * BN + warp], before = rows;
            if (more == 0) continue;
            rows += more;
            const float offset = own[BN] / more, difference = own[0] + offset - mean, weight = more / rows;
            mean += difference * weight;
            square += own[2 * BN] - offset * own[BN] + difference * difference * before * weight;
        }
        to.means[(int64)part * columns + column + n] = mean;
        to.squares[(int64)part * columns + column + n] = square;
        if (column + n == 0) to.counts[part] = rows;
    }
}

// The moments of a block whose results are these: all threads must call it. Warp number `warp` has rows from `row` on, and
// columns of the block from `own_column` on.
template <int WARPS, int BN, int MT, int NT>
__device__ __forceinline__ void leave_moments(const LeftMoments& to, float* memory, const float (&results)[MT][NT][4],
                                              int warp, int row, int rows, int own_column, int part, int column,
                                              int columns) {
    constexpr int GROUP = NT < 4 ? NT : 4;  // tiles at a time: for more there would not be registers
    __syncthreads();                        // others may still read what lies in that memory
#pragma unroll
    for (int tile = 0; tile < NT; tile += GROUP) {
        RowSums<GROUP> sums;
        sums.add(results, tile, row, rows);
        sums.template put<WARPS, BN>(memory, warp, own_column + tile * 8);
    }
    __syncthreads();
    write_moments<WARPS, BN>(to, memory, part, column, columns);
}

// The gradient of a normalization's output, from that of a convolution's input.
template <int NT>
struct GradientSums {
    static constexpr int COUNT = NT * 2, LEFT = COUNT < 8 ? 1 : COUNT / 8;  // as of `RowSums`
    float of_dy[LEFT] = {}, of_x[LEFT] = {};  // of the gradient, and of its products with normalized x
    int first_sum;

    // Adds up and writes MT * 16 rows of the warp, from row `first` of the result on, of NT tiles of columns from `tile` on, the
    // first of which is column `column` of the result.
    template <int MT, int ALL>
    __device__ __forceinline__ void add(const float (&results)[MT][ALL][4], int tile, int first, int column,
                                        const Normalized& of, const Convolution& g, float* out) {
        const float *const xs = (const float*)of.x, *const ys = (const float*)of.y, *const more = (const float*)of.more;
        const float *const gamma = (const float*)of.gamma, *const beta = (const float*)of.beta;
        const int lane = threadIdx.x % 32;
        float sums[COUNT] = {}, products[COUNT] = {};
#pragma unroll
        for (int j = 0; j < NT; ++j) {
            const int n = column + j * 8 + lane % 4 * 2;
            if (n >= g.filters) continue;
            float mean[2], inverse_std[2], scale[2], shift[2];
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                mean[e] = ((const float*)of.mean)[n + e], inverse_std[e] = ((const float*)of.inverse_std)[n + e];
                scale[e] = gamma ? inverse_std[e] * gamma[n + e] : inverse_std[e];
                shift[e] = beta ? beta[n + e] : 0.0f;
            }
#pragma unroll
            for (int t = 0; t < MT * 2; ++t) {
                const int m = first + t * 8 + lane / 4;
                if (m >= g.rows) continue;
                const int64 at = (int64)m * g.filters + n;
                const float2 none = make_float2(0, 0), x = *(const float2*)(xs + at);
                const float2 y = of.relu && ys ? *(const float2*)(ys + at) : none;
                const float2 other = more ? *(const float2*)(more + at) : none;
                const float x_of[2] = {x.x, x.y}, y_of[2] = {y.x, y.y}, more_of[2] = {other.x, other.y};
                float passed[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float result = results[t / 2][tile + j][t % 2 * 2 + e], dy = more ? more_of[e] + result : result;
                    const float value = ys ? y_of[e] : (x_of[e] - mean[e]) * scale[e] + shift[e];
                    passed[e] = of.relu && value <= 0 ? 0.0f : dy;
                    sums[j * 2 + e] += passed[e];
                    products[j * 2 + e] += passed[e] * ((x_of[e] - mean[e]) * inverse_std[e]);
                }
                *(float2*)(out + at) = make_float2(passed[0], passed[1]);
            }
        }
        first_sum = add_over_rows(sums);
        add_over_rows(products);
#pragma unroll
        for (int k = 0; k < LEFT; ++k) of_dy[k] += sums[k], of_x[k] += products[k];
    }

    // Into the block's memory, as `RowSums` does.
    template <int BN>
    __device__ __forceinline__ void put(float* memory, int warp, int column) const {
        put_sums<BN, COUNT>(memory + warp * (2 * BN) + column + threadIdx.x % 4 * 2, first_sum, of_dy, of_x);
    }
};

// Writes what the warps have put into the block's memory, as part `part` of columns from `column` on.
template <int WARPS, int BN>
__device__ __forceinline__ void write_gradient_sums(float* parts_dy, float* parts_x, const float* memory, int part,
                                                    int column, int columns) {
    for (int n = threadIdx.x; n < BN && column + n < columns; n += blockDim.x) {
        float of_dy = 0, of_x = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; ++warp) {
            of_dy += memory[warp * (2 * BN) + n];
            of_x += memory[warp * (2 * BN) + BN + n];
        }
        parts_dy[(int64)part * columns + column + n] = of_dy;
        parts_x[(int64)part * columns + column + n] = of_x;
    }
}

// As `leave_moments`, of a block whose results are the gradient of a convolution's input, which is written here.
template <int WARPS, int BN, int MT, int NT>
__device__ __forceinline__ void leave_gradient_sums(const Normalized& of, float* parts_dy, float* parts_x, float* memory,
                                                    const float (&results)[MT][NT][4], const Convolution& g, float* out,
                                                    int warp, int row, int own_column, int part, int column) {
    constexpr int GROUP = NT < 4 ? NT : 4;
    __syncthreads();  // others may still read what lies in that memory
#pragma unroll
    for (int tile = 0; tile < NT; tile += GROUP) {
        GradientSums<GROUP> sums;
        sums.add(results, tile, row, column + own_column + tile * 8, of, g, out);
        sums.template put<BN>(memory, warp, own_column + tile * 8);
    }
    __syncthreads();
    write_gradient_sums<WARPS, BN>(parts_dy, parts_x, memory, part, column, g.filters);
}

// Results of a lane that were written already, as its sums: `row` and `column` are those of its first one.
template <int MT, int NT>
__device__ __forceinline__ void read_back(float (&sums)[MT][NT][4], const float* out, const Convolution& g, int row,
                                          int column) {
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int m = row + i * 16 + e / 2 * 8, n = column + j * 8 + e % 2;
                if (m < g.rows && n < g.filters) sums[i][j][e] = out[(int64)m * g.filters + n];
            }
}
