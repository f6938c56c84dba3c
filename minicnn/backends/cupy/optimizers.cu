// One update of the weights, by any rule, on flat vectors.

enum Rule { SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP };

// One element's update by a rule; formulas: docs/formulas.md. `a` and `b` are what a rule has besides the rate and epsilon:
// the momentum, or how fast the averages follow.
__device__ __forceinline__ void move(REAL* theta, REAL g, REAL* first, REAL* second, int rule, REAL lr, REAL a, REAL b,
                                     REAL epsilon) {
    REAL delta;
    switch (rule) {
        case SGD: delta = lr * g; break;
        case MOMENTUM:
            *first = a * *first - lr * g;
            delta = -*first;
            break;
        case NESTEROV:
            *first = a * *first - lr * g;
            delta = lr * g - a * *first;
            break;
        case ADAM:
            *first += a * (g - *first);
            *second += b * (g * g - *second);
            delta = lr * *first / (sqrt(*second) + epsilon);
            break;
        case ADAGRAD:
            *first += g * g;
            delta = lr * g / sqrt(*first + epsilon);
            break;
        case ADADELTA: {
            *first += a * (g * g - *first);
            const REAL step = sqrt(*second + epsilon) / sqrt(*first + epsilon) * g;
            *second += a * (step * step - *second);
            delta = lr * step;
            break;
        }
        default:
            *first += a * (g * g - *first);
            delta = lr * g / sqrt(*first + epsilon);
    }
    *theta -= delta;
}

// One update by any rule on a stretch of the flat vectors. `rate_at`, if not null, holds the rate, and `bad` the first
// iteration whose loss was not finite, -1 for none: from then on nothing changes.
extern "C" __global__ void optimize(REAL* theta, const REAL* grad, REAL* first, REAL* second, int64 size, int rule,
                                    double rate, const double* rate_at, const double* bad, REAL a, REAL b,
                                    REAL epsilon) {
    if (bad && *bad >= 0) return;
    const REAL lr = rate_at ? *rate_at : rate;
    for (int64 i = first_element(); i < size; i += all_threads())
        move(theta + i, grad[i], first ? first + i : first, second ? second + i : second, rule, lr, a, b, epsilon);
}

// The sum of the loss of a batch and of its hits, added to `report` by one block of PER_BLOCK threads, in a fixed order:
// report[1] += the losses, report[hits_at] += the hits; report[0] becomes the iteration if the loss is not finite, the
// first time.
constexpr int PER_BLOCK = 256, LINES = PER_BLOCK / 32, FEW_PARTS = 8, WIDE = 128;

__device__ __forceinline__ void add_totals(const REAL* loss, const unsigned char* hit, int rows, double* report,
                                           int hits_at, const int64* iteration, bool is_bad) {
    __shared__ double sums[LINES];
    __shared__ int hits[LINES];
    double sum = 0;
    int count = 0;
    for (int row = threadIdx.x; row < rows; row += PER_BLOCK) {
        sum += loss[row];
        count += hit[row];
    }
#pragma unroll
    for (int step = 16; step; step /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
        count += __shfl_xor_sync(0xffffffffu, count, step);
    }
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = sum;
        hits[threadIdx.x / 32] = count;
    }
    __syncthreads();
    if (threadIdx.x) return;
#pragma unroll
    for (int other = 1; other < LINES; ++other) {
        sum += sums[other];
        count += hits[other];
    }
    report[1] += sum;
    if (hits_at) report[hits_at] += count;
    if (is_bad && report[0] < 0) report[0] = *iteration;
}

// The same by a launch of its own, for who looks at the report before the optimizer's kernel runs; then weights do not decay.
extern "C" __global__ void record_rows(const REAL* loss, const unsigned char* hit, int rows, int hits_at,
                                       const int64* iteration, double* rates, double* report) {
    __shared__ int any_bad;
    int is_bad = 0;
    if (threadIdx.x == 0) any_bad = 0;
    __syncthreads();
    for (int row = threadIdx.x; row < rows; row += PER_BLOCK) is_bad |= !(loss[row] - loss[row] == 0);
    if (is_bad) any_bad = 1;
    __syncthreads();
    add_totals(loss, hit, rows, report, hits_at, iteration, any_bad);
    if (threadIdx.x == 0 && report[0] >= 0) rates[1] = 0;
}

