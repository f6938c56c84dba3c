// What a convolution on tensor cores leaves of its results for the batch normalization behind it (normalization.cu): for the
// rows of a block, per column, their mean and the sum of the squared differences from it. The results are in registers
// anyway, so that nobody reads them for that.

constexpr int MOMENTS = 3;  // as the direction of a convolution: forward, and the moments of its results are left

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

// Sums over the rows of a warp, whose lanes hold NT tiles of 16 x 8 side by side as `multiply` leaves them: of differences
// from the warp's first row, and of their squares (Chan, Golub, LeVeque, as in normalization.cu).
template <int NT>
struct RowSums {
    static constexpr int COUNT = NT * 2, LEFT = COUNT < 8 ? 1 : COUNT / 8;  // columns of a lane; those that it adds up
    static constexpr int TWICE = COUNT < 8 ? 32 / COUNT - 4 : 0;            // bits of lanes that add up the same
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
        if (!(lane & TWICE))
#pragma unroll
            for (int k = 0; k < LEFT; ++k) {
                const int n = (first_sum + k) / 2 * 8 + (first_sum + k) % 2;
                mine[BN + n] = sums[k], mine[2 * BN + n] = squares[k];
            }
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
