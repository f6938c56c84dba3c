// What products by cuBLAS need beside them: windows as rows, and bias and ReLU behind.

// y = x + bias, then ReLU: what cuBLAS leaves to do. `bias` may be null.
extern "C" __global__ void add_bias(REAL* y, const REAL* bias, int64 size, int channels, int relu) {
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const REAL value = bias ? y[i] + bias[i % channels] : y[i];
        y[i] = relu && value < 0 ? REAL(0) : value;
    }
}

// Every window as a row: columns (G, N * OH * OW, taps, C of one group), for cuBLAS.
extern "C" __global__ void im2col(const REAL* x, REAL* columns, int images, int channels, int groups, Window w) {
    const int group_channels = channels / groups, taps = w.kernel_height * w.kernel_width;
    const int64 positions = (int64)images * w.out_height * w.out_width;
    const int64 size = positions * taps * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const int c = i % group_channels, t = i / group_channels % taps;
        const int64 position = i / group_channels / taps % positions, g = i / group_channels / taps / positions;
        const int64 n = position / w.out_width / w.out_height;
        const int y = position / w.out_width % w.out_height * w.stride_y + t / w.kernel_width * w.dilation_y - w.pad_top;
        const int xx = position % w.out_width * w.stride_x + t % w.kernel_width * w.dilation_x - w.pad_left;
        const bool inside = y >= 0 && y < w.in_height && xx >= 0 && xx < w.in_width;
        columns[i] = inside ? x[((n * w.in_height + y) * w.in_width + xx) * channels + g * group_channels + c] : REAL(0);
    }
}

// The adjoint of im2col: every pixel adds up the windows that it lies in, in the order of the taps.
extern "C" __global__ void col2im(const REAL* columns, REAL* x, int images, int channels, int groups, Window w) {
    const int group_channels = channels / groups, taps = w.kernel_height * w.kernel_width;
    const int64 positions = (int64)images * w.out_height * w.out_width;
    const int64 size = (int64)images * w.in_height * w.in_width * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const int c = i % channels, xx = i / channels % w.in_width, y = i / channels / w.in_width % w.in_height;
        const int64 n = i / channels / w.in_width / w.in_height, g = c / group_channels;
        REAL sum = 0;
        for (int p = 0; p < w.kernel_height; ++p) {
            const int row = y + w.pad_top - p * w.dilation_y;
            if (row < 0 || row % w.stride_y || row / w.stride_y >= w.out_height) continue;
            for (int q = 0; q < w.kernel_width; ++q) {
                const int column = xx + w.pad_left - q * w.dilation_x;
                if (column < 0 || column % w.stride_x || column / w.stride_x >= w.out_width) continue;
                const int64 position = (n * w.out_height + row / w.stride_y) * w.out_width + column / w.stride_x;
                sum += columns[((g * positions + position) * taps + p * w.kernel_width + q) * group_channels +
                               c % group_channels];
            }
        }
        x[i] = sum;
    }
}
