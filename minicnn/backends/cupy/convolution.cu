// Convolution as matrix products whose left side is never written down ("implicit GEMM"; Chetlur et al.: "cuDNN:
// efficient primitives for deep learning", 2014). A matrix product is the convolution of images of one pixel.
//
// A block of threads computes a tile BM x BN of the result. It walks along the sum in slices of BK terms: while the
// threads multiply the slice that lies in shared memory, the next one is on its way from global memory into registers,
// and then goes into the other half of the shared memory, so that one barrier a slice is enough. Every thread keeps
// TM x TN sums in registers, in chunks of 4 x 4, for which it reads 16 bytes at a time.

constexpr int BK = 8;
constexpr int OUTSIDE = -(1 << 29);  // a row coordinate that no tap brings back into the image

// out[m, n] = sum over k of source[m, k] * matrix[k, n]; row m is a position in an image, k a tap and a channel.
struct Product {
    int rows, columns, depth;       // of one group: positions, output channels, taps * input channels
    int row_height, row_width;      // positions in one image
    int height, width, channels;    // of the source image; channels of all groups
    int group_channels, kernel_width;
    int step_y, step_x;             // pixels from tap to tap; negative in the gradient
    int scale_y, scale_x;           // pixels from position to position
    int divide_y, divide_x;         // in the gradient: only every so many rows hold a pixel
    int offset_y, offset_x;
    int matrix_row, matrix_group;   // elements from row to row, from group to group
    int out_channels;               // of all groups
    int splits, slices_per_split;   // the sum is cut into so many parts, each of which has its own result
    int relu;
    int pool_height, pool_width, pool_stride_y, pool_stride_x;  // pool_height > 0: rows are the pixels of 2 x 2 windows
};

template <int COUNT>
struct Pack {
    REAL v[COUNT];
};
template <>
struct __align__(16) Pack<4> {
    REAL v[4];
};

template <int COUNT>
__device__ __forceinline__ Pack<COUNT> load(const REAL* p) {
    return *reinterpret_cast<const Pack<COUNT>*>(p);
}

template <int COUNT>
__device__ __forceinline__ void store(REAL* p, const Pack<COUNT>& pack) {
    *reinterpret_cast<Pack<COUNT>*>(p) = pack;
}

template <int COUNT>
__device__ __forceinline__ Pack<COUNT> nothing() {
    Pack<COUNT> pack;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) pack.v[i] = 0;
    return pack;
}

// sums += left' * right for one slice; `left` holds BK rows of BM, `right` BK rows of BN elements (and padding).
template <int BM, int BN, int TM, int TN>
__device__ __forceinline__ void multiply(const REAL (*left)[BM + 4], const REAL (*right)[BN], int ty, int tx,
                                         REAL (&sums)[TM][TN]) {
#pragma unroll
    for (int k = 0; k < BK; ++k) {
        REAL l[TM], r[TN];
#pragma unroll
        for (int chunk = 0; chunk < TM / 4; ++chunk) {
            const Pack<4> four = load<4>(&left[k][chunk * (BM * 4 / TM) + ty * 4]);
#pragma unroll
            for (int i = 0; i < 4; ++i) l[chunk * 4 + i] = four.v[i];
        }
#pragma unroll
        for (int chunk = 0; chunk < TN / 4; ++chunk) {
            const Pack<4> four = load<4>(&right[k][chunk * (BN * 4 / TN) + tx * 4]);
#pragma unroll
            for (int i = 0; i < 4; ++i) r[chunk * 4 + i] = four.v[i];
        }
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) sums[i][j] += l[i] * r[j];
    }
}

// Rows of a row-major matrix into shared memory, by way of registers. `COUNT` elements an access.
template <int BN, int COUNT, int THREADS>
struct MatrixSlice {
    static constexpr int LANES = BN / COUNT, LOADS = (BK * LANES + THREADS - 1) / THREADS;
    Pack<COUNT> held[LOADS];

