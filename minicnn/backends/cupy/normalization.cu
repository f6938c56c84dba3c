// Batch normalization: two launches forward, two back. The first one leaves sums over stretches of rows, parts, whose number
// depends on shapes alone and is so small that every block of the second one adds those of its channels itself, while the
// pixels that it begins with are on their way. Convolutions beside it may have left them. Compiled for channels of a thread
// (SIZE_0, of which an access is 16 bytes, where there are as many) and for threads side by side (SIZE_1).

constexpr int WIDTH = SIZE_0, PACKS = SIZE_1, THREADS = 512, LINES = THREADS / PACKS, WARPS = THREADS / 32;
constexpr int AHEAD = 16 / sizeof(REAL), PARTS_AHEAD = 4;  // rows, and parts of a line, that are loaded together
static_assert(WIDTH * PACKS <= 32);

struct __align__(WIDTH * sizeof(REAL)) Pack {
    REAL v[WIDTH];
};
__device__ __forceinline__ Pack load(const REAL* array, int64 i) { return *reinterpret_cast<const Pack*>(array + i); }
__device__ __forceinline__ void store(REAL* array, int64 i, const Pack& pack) { *reinterpret_cast<Pack*>(array + i) = pack; }

// f(number) for the channels of a pack.
template <typename F>
__device__ __forceinline__ Pack each(F f) {
    Pack pack;
#pragma unroll
    for (int v = 0; v < WIDTH; ++v) pack.v[v] = f(v);
    return pack;
}

// What a thread works on: the pack from `channel` on, of every LINES-th row of the block's stretch. Grid: (groups of
// channels, stretches of rows).
struct Share {
    const int line, channel, channels;
    const bool inside;
    const int64 rows, stretch;
    int64 first, end;

    __device__ __forceinline__ Share(int64 rows, int64 stretch, int channels)
        : line(threadIdx.x / PACKS), channel((blockIdx.x * PACKS + threadIdx.x % PACKS) * WIDTH), channels(channels),
          inside(channel < channels), rows(rows), stretch(stretch), first(blockIdx.y * stretch),
          end(first + rows_of(blockIdx.y)) {}
    // How many rows a part has, which may be none in the last ones.
    __device__ __forceinline__ int64 rows_of(int part) const {
        const int64 left = rows - part * stretch;
        return left < 0 ? 0 : left < stretch ? left : stretch;
    }
    __device__ __forceinline__ bool has(int64 row) const { return inside && row < end; }
    __device__ __forceinline__ int64 at(int64 row) const { return row * channels + channel; }
    // Whether this thread writes what there is once a channel.
    __device__ __forceinline__ bool speaks() const { return inside && !line && !blockIdx.y; }
    // One of numbers per channel, 0 behind the last one, `otherwise` if there are none; anywhere in memory.
    __device__ __forceinline__ Pack of(const REAL* vector, REAL otherwise = 0) const {
        return each([&](int v) { return vector && inside ? vector[channel + v] : otherwise; });
    }
};

// use(element, load(element)) for the packs of a share. Those of AHEAD rows are loaded side by side, the first ones before
// `meanwhile()`.
template <typename Load, typename Meanwhile, typename Use>
__device__ __forceinline__ void each_row(const Share& share, Load load, Meanwhile meanwhile, Use use) {
    decltype(load(int64())) loaded[AHEAD];
    int64 row = share.first + share.line;
    auto fetch = [&] {
#pragma unroll
        for (int i = 0; i < AHEAD; ++i)
            if (share.has(row + i * LINES)) loaded[i] = load(share.at(row + i * LINES));
    };
    fetch();
    meanwhile();
    while (share.has(row)) {
#pragma unroll
        for (int i = 0; i < AHEAD; ++i)
            if (share.has(row + i * LINES)) use(share.at(row + i * LINES), loaded[i]);
        row += AHEAD * LINES;
        fetch();
    }
}

