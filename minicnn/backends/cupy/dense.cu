// Dense layers of small batches, float alone: the terms of a sum are shared among the warps of a block, so that even a few
// results keep a device busy, and both products of the gradient are one launch. Larger ones: products.cu.

constexpr int ROWS_OF_BLOCK = 4;     // forward
constexpr int WARPS = 8, AHEAD = 8;  // backward: of a block; rows that are loaded together

// Sums of COUNT x 32 results over the warps of a block, in their order; each warp has its share of the terms. Warp w gets
// row w's (for w < COUNT), lane by lane.
template <int COUNT>
__device__ __forceinline__ float over_warps(const float (&sums)[COUNT], float* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
    for (int r = 0; r < COUNT; ++r) shared[(warp * COUNT + r) * 32 + lane] = sums[r];
    __syncthreads();
    float total = 0;
    if (warp < COUNT)
#pragma unroll 8
        for (int w = 0; w < warps; ++w) total += shared[(w * COUNT + warp) * 32 + lane];
    return total;
}

// x W + b for ROWS_OF_BLOCK rows and 32 columns of a block; each warp: `share` of the terms, a multiple of eight. What lane
// `column` of warp `row` gets. Weights are fetched eight terms ahead.
__device__ __forceinline__ float dense_tile(const float* x, const float* weights, const float* bias, int rows, int inner,
                                            int outer, int first_row, int first_column, float* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, column = first_column + lane;
    const int share = ((inner + warps - 1) / warps + 7) / 8 * 8, first = warp * share, end = min(inner, first + share);
    float4* const turned = reinterpret_cast<float4*>(shared + warps * ROWS_OF_BLOCK * 32) + first;  // (terms, rows)
    const float* const at = weights + (int64)first * outer + column;
    float ahead[8], sums[ROWS_OF_BLOCK] = {};
    auto fetch = [&](int k) {
#pragma unroll
        for (int j = 0; j < 8; ++j) ahead[j] = column < outer && k + j < end ? at[(int64)(k + j - first) * outer] : 0;
    };
    fetch(first);
    for (int k = lane; k < share; k += 32) {
        float v[ROWS_OF_BLOCK];
#pragma unroll
        for (int r = 0; r < ROWS_OF_BLOCK; ++r)
            v[r] = first + k < inner && first_row + r < rows ? x[(int64)(first_row + r) * inner + first + k] : 0;
        turned[k] = make_float4(v[0], v[1], v[2], v[3]);
    }
    __syncwarp();
    for (int k = first; k < end; k += 8) {
        float weight[8];
#pragma unroll
        for (int j = 0; j < 8; ++j) weight[j] = ahead[j];
        if (k + 8 < end) fetch(k + 8);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const float4 v = turned[k + j - first];
            sums[0] += v.x * weight[j], sums[1] += v.y * weight[j], sums[2] += v.z * weight[j], sums[3] += v.w * weight[j];
        }
    }
    const float total = over_warps<ROWS_OF_BLOCK>(sums, shared);
    return bias && column < outer ? total + bias[column] : total;
}

// Grid: (columns / 32, rows / ROWS_OF_BLOCK).
extern "C" __global__ void __launch_bounds__(1024)
    dense(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias,
          float* __restrict__ y, int rows, int inner, int outer, int relu) {
    DYNAMIC_SHARED(float, shared);
    const int first_row = blockIdx.y * ROWS_OF_BLOCK, first_column = blockIdx.x * 32;
    const int row = first_row + threadIdx.x / 32, column = first_column + threadIdx.x % 32;
    const float value = dense_tile(x, weights, bias, rows, inner, outer, first_row, first_column, shared);
    if (threadIdx.x < ROWS_OF_BLOCK * 32 && row < rows && column < outer)
        y[(int64)row * outer + column] = relu && value < 0 ? 0 : value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
    for (int step = 16; step; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, value, step);
        value = other > value ? other : value;
    }
    return value;
}

