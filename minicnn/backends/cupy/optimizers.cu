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
constexpr int PER_BLOCK = 256, LINES = PER_BLOCK / 32, FEW_PARTS = 8;

__device__ __forceinline__ void add_totals(const REAL* loss, const unsigned char* hit, int rows, double* report,
                                           int hits_at, const int64* iteration, bool is_bad) {
    __shared__ double sums[PER_BLOCK];
    __shared__ int hits[PER_BLOCK];
    double sum = 0;
    int count = 0;
    for (int row = threadIdx.x; row < rows; row += PER_BLOCK) {
        sum += loss[row];
        count += hit[row];
    }
    sums[threadIdx.x] = sum;
    hits[threadIdx.x] = count;
    __syncthreads();
    if (threadIdx.x) return;
    for (int other = 1; other < PER_BLOCK; ++other) {
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

// `optimize` where gradients lie in parts, which are added first and written to `grad`. Blocks of PER_BLOCK threads: as many
// elements where parts are few, else 32, with the parts among the lines. If `loss` is not null it holds the rows' losses,
// each of them times the number of samples: block 0 adds them to the totals, and nothing changes if one is not finite.
extern "C" __global__ void __launch_bounds__(256)
    optimize_parts(REAL* theta, REAL* grad, REAL* first, REAL* second, int rule, double rate, const double* rate_at,
                   double* bad, REAL a, REAL b, REAL epsilon, const REAL* loss, const unsigned char* hit, int rows,
                   int hits_at, const int64* iteration, Segments segments) {
    __shared__ int bad_rows[LINES];
    int is_bad = bad && *bad >= 0;
    if (loss) {
        for (int row = threadIdx.x; row < rows; row += PER_BLOCK) is_bad |= !(loss[row] - loss[row] == 0);
        is_bad = __ballot_sync(0xffffffffu, is_bad) != 0;
    }
    if (threadIdx.x % 32 == 0) bad_rows[threadIdx.x / 32] = is_bad;
    __syncthreads();
    for (int line = 0; line < LINES; ++line) is_bad |= bad_rows[line];
    int s = 0;
    while (s + 1 < segments.count && segments.of[s + 1].block <= (int)blockIdx.x) ++s;
    const Segment segment = segments.of[s];
    const REAL* const parts = reinterpret_cast<const REAL*>(segment.parts);
    const int block = blockIdx.x - segment.block;
    const bool is_many = segment.count > FEW_PARTS;
    const int i = is_many ? block * 32 + threadIdx.x % 32 : block * PER_BLOCK + threadIdx.x;
    REAL g = 0;
    if (is_many)
        g = sum_of_parts(parts, segment.count, segment.stride, i, i < segment.size);
    else if (i < segment.size)
        for (int part = 0; part < segment.count; ++part) g += parts[(int64)part * segment.stride + i];
    if (i < segment.size && !is_bad && (!is_many || threadIdx.x < 32)) {
        const int64 at = segment.first + i;
        const REAL lr = rate_at ? *rate_at : rate;
        grad[at] = g;
        move(theta + at, g, first ? first + at : first, second ? second + at : second, rule, lr, a, b, epsilon);
    }
    if (loss && blockIdx.x == 0) add_totals(loss, hit, rows, bad, hits_at, iteration, is_bad);
}