// Adds up what the lines of a block have, per channel, in an order that depends on nothing; all threads must call it, and
// all get the sums of their channels.
template <int COUNT>
__device__ __forceinline__ void add_lines(Pack (&sums)[COUNT]) {
    __shared__ REAL scratch[COUNT][WARPS][33], totals[COUNT][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
#pragma unroll
            for (int step = PACKS; step < 32; step *= 2)
                sums[i].v[v] += __shfl_xor_sync(0xffffffffu, sums[i].v[v], step);
            if (lane < PACKS) scratch[i][warp][lane * WIDTH + v] = sums[i].v[v];
        }
    __syncthreads();
    const int channel = threadIdx.x / WARPS, other = threadIdx.x % WARPS;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        REAL sum = channel < PACKS * WIDTH ? scratch[i][other][channel] : REAL(0);
#pragma unroll
        for (int step = 1; step < WARPS; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (!other) totals[i][channel] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < COUNT; ++i) sums[i] = each([&](int v) { return totals[i][lane % PACKS * WIDTH + v]; });
}

// Of each stretch of rows the mean, and the sum of the squared differences from it. Both are sums of differences from the
// stretch's first row (Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
extern "C" __global__ void __launch_bounds__(512)
    moments_of_parts(const REAL* x, REAL* means, REAL* squares, REAL* counts, int64 rows, int64 stretch, int channels) {
    const Share share(rows, stretch, channels);
    const Pack shift = share.has(share.first) ? load(x, share.at(share.first)) : Pack{};
    Pack sums[2] = {};
    auto add = [&](int64, const Pack& pixel) {
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
            const REAL difference = pixel.v[v] - shift.v[v];
            sums[0].v[v] += difference;
            sums[1].v[v] += difference * difference;
        }
    };
    each_row(share, [&](int64 i) { return load(x, i); }, [] {}, add);
    add_lines(sums);
    if (share.line || !share.inside) return;
    const REAL count = share.end - share.first;
    if (share.channel == 0) counts[blockIdx.y] = count;
    const Pack mean = each([&](int v) { return count ? sums[0].v[v] / count : REAL(0); });
    store(means, share.at(blockIdx.y), each([&](int v) { return shift.v[v] + mean.v[v]; }));
    store(squares, share.at(blockIdx.y), each([&](int v) { return sums[1].v[v] - mean.v[v] * sums[0].v[v]; }));
}

// PARTS_AHEAD parts of a line, from `first` on, those that there are: f(number of its turn, part).
template <typename F>
__device__ __forceinline__ void each_part(const Share& share, int first, int parts, F f) {
#pragma unroll
    for (int turn = 0; turn < PARTS_AHEAD; ++turn)
        if (share.inside && first + turn * LINES < parts) f(turn, first + turn * LINES);
}

// Mean and variance of all rows, from those of the parts, which have `counts` rows. The parts of a line come
// together first, then the lines (Chan, Golub, LeVeque, as above).
__device__ __forceinline__ void moments_of_all(const Share& share, const REAL* means, const REAL* squares,
                                               const REAL* counts, int parts, Pack& mean, Pack& variance) {
    const Pack shift = share.inside ? load(means, share.channel) : Pack{};
    REAL rows = 0;
    Pack own = {}, square = {}, sums[1] = {};
    for (int first = share.line; first < parts; first += PARTS_AHEAD * LINES) {
        REAL rows_of[PARTS_AHEAD];
        Pack means_of[PARTS_AHEAD], squares_of[PARTS_AHEAD];
        each_part(share, first, parts, [&](int turn, int part) {
            rows_of[turn] = counts[part];
            means_of[turn] = load(means, share.at(part));
            squares_of[turn] = load(squares, share.at(part));
        });
        each_part(share, first, parts, [&](int turn, int) {
            if (rows_of[turn] == 0) return;
            const REAL before = rows;
            rows += rows_of[turn];
            const REAL weight = rows_of[turn] / rows;
#pragma unroll
            for (int v = 0; v < WIDTH; ++v) {
                const REAL difference = means_of[turn].v[v] - own.v[v];
                own.v[v] += difference * weight;
                square.v[v] += squares_of[turn].v[v] + difference * difference * before * weight;
            }
        });
    }
    if (rows > 0) sums[0] = each([&](int v) { return rows * (own.v[v] - shift.v[v]); });
    add_lines(sums);
    mean = each([&](int v) { return shift.v[v] + sums[0].v[v] / share.rows; });
    sums[0] = square;
    if (rows > 0)
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
            const REAL difference = own.v[v] - mean.v[v];
            sums[0].v[v] += rows * difference * difference;
        }
    add_lines(sums);
    variance = each([&](int v) { return sums[0].v[v] / share.rows; });
}

