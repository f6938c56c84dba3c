// What kernels of the gradients of kernels on tensor cores have in common.

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

__device__ __forceinline__ bool is_finite(float value) { return fabsf(value) <= 3.4028234663852886e38f; }
