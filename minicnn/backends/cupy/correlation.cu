// What the kernels for gradients of convolutions' kernels have in common: which share of which gradient a block computes, and
// a sum by float32's multiplications.

// One sum of a split by float32's multiplications; outside the image are zeros.
__device__ __forceinline__ float plain_sum(const float* x, const float* dy, const Correlation& g, int tap_row, int q, int c,
                                           int f, int first, int end) {
    float sum = 0;
#pragma unroll 1
    for (int m = first; m < end && sum == sum; ++m) {  // NaN stays NaN: no time is lost to it
        const int line = divide(m, g.width_magic, g.width_shift), image = divide(m, g.image_magic, g.image_shift);
        const int row = (line - image * g.out_height) * g.stride_y + tap_row - g.pad_top;
        const int column = (m - line * g.out_width) * g.stride_x + q - g.pad_left;
        const bool inside = row >= 0 && row < g.height && column >= 0 && column < g.width;
        const int64 pixel = ((int64)image * g.height + row) * g.width + column;
        sum += (inside ? x[pixel * g.channels + c] : 0.0f) * dy[(int64)m * g.filters + f];
    }
    return sum;
}

// What a block computes: row of taps, channels and filters number `block` of a share of the positions, the `split`. parts:
// (splits, taps, C, F); bias_parts: (splits, F) or null. Written by the file that this one is a part of.
__device__ __forceinline__ void correlate_share(const float* __restrict__ x, const float* __restrict__ dy,
                                                float* __restrict__ parts, float* __restrict__ bias_parts,
                                                const Correlation& g, uint32 block, uint32 split);

extern "C" __global__ void __launch_bounds__(SIZE_2 * SIZE_3 * 32, SIZE_4)
#if SIZE_8  // of several kernels: the blocks of the first one's gradient, of the next one's, …
    correlate(const __grid_constant__ Correlations all) {
    int number = 0;
    while (number + 1 < all.count && blockIdx.x >= all.of[number + 1].first) ++number;
    const OneOfSeveral& one = all.of[number];
    const uint32 of_one = blockIdx.x - one.first, blocks = one.blocks;
    correlate_share((const float*)one.x, (const float*)one.dy, (float*)one.parts, (float*)one.bias_parts, one.of,
                    of_one % blocks, of_one / blocks);
}
#else  // grid: blocks in x, splits in y
    correlate(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts,
              float* __restrict__ bias_parts, const Correlation g) {
    correlate_share(x, dy, parts, bias_parts, g, blockIdx.x, blockIdx.y);
}
#endif