// What x becomes in a channel, before an addition.
__device__ __forceinline__ REAL affine(REAL x, REAL mean, REAL scale, REAL beta) { return (x - mean) * scale + beta; }

// What a pack is normalized with: the moments of the parts, which `moving` follows (+= follow * (batch - moving)), or,
// without parts, the moving averages.
struct Averages {
    const REAL *means, *squares, *counts;
    int parts;
    REAL follow, epsilon, *mean, *inverse_std, *moving_mean, *moving_variance;

    __device__ __forceinline__ void get(const Share& share, Pack& batch_mean, Pack& batch_inverse_std) const {
        const Pack old_mean = share.of(moving_mean), old_variance = share.of(moving_variance);
        Pack variance = old_variance;
        batch_mean = old_mean;
        if (parts) moments_of_all(share, means, squares, counts, parts, batch_mean, variance);
        batch_inverse_std = each([&](int v) { return 1 / sqrt(variance.v[v] + epsilon); });
        if (!share.speaks()) return;
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
            const int c = share.channel + v;
            mean[c] = batch_mean.v[v];
            inverse_std[c] = batch_inverse_std.v[v];
            if (!parts) continue;
            moving_mean[c] = old_mean.v[v] + follow * (batch_mean.v[v] - old_mean.v[v]);
            moving_variance[c] = old_variance.v[v] + follow * (variance.v[v] - old_variance.v[v]);
        }
    }
};

extern "C" __global__ void __launch_bounds__(512)
    normalize(const REAL* x, const REAL* means, const REAL* squares, const REAL* counts, int parts, REAL follow,
              REAL epsilon, REAL* mean_of, REAL* inverse_std_of, REAL* moving_mean, REAL* moving_variance,
              const REAL* gamma, const REAL* beta, const REAL* added, REAL* y, int relu, int64 rows, int64 stretch,
              int channels) {
    struct Read {
        Pack x, added;
    };
    const Share share(rows, stretch, channels);
    const Averages averages{means,   squares, counts,         parts,       follow,
                            epsilon, mean_of, inverse_std_of, moving_mean, moving_variance};
    Pack mean, scale, shift;
    auto prepare = [&] {
        const Pack factor = share.of(gamma, 1);
        shift = share.of(beta);
        averages.get(share, mean, scale);
        scale = each([&](int v) { return scale.v[v] * factor.v[v]; });
    };
    auto read = [&](int64 i) { return Read{load(x, i), added ? load(added, i) : Pack{}}; };
    auto write = [&](int64 i, const Read& read) {
        store(y, i, each([&](int v) {
                  REAL value = affine(read.x.v[v], mean.v[v], scale.v[v], shift.v[v]);
                  value = added ? value + read.added.v[v] : value;
                  return relu && value <= 0 ? REAL(0) : value;
              }));
    };
    each_row(share, read, prepare, write);
}

// What the gradients read: moments and weights, and dy, to which `more` is added, if that is not null, and which ReLU, if
// there is one, lets through where y, or, without it, what x becomes, is positive or NaN.
struct Passed {
    const REAL *x, *y, *dy, *more;
    bool relu;
    Pack mean, inverse_std, scale, beta;

    struct Read {
        Pack x, y, dy, more;
    };
    __device__ __forceinline__ Passed(const Share& share, const REAL* x, const REAL* means, const REAL* inverse_stds,
                                      const REAL* gamma, const REAL* betas, const REAL* y, const REAL* dy,
                                      const REAL* more, int relu)
        : x(x), y(y), dy(dy), more(more), relu(relu), mean(share.of(means)), inverse_std(share.of(inverse_stds)),
          scale(share.of(gamma, 1)), beta(share.of(betas)) {
        scale = each([&](int v) { return inverse_std.v[v] * scale.v[v]; });
    }
    __device__ __forceinline__ Read read(int64 i) const {
        return {load(x, i), relu && y ? load(y, i) : Pack{}, load(dy, i), more ? load(more, i) : Pack{}};
    }
    __device__ __forceinline__ REAL normalized(const Read& read, int v) const {
        return (read.x.v[v] - mean.v[v]) * inverse_std.v[v];
    }
    __device__ __forceinline__ Pack gradient(const Read& read) const {
        return each([&](int v) {
            const REAL value = y ? read.y.v[v] : affine(read.x.v[v], mean.v[v], scale.v[v], beta.v[v]);
            const REAL dy = more ? read.dy.v[v] + read.more.v[v] : read.dy.v[v];
            return relu && value <= 0 ? REAL(0) : dy;
        });
    }
};

