// Pooling, one thread for each element that is written: gradients are gathered, so overlapping windows need no atomics.

// The pixels of the image in the window of a cell, in the order of their taps: f(index of the pixel's element, tap).
template <typename F>
__device__ __forceinline__ void each_tap(const Window& w, int64 cell, int channels, F f) {
    const int c = cell % channels, left = cell / channels % w.out_width * w.stride_x - w.pad_left;
    const int top = cell / channels / w.out_width % w.out_height * w.stride_y - w.pad_top;
    const int64 image = cell / channels / w.out_width / w.out_height * w.in_height;
    for (int p = 0; p < w.kernel_height; ++p) {
        const int row = top + p * w.dilation_y;
        if (row < 0 || row >= w.in_height) continue;
        for (int q = 0; q < w.kernel_width; ++q) {
            const int column = left + q * w.dilation_x;
            if (column < 0 || column >= w.in_width) continue;
            f(((image + row) * w.in_width + column) * channels + c, p * w.kernel_width + q);
        }
    }
}

// Winners as in minicnn/backends/reference/pooling.py: the first tap that holds the maximum, 255 where ReLU blocked it.
extern "C" __global__ void max_pool(const REAL* x, REAL* y, unsigned char* winner, int images, int channels, int relu,
                                    Window w) {
    const int64 size = (int64)images * w.out_height * w.out_width * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL best = __int_as_float(0xff800000);  // minus infinity
        int winning = 0;
        each_tap(w, i, channels, [&](int64 at, int tap) {
            const REAL pixel = x[at];
            if (pixel > best || (pixel != pixel && best == best)) {  // NaN beats every number
                best = pixel;
                winning = tap;
            }
        });
        if (winner) winner[i] = relu && best <= 0 ? 255 : winning;
        y[i] = relu && best < 0 ? REAL(0) : best;
    }
}

// The windows that a pixel lies in, in the order of their taps: f(index of the window's element, tap).
template <typename F>
__device__ __forceinline__ void each_window(const Window& w, int64 i, int channels, F f) {
    const int c = i % channels, column = i / channels % w.in_width + w.pad_left;
    const int row = i / channels / w.in_width % w.in_height + w.pad_top;
    const int64 image = i / channels / w.in_width / w.in_height * w.out_height;
    for (int p = 0; p < w.kernel_height; ++p) {
        const int down = row - p * w.dilation_y;
        if (down < 0 || down % w.stride_y || down / w.stride_y >= w.out_height) continue;
        for (int q = 0; q < w.kernel_width; ++q) {
            const int right = column - q * w.dilation_x;
            if (right < 0 || right % w.stride_x || right / w.stride_x >= w.out_width) continue;
            f(((image + down / w.stride_y) * w.out_width + right / w.stride_x) * channels + c, p * w.kernel_width + q);
        }
    }
}

extern "C" __global__ void max_pool_gradient(const REAL* dy, const unsigned char* winner, REAL* dx, int images,
                                             int channels, Window w) {
    const int64 size = (int64)images * w.in_height * w.in_width * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL sum = 0;
        each_window(w, i, channels, [&](int64 cell, int tap) {
            if (winner[cell] == tap) sum += dy[cell];
        });
        dx[i] = sum;
    }
}

// ------------------------------------------------------------------------ windows of 2 x 2 side by side, float alone

// What the copy's rate takes: 16 bytes an access, neighbouring lanes side by side, several accesses of a thread under way
// at once, and no 64-bit divisions: the grid has a dimension for rows of windows.
#ifdef IS_FLOAT

