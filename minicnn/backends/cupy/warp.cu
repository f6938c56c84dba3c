// Images seen through a matrix each. As in minicnn/backends/reference/warp.py, points of an image are whole multiples of
// 2^-32, so that every backend reads the same pixels.

constexpr int64 ONE = (int64)1 << 32;

enum Fill { CONSTANT, NEAREST, REFLECT, WRAP };  // minicnn.geometry.FILL_MODES

// The pixel that stands for pixel number `index`; -1 is the fill value.
__device__ __forceinline__ int64 extended(int64 index, int size, int fill) {
    if (fill == CONSTANT) return index >= 0 && index < size ? index : -1;
    if (fill == NEAREST) return index < 0 ? 0 : index >= size ? size - 1 : index;
    const int64 period = fill == WRAP ? size : 2 * (int64)size;
    const int64 at = (index % period + period) % period;
    return fill == WRAP || at < size ? at : period - 1 - at;
}

__device__ __forceinline__ int64 fixed_point(double entry) {
    const double limited = entry < -65536.0 ? -65536.0 : entry > 65536.0 ? 65536.0 : entry;
    return (int64)floor(limited * 4294967296.0 + 0.5);
}

// f(row, column, weight) for every pixel that pixel (i, j) of an image reads; -1 for the fill value.
template <typename F>
__device__ __forceinline__ void each_tap(const double* matrix, int i, int j, int height, int width, int bilinear,
                                         int fill, F f) {
    const int64 x = fixed_point(matrix[0]) * j + fixed_point(matrix[1]) * i + fixed_point(matrix[2]);
    const int64 y = fixed_point(matrix[3]) * j + fixed_point(matrix[4]) * i + fixed_point(matrix[5]);
    if (!bilinear) {
        const int64 row = y < 0 ? -((ONE / 2 - y) >> 32) : (y + ONE / 2) >> 32;
        const int64 column = x < 0 ? -((ONE / 2 - x) >> 32) : (x + ONE / 2) >> 32;
        f(extended(row, height, fill), extended(column, width, fill), REAL(1));
        return;
    }
    const REAL down = REAL((y & (ONE - 1)) >> 8) * REAL(1.0 / 16777216.0);
    const REAL right = REAL((x & (ONE - 1)) >> 8) * REAL(1.0 / 16777216.0);
    for (int p = 0; p < 2; ++p)
        for (int q = 0; q < 2; ++q)
            f(extended((y >> 32) + p, height, fill), extended((x >> 32) + q, width, fill),
              (p ? down : 1 - down) * (q ? right : 1 - right));
}

extern "C" __global__ void warp(const REAL* x, const double* matrix, REAL* y, int images, int height, int width,
                                int channels, int bilinear, int fill, REAL fill_value) {
    const int64 size = (int64)images * height * width * channels;
    for (int64 element = first_element(); element < size; element += all_threads()) {
        const int c = element % channels, j = element / channels % width, i = element / channels / width % height;
        const int64 n = element / channels / width / height;
        REAL sum = 0;
        each_tap(matrix + n * 6, i, j, height, width, bilinear, fill, [&](int64 row, int64 column, REAL weight) {
            const bool inside = row >= 0 && column >= 0;
            sum += weight * (inside ? x[((n * height + row) * width + column) * channels + c] : fill_value);
        });
        y[element] = sum;
    }
}

// dx starts as zeros. One thread an image and channel, so that pixels add up in a fixed order: augmentation usually comes
// first in a model, where nobody wants this gradient.
extern "C" __global__ void warp_gradient(const REAL* dy, const double* matrix, REAL* dx, int images, int height,
                                         int width, int channels, int bilinear, int fill) {
    for (int64 element = first_element(); element < (int64)images * channels; element += all_threads()) {
        const int64 n = element / channels, c = element % channels;
        for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j) {
                const REAL d = dy[((n * height + i) * width + j) * channels + c];
                each_tap(matrix + n * 6, i, j, height, width, bilinear, fill, [&](int64 row, int64 column, REAL weight) {
                    if (row >= 0 && column >= 0) dx[((n * height + row) * width + column) * channels + c] += weight * d;
                });
            }
    }
}