    // Row k of the slice is row `first + k` of the matrix; rows from `end` on and columns from `columns` on are zeros.
    __device__ __forceinline__ void fetch(const REAL* matrix, int64 first, int64 end, int row_length, int column,
                                          int columns) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int place = threadIdx.x + i * THREADS, k = place / LANES, j = column + place % LANES * COUNT;
            const bool inside = k < BK && first + k < end && j < columns;
            held[i] = inside ? load<COUNT>(matrix + (first + k) * row_length + j) : nothing<COUNT>();
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BN]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int place = threadIdx.x + i * THREADS, k = place / LANES;
            if (k < BK) store<COUNT>(&shared[k][place % LANES * COUNT], held[i]);
        }
    }
};

// One pixel for each row of the tile and one tap and channel for each term: the left side of a `Product`.
template <int BM, int COUNT, int THREADS>
struct GatheredSlice {
    static constexpr int LANES = BK / COUNT, ROW_STEP = THREADS / LANES, LOADS = BM / ROW_STEP;
    Pack<COUNT> held[LOADS];
    int k, tap_y, tap_x, channel;  // of this thread's lane in the next slice

    __device__ __forceinline__ void start(const Product& p, int first) {
        k = first + threadIdx.x % LANES * COUNT;
        const int tap = k / p.group_channels;
        channel = k % p.group_channels;
        tap_y = tap / p.kernel_width;
        tap_x = tap % p.kernel_width;
    }

    __device__ __forceinline__ void fetch(const Product& p, const REAL* source, const int64* image, const int* row_y,
                                          const int* row_x, int end) {
        const int down = tap_y * p.step_y, right = tap_x * p.step_x;
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int row = threadIdx.x / LANES + i * ROW_STEP;
            int y = row_y[row] + down, x = row_x[row] + right;
            bool inside = k < end && y >= 0 && x >= 0;
            if (p.divide_y > 1) {
                inside = inside && y % p.divide_y == 0;
                y /= p.divide_y;
            }
            if (p.divide_x > 1) {
                inside = inside && x % p.divide_x == 0;
                x /= p.divide_x;
            }
            inside = inside && y < p.height && x < p.width;
            held[i] = inside ? load<COUNT>(source + image[row] + (y * p.width + x) * p.channels + channel)
                             : nothing<COUNT>();
        }
        k += BK;
        channel += BK;
        while (channel >= p.group_channels) {
            channel -= p.group_channels;
            if (++tap_x == p.kernel_width) {
                tap_x = 0;
                ++tap_y;
            }
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BM + 4]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i)
#pragma unroll
            for (int j = 0; j < COUNT; ++j)
                shared[threadIdx.x % LANES * COUNT + j][threadIdx.x / LANES + i * ROW_STEP] = held[i].v[j];
    }
};

// Where the rows of a tile lie: the start of their image, and the pixel that a tap (0, 0) meets.
template <int BM, int THREADS>
__device__ __forceinline__ void locate_rows(const Product& p, int first, int first_channel, int64* image, int* row_y,
                                            int* row_x) {
    for (int i = threadIdx.x; i < BM; i += THREADS) {
        int row = first + i, down = 0, right = 0;
        image[i] = 0;
        row_y[i] = row_x[i] = OUTSIDE;
        if (row >= p.rows) continue;
        int height = p.row_height, width = p.row_width, stride_y = 1, stride_x = 1;
        if (p.pool_height) {  // row = 4 * cell + tap of the pooling window
            down = row % 4 / 2;
            right = row % 2;
            row /= 4;
            height = p.pool_height, width = p.pool_width, stride_y = p.pool_stride_y, stride_x = p.pool_stride_x;
        }
        const int x = row % width * stride_x + right, y = row / width % height * stride_y + down;
        image[i] = (int64)(row / width / height) * p.height * p.width * p.channels + first_channel;
        row_y[i] = y * p.scale_y + p.offset_y;
        row_x[i] = x * p.scale_x + p.offset_x;
    }
}

__device__ __forceinline__ REAL activate(REAL value, bool relu) { return relu && value < 0 ? REAL(0) : value; }