// Four channels of a window; as `max_pool`. Grid: (columns x quads / threads, rows of windows of all images).
extern "C" __global__ void __launch_bounds__(256)
    max_pool_pairs(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ winner, int quads,
                 int relu, Window w) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;  // column of windows, quad of channels
    if (i >= w.out_width * quads) return;
    const int image = blockIdx.y / w.out_height, row = blockIdx.y % w.out_height, line = w.in_width * quads;
    const float4* const at = reinterpret_cast<const float4*>(x) + ((int64)image * w.in_height + row * 2) * line +
                             i / quads * 2 * quads + i % quads;
    const float4 v[4] = {at[0], at[quads], at[line], at[line + quads]};
    float best[4];
    unsigned char taken[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) {
        best[c] = (&v[0].x)[c];
        taken[c] = 0;
#pragma unroll
        for (int t = 1; t < 4; ++t) {
            const float other = (&v[t].x)[c];
            if (other > best[c] || (other != other && best[c] == best[c])) {
                best[c] = other;
                taken[c] = t;
            }
        }
        if (relu && best[c] <= 0) taken[c] = 255;
        if (relu && best[c] < 0) best[c] = 0;
    }
    const int64 to = (int64)blockIdx.y * w.out_width * quads + i;
    __stcs(reinterpret_cast<float4*>(y) + to, make_float4(best[0], best[1], best[2], best[3]));
    if (winner) reinterpret_cast<uchar4*>(winner)[to] = make_uchar4(taken[0], taken[1], taken[2], taken[3]);
}

// The grid has windows that hang over the edge too, so that every pixel is written.
extern "C" __global__ void __launch_bounds__(256)
    max_pool_pairs_gradient(const float* __restrict__ dy, const unsigned char* __restrict__ winner, float* __restrict__ dx,
                          int quads, Window w) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, columns = (w.in_width + 1) / 2, rows = (w.in_height + 1) / 2;
    if (i >= columns * quads) return;
    const int q = i % quads, column = i / quads, image = blockIdx.y / rows, row = blockIdx.y % rows;
    const bool is_window = row < w.out_height && column < w.out_width;
    const int64 from = (((int64)image * w.out_height + row) * w.out_width + column) * quads + q;
    const float4 d = is_window ? reinterpret_cast<const float4*>(dy)[from] : make_float4(0, 0, 0, 0);
    const uchar4 taken = is_window ? reinterpret_cast<const uchar4*>(winner)[from] : make_uchar4(255, 255, 255, 255);
    float4* const to =
        reinterpret_cast<float4*>(dx) + (((int64)image * w.in_height + row * 2) * w.in_width + column * 2) * quads + q;
#pragma unroll
    for (int t = 0; t < 4; ++t)
        if (row * 2 + t / 2 < w.in_height && column * 2 + t % 2 < w.in_width)
            __stcs(to + (t / 2 * w.in_width + t % 2) * quads,
                   make_float4(taken.x == t ? d.x : 0, taken.y == t ? d.y : 0, taken.z == t ? d.z : 0,
                               taken.w == t ? d.w : 0));
}
#endif

// How many pixels of a window lie in the image, along one axis.
__device__ __forceinline__ int pixels_inside(int start, int taps, int dilation, int size) {
    int count = 0;
    for (int t = 0; t < taps; ++t) count += start + t * dilation >= 0 && start + t * dilation < size;
    return count;
}

__device__ __forceinline__ int pixels_in_window(const Window& w, int64 cell, int channels) {
    const int left = cell / channels % w.out_width * w.stride_x - w.pad_left;
    const int top = cell / channels / w.out_width % w.out_height * w.stride_y - w.pad_top;
    return pixels_inside(top, w.kernel_height, w.dilation_y, w.in_height) *
           pixels_inside(left, w.kernel_width, w.dilation_x, w.in_width);
}

extern "C" __global__ void average_pool(const REAL* x, REAL* y, int images, int channels, Window w) {
    const int64 size = (int64)images * w.out_height * w.out_width * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL sum = 0;
        each_tap(w, i, channels, [&](int64 at, int) { sum += x[at]; });
        y[i] = sum / pixels_in_window(w, i, channels);
    }
}

extern "C" __global__ void average_pool_gradient(const REAL* dy, REAL* dx, int images, int channels, Window w) {
    const int64 size = (int64)images * w.in_height * w.in_width * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL sum = 0;
        each_window(w, i, channels,
                    [&](int64 cell, int tap) { sum += dy[cell] / pixels_in_window(w, cell, channels); });
        dx[i] = sum;
    }
}