// Element `at` of parts `first`, `first` + step, …, added in their order; BATCH loads are under way at a time.
template <int BATCH, int COUNT>
__device__ __forceinline__ void add_batches(const REAL* parts, const Segment& segment, int at, int first, int step,
                                            REAL (&sums)[COUNT]) {
    for (int part = first; part < segment.count; part += BATCH * step) {
        REAL ahead[BATCH][COUNT];
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
#pragma unroll
            for (int e = 0; e < COUNT; ++e) {
                const bool is_there = part + b * step < segment.count && at + 32 * e < segment.size;
                ahead[b][e] = is_there ? parts[(part + b * step) * (int64)segment.stride + at + 32 * e] : REAL(0);
            }
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
#pragma unroll
            for (int e = 0; e < COUNT; ++e) sums[e] += ahead[b][e];
    }
}

// Each line's share of the parts of 32 COUNT elements, into `scratch`.
template <int BATCH, int COUNT>
__device__ __forceinline__ void add_lines(const REAL* parts, const Segment& segment, int first, REAL* scratch) {
    const int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    REAL sums[COUNT] = {};
    add_batches<BATCH>(parts, segment, first + lane, line, LINES, sums);
#pragma unroll
    for (int e = 0; e < COUNT; ++e) scratch[line * 32 * COUNT + 32 * e + lane] = sums[e];
}

// `optimize` where gradients lie in parts, which are added first and written to `grad`. Blocks of PER_BLOCK threads serve
// `width` elements of a segment: a thread each where parts are few, else 32 or 128, with the parts among the lines. If
// `loss` is not null it holds the rows' losses, each of them times the number of samples: block 0 adds them to the totals,
// and nothing changes if one is not finite. What can be loaded is loaded before the barrier: a chain of loads costs most.
extern "C" __global__ void __launch_bounds__(256)
    optimize_parts(REAL* __restrict__ theta, REAL* grad, REAL* __restrict__ first, REAL* __restrict__ second, int rule,
                   double rate, const double* rate_at, double* bad, REAL a, REAL b, REAL epsilon,
                   const REAL* __restrict__ loss, const unsigned char* __restrict__ hit, int rows, int hits_at,
                   const int64* iteration, Segments segments) {
    __shared__ int bad_rows[LINES];
    __shared__ REAL scratch[LINES * WIDE];
    const REAL lr = rate_at ? *rate_at : rate;
    int is_bad = bad && *bad >= 0;
    if (loss)
        for (int row = threadIdx.x; row < rows; row += PER_BLOCK) is_bad |= !(loss[row] - loss[row] == 0);
    const Segment segment = segments.of[entry_of_block(segments)];
    const REAL* const parts = reinterpret_cast<const REAL*>(segment.parts);
    const int begin = (blockIdx.x - segment.block) * segment.width, i = begin + threadIdx.x;
    const bool is_own = (int)threadIdx.x < segment.width && i < segment.size;
    const int64 at = segment.first + i;
    REAL value = 0, first_value = 0, second_value = 0, g = 0;
    if (is_own) {
        value = theta[at];
        if (first) first_value = first[at];
        if (second) second_value = second[at];
    }
    if (segment.width == WIDE)
        add_lines<4, WIDE / 32>(parts, segment, begin, scratch);
    else if (segment.width == 32)
        add_lines<16, 1>(parts, segment, begin, scratch);
    else if (is_own) {
        REAL sum[1] = {};
        add_batches<FEW_PARTS>(parts, segment, i, 0, 1, sum);
        g = sum[0];
    }
    is_bad = __ballot_sync(0xffffffffu, is_bad) != 0;
    if (threadIdx.x % 32 == 0) bad_rows[threadIdx.x / 32] = is_bad;
    __syncthreads();
#pragma unroll
    for (int line = 0; line < LINES; ++line) is_bad |= bad_rows[line];
    if (is_own && !is_bad) {
        if (segment.width != PER_BLOCK)
#pragma unroll
            for (int line = 0; line < LINES; ++line) g += scratch[line * segment.width + threadIdx.x];
        if (parts + i != grad + at || segment.count != 1) grad[at] = g;
        move(&value, g, &first_value, &second_value, rule, lr, a, b, epsilon);
        theta[at] = value;
        if (first) first[at] = first_value;
        if (second) second[at] = second_value;
    }
    if (loss && blockIdx.x == 0) add_totals(loss, hit, rows, bad, hits_at, iteration, is_bad);
}