// bias and ReLU, then the tile's sums into the result.
template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void write_rows(const Product& p, const REAL* bias, REAL* out, int row, int column,
                                           int first_column, int ty, int tx, const REAL (&sums)[TM][TN]) {
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = row + i / 4 * (BM * 4 / TM) + ty * 4 + i % 4;
        if (m >= p.rows) continue;
#pragma unroll
        for (int chunk = 0; chunk < TN / 4; ++chunk) {
            const int n = column + chunk * (BN * 4 / TN) + tx * 4;
            REAL* target = out + (int64)m * p.out_channels + first_column + n;
#pragma unroll
            for (int j = 0; j < 4; j += COUNT) {
                if (n + j >= p.columns) continue;
                Pack<COUNT> pack;
#pragma unroll
                for (int e = 0; e < COUNT; ++e) {
                    const REAL offset = bias ? bias[first_column + n + j + e] : REAL(0);
                    pack.v[e] = activate(sums[i][chunk * 4 + j + e] + offset, p.relu);
                }
                store<COUNT>(target + j, pack);
            }
        }
    }
}

// The maximum of each four rows, which are one pooling window; then bias and ReLU, which change no order.
template <int BM, int BN, int TM, int TN>
__device__ __forceinline__ void write_pooled(const Product& p, const REAL* bias, REAL* out, unsigned char* winner,
                                             int row, int column, int ty, int tx, const REAL (&sums)[TM][TN]) {
#pragma unroll
    for (int chunk = 0; chunk < TM / 4; ++chunk) {
        const int m = row + chunk * (BM * 4 / TM) + ty * 4;
        if (m >= p.rows) continue;
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int n = column + j / 4 * (BN * 4 / TN) + tx * 4 + j % 4;
            if (n >= p.columns) continue;
            REAL best = sums[chunk * 4][j];
            unsigned char tap = 0;
#pragma unroll
            for (int t = 1; t < 4; ++t) {
                const REAL other = sums[chunk * 4 + t][j];
                if (other > best || (other != other && best == best)) {  // NaN beats every number
                    best = other;
                    tap = t;
                }
            }
            if (bias) best += bias[n];
            const int64 place = (int64)(m / 4) * p.out_channels + n;
            if (winner) winner[place] = p.relu && best <= 0 ? 255 : tap;
            out[place] = activate(best, p.relu);
        }
    }
}

template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void gathered_product(const REAL* __restrict__ source, const REAL* __restrict__ matrix,
                                                 const REAL* __restrict__ bias, REAL* __restrict__ out,
                                                 unsigned char* __restrict__ winner, const Product& p) {
    constexpr int THREADS = (BM / TM) * (BN / TN);
    __shared__ __align__(16) REAL left[2][BK][BM + 4];  // 4: neighbouring terms lie in different banks
    __shared__ __align__(16) REAL right[2][BK][BN];
    __shared__ int64 image[BM];
    __shared__ int row_y[BM], row_x[BM];

    const int row = blockIdx.x * BM, column = blockIdx.y * BN;
    const int split = blockIdx.z % p.splits, group = blockIdx.z / p.splits;
    const int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
    const int first = split * p.slices_per_split * BK;
    const int end = min(p.depth, first + p.slices_per_split * BK);
    matrix += (int64)group * p.matrix_group;

    locate_rows<BM, THREADS>(p, row, group * p.group_channels, image, row_y, row_x);
    __syncthreads();

    REAL sums[TM][TN] = {};
    GatheredSlice<BM, COUNT, THREADS> rows;
    MatrixSlice<BN, COUNT, THREADS> columns;
    rows.start(p, first);
    rows.fetch(p, source, image, row_y, row_x, end);
    columns.fetch(matrix, first, end, p.matrix_row, column, p.columns);
    rows.put(left[0]);
    columns.put(right[0]);
    __syncthreads();
    int half = 0;
    for (int k = first + BK; k < end; k += BK) {
        rows.fetch(p, source, image, row_y, row_x, end);
        columns.fetch(matrix, k, end, p.matrix_row, column, p.columns);
        multiply<BM, BN, TM, TN>(left[half], right[half], ty, tx, sums);
        half ^= 1;
        rows.put(left[half]);
        columns.put(right[half]);
        __syncthreads();
    }
    multiply<BM, BN, TM, TN>(left[half], right[half], ty, tx, sums);

    if (p.pool_height) {
        write_pooled<BM, BN, TM, TN>(p, bias, out, winner, row, column, ty, tx, sums);
    } else {
        out += (int64)split * p.rows * p.out_channels;
        write_rows<BM, BN, TM, TN, COUNT>(p, bias, out, row, column, group * p.columns, ty, tx, sums);
    }
}