// parts_dy: of dy, as far as ReLU lets it through, which `masked` gets too, if not null, and which may be dy itself;
// parts_x: of dy * normalized x.
extern "C" __global__ void __launch_bounds__(512)
    norm_gradient_sums(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma, const REAL* beta,
                       const REAL* y, const REAL* dy, const REAL* more, int relu, REAL* masked, REAL* parts_dy,
                       REAL* parts_x, int64 rows, int64 stretch, int channels) {
    const Share share(rows, stretch, channels);
    const Passed passed(share, x, mean, inverse_std, gamma, beta, y, dy, more, relu);
    Pack sums[2] = {};
    auto add = [&](int64 i, const Passed::Read& read) {
        const Pack d = passed.gradient(read);
        if (masked) store(masked, i, d);
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
            sums[0].v[v] += d.v[v];
            sums[1].v[v] += d.v[v] * passed.normalized(read, v);
        }
    };
    each_row(share, [&](int64 i) { return passed.read(i); }, [] {}, add);
    add_lines(sums);
    if (share.line || !share.inside) return;
    store(parts_dy, share.at(blockIdx.y), sums[0]);
    store(parts_x, share.at(blockIdx.y), sums[1]);
}

// dx = factor * (dy - (sum of dy + normalized x * sum of dy * normalized x) / rows), of dy as far as ReLU lets it through,
// which `masked` gets too; without the sums, if the moments were none of the batch's. dbeta and dgamma are these sums.
// What is null is not written.
extern "C" __global__ void __launch_bounds__(512)
    normalize_gradient(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma, const REAL* beta,
                       const REAL* y, const REAL* dy, int relu, REAL* masked, const REAL* parts_dy, const REAL* parts_x,
                       int parts, int of_batch, REAL* dgamma, REAL* dbeta, REAL* dx, int64 rows, int64 stretch,
                       int channels) {
    Share share(rows, stretch, channels);
    if (!dx && !masked) share.end = share.first;
    const Passed passed(share, x, mean, inverse_std, gamma, beta, y, dy, nullptr, relu);
    Pack sums[2] = {};
    auto prepare = [&] {
        if (!parts) return;
        for (int first = share.line; first < parts; first += PARTS_AHEAD * LINES) {
            Pack of_dy[PARTS_AHEAD], of_x[PARTS_AHEAD];
            each_part(share, first, parts, [&](int turn, int part) {
                of_dy[turn] = load(parts_dy, share.at(part));
                of_x[turn] = load(parts_x, share.at(part));
            });
            each_part(share, first, parts, [&](int turn, int) {
#pragma unroll
                for (int v = 0; v < WIDTH; ++v) {
                    sums[0].v[v] += of_dy[turn].v[v];
                    sums[1].v[v] += of_x[turn].v[v];
                }
            });
        }
        add_lines(sums);
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) {
            if (share.speaks() && dbeta) dbeta[share.channel + v] = sums[0].v[v];
            if (share.speaks() && dgamma) dgamma[share.channel + v] = sums[1].v[v];
            sums[0].v[v] /= rows, sums[1].v[v] /= rows;
        }
    };
    auto write = [&](int64 i, const Passed::Read& read) {
        const Pack d = passed.gradient(read);
        if (masked) store(masked, i, d);
        if (!dx) return;
        store(dx, i, each([&](int v) {
                  const REAL shift = sums[0].v[v] + passed.normalized(read, v) * sums[1].v[v];
                  return passed.scale.v[v] * (of_batch ? d.v[v] - shift : d.v[v]);
              }));
    };
    each_row(share, [&](int64 i) { return passed.read(i); }, prepare, write);
}
