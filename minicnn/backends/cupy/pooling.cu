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