// The gradient of the kernel: out[m, n] = sum over positions k of source[k, m] * dy[k, n]; row m is a tap and a channel.
struct Correlation {
    int rows, columns, depth;     // of one group: taps * input channels, output channels, positions
    int out_height, out_width;    // positions in one image
    int height, width, channels;  // of the source image; channels of all groups
    int group_channels, kernel_width;
    int stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
    int out_channels;             // of all groups
    int splits, slices_per_split;
};

// One tap and channel for each row of the tile, one position for each term: the left side of a `Correlation`.
template <int BM, int COUNT, int THREADS>
struct TapSlice {
    static constexpr int LANES = BM / COUNT, TERM_STEP = THREADS / LANES, LOADS = BK / TERM_STEP;
    Pack<COUNT> held[LOADS];
    int k, n, y, x;            // the position of this thread in the next slice
    int down, right, channel;  // of this thread's row
    bool is_row;

    __device__ __forceinline__ void start(const Correlation& p, int row, int group, int first) {
        const int m = row + threadIdx.x % LANES * COUNT;
        const int tap = m / p.group_channels;
        is_row = m < p.rows;
        channel = group * p.group_channels + m % p.group_channels;
        down = tap / p.kernel_width * p.dilation_y - p.pad_top;
        right = tap % p.kernel_width * p.dilation_x - p.pad_left;
        k = first + threadIdx.x / LANES;
        x = k % p.out_width;
        y = k / p.out_width % p.out_height;
        n = k / p.out_width / p.out_height;
    }

    __device__ __forceinline__ void fetch(const Correlation& p, const REAL* source, int end) {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const int pixel_y = y * p.stride_y + down, pixel_x = x * p.stride_x + right;
            const bool inside = is_row && k < end && pixel_y >= 0 && pixel_y < p.height && pixel_x >= 0 &&
                                pixel_x < p.width;
            const int64 pixel = ((int64)n * p.height + pixel_y) * p.width + pixel_x;
            held[i] = inside ? load<COUNT>(source + pixel * p.channels + channel) : nothing<COUNT>();
            advance(p);
        }
    }

    __device__ __forceinline__ void advance(const Correlation& p) {
        k += TERM_STEP;
        if (p.out_width * p.out_height == 1) {
            n += TERM_STEP;
            return;
        }
        x += TERM_STEP;
        while (x >= p.out_width) {
            x -= p.out_width;
            if (++y == p.out_height) {
                y = 0;
                ++n;
            }
        }
    }

    __device__ __forceinline__ void put(REAL (*shared)[BM + 4]) const {
#pragma unroll
        for (int i = 0; i < LOADS; ++i)
            store<COUNT>(&shared[threadIdx.x / LANES + i * TERM_STEP][threadIdx.x % LANES * COUNT], held[i]);
    }
};