// The last layer, of up to 32 classes, softmax, and the cross-entropy with class numbers: logits, probabilities, each row's
// loss (times its weight) and whether its largest probability, the first one, is the class; and the gradient of the logits,
// by the mean of the losses. Grid: (1, rows / ROWS_OF_BLOCK).
extern "C" __global__ void __launch_bounds__(1024)
    dense_classes(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias,
                  const int64* __restrict__ labels, const double* __restrict__ row_weight, float* __restrict__ logits,
                  float* __restrict__ probabilities, float* __restrict__ loss, unsigned char* __restrict__ hit,
                  float* __restrict__ dlogits, int rows, int inner, int outer) {
    DYNAMIC_SHARED(float, shared);
    const int first_row = blockIdx.y * ROWS_OF_BLOCK, row = first_row + threadIdx.x / 32, lane = threadIdx.x % 32;
    const float z = dense_tile(x, weights, bias, rows, inner, outer, first_row, 0, shared);
    if (threadIdx.x >= ROWS_OF_BLOCK * 32 || row >= rows) return;
    const bool is_class = lane < outer;
    const float lowest = __int_as_float(0xff800000), top = warp_max(is_class ? z : lowest);
    const float power = is_class ? exp(z - top) : 0.0f;
    float total = power;
#pragma unroll
    for (int step = 16; step; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
    const float p = power / total, best = warp_max(is_class ? p : lowest);
    const uint32 nans = __ballot_sync(0xffffffffu, is_class && p != p);
    const uint32 largest = __ballot_sync(0xffffffffu, is_class && p == best);
    const int label = (int)labels[row], predicted = __ffs(nans ? nans : largest) - 1;
    const float counts = row_weight ? (float)row_weight[row] : 1.0f;
    const float factor = row_weight ? (float)(row_weight[row] * (1.0 / rows)) : (float)(1.0 / rows);
    if (lane == label) loss[row] = (log(total) - (z - top)) * counts;
    if (lane == 0) hit[row] = predicted == label;
    if (!is_class) return;
    const int64 at = (int64)row * outer + lane;
    logits[at] = z;
    probabilities[at] = p;
    dlogits[at] = (p - (lane == label)) * factor;
}

// What a row of the output's gradient passes on: all of it, or what ReLU let through.
__device__ __forceinline__ float masked(const float* dy, const float* y, int64 at) {
    const float d = dy[at];  // loaded at the same time as y
    return y && y[at] <= 0 ? 0.0f : d;
}

// dx = dy W^T, for WARPS rows and 32 columns.
__device__ __forceinline__ void dense_dx(const float* weights, const float* dy, const float* y, float* dx, int rows,
                                         int inner, int outer, int block, float* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, tiles = (inner + 31) / 32, pitch = outer | 1;
    const int first_row = block / tiles * WARPS, first = block % tiles * 32;
    float *const turned = shared + 32 * WARPS * WARPS, *const tile = turned + outer * WARPS;  // tile: 32 rows of W
#pragma unroll
    for (int k = 0; k < 32; k += WARPS)
        for (int n = lane; n < outer; n += 32) {
            float* const to = tile + (k + warp) * pitch + n;
            if (first + k + warp < inner)
                copy_ahead_4(to, weights + (int64)(first + k + warp) * outer + n);
            else
                *to = 0;
        }
    for (int n = lane; n < outer; n += 128) {
        float ahead[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const bool is_there = first_row + warp < rows && n + 32 * j < outer;
            ahead[j] = is_there ? masked(dy, y, (int64)(first_row + warp) * outer + n + 32 * j) : 0;
        }
#pragma unroll
        for (int j = 0; j < 4; ++j)
            if (n + 32 * j < outer) turned[(n + 32 * j) * WARPS + warp] = ahead[j];
    }
    wait_for_copies();
    __syncthreads();
    float sums[WARPS] = {};
    const int end = outer * (warp + 1) / WARPS;  // each warp: an eighth of the terms
#pragma unroll 4
    for (int n = outer * warp / WARPS; n < end; ++n) {
        const float weight = tile[lane * pitch + n];
        const float4* const from = reinterpret_cast<const float4*>(turned + n * WARPS);
        const float4 u = from[0], v = from[1];
        sums[0] += u.x * weight, sums[1] += u.y * weight, sums[2] += u.z * weight, sums[3] += u.w * weight;
        sums[4] += v.x * weight, sums[5] += v.y * weight, sums[6] += v.z * weight, sums[7] += v.w * weight;
    }
    const float value = over_warps<WARPS>(sums, shared);
    const int row = first_row + warp, k = first + lane;
    if (row < rows && k < inner) dx[(int64)row * inner + k] = value;
}

// Eight elements of a row of `inner`, zeros from `count` on.
__device__ __forceinline__ void load_eight(const float* from, int count, int inner, float (&to)[WARPS]) {
    if (inner % 4 == 0 && (uint64)from % 16 == 0) {
        const float4 none = make_float4(0, 0, 0, 0), *const at = reinterpret_cast<const float4*>(from);
        const float4 u = count > 0 ? at[0] : none, v = count > 4 ? at[1] : none;
        to[0] = u.x, to[1] = u.y, to[2] = u.z, to[3] = u.w, to[4] = v.x, to[5] = v.y, to[6] = v.z, to[7] = v.w;
        return;
    }
#pragma unroll
    for (int r = 0; r < WARPS; ++r) to[r] = r < count ? from[r] : 0;
}

// dW = x^T dy for WARPS rows and 32 columns of the kernel; the first row of blocks: db, the sums of dy.
__device__ __forceinline__ void dense_dw(const float* x, const float* dy, const float* y, float* dweights, float* dbias,
                                         int rows, int inner, int outer, int block, float* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, tiles = (outer + 31) / 32;
    const int first = block / tiles * WARPS, column = block % tiles * 32 + lane, end = rows * (warp + 1) / WARPS;
    float sums[WARPS] = {}, bias_sum = 0;
    for (int m = rows * warp / WARPS; m < end; m += AHEAD) {  // their loads are under way at the same time
        float d[AHEAD], v[AHEAD][WARPS];
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            d[j] = m + j < end && column < outer ? masked(dy, y, (int64)(m + j) * outer + column) : 0;
            load_eight(x + (int64)(m + j) * inner + first, m + j < end ? inner - first : 0, inner, v[j]);
        }
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            bias_sum += d[j];
#pragma unroll
            for (int r = 0; r < WARPS; ++r) sums[r] += d[j] * v[j][r];
        }
    }
    const float value = over_warps<WARPS>(sums, shared);
    if (first + warp < inner && column < outer) dweights[(int64)(first + warp) * outer + column] = value;
    __syncthreads();
    shared[warp * 32 + lane] = bias_sum;
    __syncthreads();
    if (!dbias || first || warp || column >= outer) return;
    for (int w = 1; w < WARPS; ++w) bias_sum += shared[w * 32 + lane];
    dbias[column] = bias_sum;
}

// Both products of the gradient in one launch, where `y`, if not null, says what ReLU let through: blocks below `dx_blocks`,
// tile by tile, compute dx, the others dW and db.
extern "C" __global__ void __launch_bounds__(256)
    dense_backward(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ y,
                   const float* __restrict__ dy, float* __restrict__ dx, float* __restrict__ dweights,
                   float* __restrict__ dbias, int rows, int inner, int outer, int dx_blocks) {
    DYNAMIC_SHARED(float, shared);
    if ((int)blockIdx.x < dx_blocks)
        dense_dx(weights, dy, y, dx, rows, inner, outer, blockIdx.x, shared);
    else
        dense_dw(x, dy, y, dweights, dbias, rows, inner, outer, blockIdx.x - dx_blocks, shared);
}