template <int BM, int BN, int TM, int TN, int COUNT>
__device__ __forceinline__ void correlation(const REAL* __restrict__ source, const REAL* __restrict__ dy,
                                            REAL* __restrict__ out, const Correlation& p) {
    constexpr int THREADS = (BM / TM) * (BN / TN);
    __shared__ __align__(16) REAL left[2][BK][BM + 4];
    __shared__ __align__(16) REAL right[2][BK][BN];

    const int row = blockIdx.x * BM, column = blockIdx.y * BN;
    const int split = blockIdx.z % p.splits, group = blockIdx.z / p.splits;
    const int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
    const int first = split * p.slices_per_split * BK;
    const int end = min(p.depth, first + p.slices_per_split * BK);
    dy += group * p.columns;

    REAL sums[TM][TN] = {};
    TapSlice<BM, COUNT, THREADS> taps;
    MatrixSlice<BN, COUNT, THREADS> columns;
    taps.start(p, row, group, first);
    taps.fetch(p, source, end);
    columns.fetch(dy, first, end, p.out_channels, column, p.columns);
    taps.put(left[0]);
    columns.put(right[0]);
    __syncthreads();
    int half = 0;
    for (int k = first + BK; k < end; k += BK) {
        taps.fetch(p, source, end);
        columns.fetch(dy, k, end, p.out_channels, column, p.columns);
        multiply<BM, BN, TM, TN>(left[half], right[half], ty, tx, sums);
        half ^= 1;
        taps.put(left[half]);
        columns.put(right[half]);
        __syncthreads();
    }
    multiply<BM, BN, TM, TN>(left[half], right[half], ty, tx, sums);

    out += (int64)split * p.rows * p.out_channels + group * p.columns + column;
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = row + i / 4 * (BM * 4 / TM) + ty * 4 + i % 4;
        if (m >= p.rows) continue;
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int n = j / 4 * (BN * 4 / TN) + tx * 4 + j % 4;
            if (column + n < p.columns) out[(int64)m * p.out_channels + n] = sums[i][j];
        }
    }
}

// Tiles: minicnn/backends/cupy/products.py chooses among them. `v4`: all counts of channels are multiples of 4.
#define TILE(BM, BN, TM, TN, COUNT)                                                                              \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN))                                          \
        product_##BM##x##BN##_v##COUNT(const REAL* source, const REAL* matrix, const REAL* bias, REAL* out,      \
                                       unsigned char* winner, Product p) {                                       \
        gathered_product<BM, BN, TM, TN, COUNT>(source, matrix, bias, out, winner, p);                           \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__((BM / TM) * (BN / TN))                                          \
        correlation_##BM##x##BN##_v##COUNT(const REAL* source, const REAL* dy, REAL* out, Correlation p) {       \
        correlation<BM, BN, TM, TN, COUNT>(source, dy, out, p);                                                  \
    }
#define TILES(BM, BN, TM, TN) TILE(BM, BN, TM, TN, 1) TILE(BM, BN, TM, TN, 4)

// Each tile is compiled on its own, when it is first used; 8 x 8 sums of double would not fit into registers.
#if defined(TILE_128x64)
TILES(128, 64, 8, 8)
#elif defined(TILE_64x32)
TILES(64, 32, 4, 4)
#elif defined(TILE_128x16)
TILES(128, 16, 4, 4)
#else

// y = sum of `count` parts of `size` elements + bias, then ReLU; channel = element % channels. Blocks of 32 x lines threads.
extern "C" __global__ void add_parts(const REAL* parts, int count, int64 size, const REAL* bias, int channels, int relu,
                                     REAL* y) {
    for (int64 first = (int64)blockIdx.x * 32; first < size; first += (int64)gridDim.x * 32) {
        const int64 i = first + threadIdx.x % 32;
        REAL sum = sum_of_parts(parts, count, size, i, i < size);
        if (threadIdx.x >= 32 || i >= size) continue;
        if (bias) sum += bias[i % channels];
        y[i] = relu && sum < 0 ? REAL(0) : sum;
    }
}

// y = x + bias, then ReLU: what cuBLAS leaves to do. `bias` may be null.
extern "C" __global__ void add_bias(REAL* y, const REAL* bias, int64 size, int channels, int relu) {
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const REAL value = bias ? y[i] + bias[i % channels] : y[i];
        y[i] = relu && value < 0 ? REAL(0) : value;
    }
}

// (taps, C, G, F) to (G, taps, F, C): the kernel as the gradient of the input needs it; F and C of one group.
extern "C" __global__ void transpose_kernel(const REAL* kernel, REAL* out, int taps, int channels, int groups,
                                            int filters) {
    const int64 size = (int64)taps * channels * groups * filters;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const int64 c = i % channels, f = i / channels % filters, t = i / channels / filters % taps;
        const int64 g = i / channels / filters / taps;
        out[i] = kernel[((t * channels + c) * groups + g) * filters + f];
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

#endif
