// The rest of a training step: loss, dropout, optimizers, loading a batch, and what a captured graph reads anew each time.

// ------------------------------------------------------------------------------------------------------------ loss

template <typename T>
struct IsLabel {
    static constexpr bool value = false;
};
template <>
struct IsLabel<int64> {
    static constexpr bool value = true;
};

template <typename T>
__device__ __forceinline__ REAL target_sum(const T* target, int classes) {
    if (IsLabel<T>::value) return 1;
    REAL sum = 0;
    for (int c = 0; c < classes; ++c) sum += target[c];
    return sum;
}

// The target of class c in a row: of class numbers, one number is the row.
template <typename T>
__device__ __forceinline__ REAL target_of(const T* target, int c) {
    return IsLabel<T>::value ? REAL(target[0] == c) : REAL(target[IsLabel<T>::value ? 0 : c]);
}

// One thread a row.
template <typename T>
__device__ __forceinline__ void cross_entropy(const REAL* logits, const T* target, const REAL* weight, REAL* loss,
                                              REAL* dlogits, int64 rows, int classes) {
    for (int64 row = first_element(); row < rows; row += all_threads()) {
        const REAL* z = logits + row * classes;
        const T* t = target + (IsLabel<T>::value ? row : row * classes);
        REAL top = z[0], total = 0, value = 0;
        for (int c = 1; c < classes; ++c) top = z[c] > top || z[c] != z[c] ? z[c] : top;
        for (int c = 0; c < classes; ++c) total += exp(z[c] - top);
        const REAL log_total = log(total);
        if (IsLabel<T>::value)
            value = z[(int64)t[0]] - top - log_total;
        else
            for (int c = 0; c < classes; ++c) value += target_of(t, c) * (z[c] - top - log_total);
        loss[row] = -value;
        if (!dlogits) continue;
        const REAL sum = target_sum(t, classes);
        for (int c = 0; c < classes; ++c)
            dlogits[row * classes + c] = (exp(z[c] - top) / total * sum - target_of(t, c)) * weight[row];
    }
}

// One block a row, for many classes.
template <typename T>
__device__ __forceinline__ void cross_entropy_by_blocks(const REAL* logits, const T* target, const REAL* weight,
                                                        REAL* loss, REAL* dlogits, int64 rows, int classes) {
    __shared__ REAL scratch[128];
    for (int64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const REAL* z = logits + row * classes;
        const T* t = target + (IsLabel<T>::value ? row : row * classes);
        REAL top = z[0];
        for (int c = threadIdx.x; c < classes; c += blockDim.x) top = z[c] > top || z[c] != z[c] ? z[c] : top;
        scratch[threadIdx.x] = top;
        __syncthreads();
        for (int other = 0; other < blockDim.x; ++other)
            top = scratch[other] > top || scratch[other] != scratch[other] ? scratch[other] : top;
        __syncthreads();
        REAL part = 0;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) part += exp(z[c] - top);
        const REAL total = block_sum(part, scratch), log_total = log(total);
        REAL value = 0, sum = 0;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) {
            if (!IsLabel<T>::value) {
                value += target_of(t, c) * (z[c] - top - log_total);
                sum += target_of(t, c);
            }
        }
        value = IsLabel<T>::value ? z[(int64)t[0]] - top - log_total : block_sum(value, scratch);
        sum = IsLabel<T>::value ? REAL(1) : block_sum(sum, scratch);
        if (threadIdx.x == 0) loss[row] = -value;
        if (!dlogits) continue;
        for (int c = threadIdx.x; c < classes; c += blockDim.x)
            dlogits[row * classes + c] = (exp(z[c] - top) / total * sum - target_of(t, c)) * weight[row];
    }
}

#define CROSS_ENTROPY(NAME, TARGET)                                                                               \
    extern "C" __global__ void cross_entropy_##NAME(const REAL* logits, const TARGET* target, const REAL* weight, \
                                                    REAL* loss, REAL* dlogits, int64 rows, int classes) {         \
        cross_entropy<TARGET>(logits, target, weight, loss, dlogits, rows, classes);                              \
    }                                                                                                             \
    extern "C" __global__ void cross_entropy_##NAME##_by_blocks(const REAL* logits, const TARGET* target,         \
                                                                const REAL* weight, REAL* loss, REAL* dlogits,    \
                                                                int64 rows, int classes) {                        \
        cross_entropy_by_blocks<TARGET>(logits, target, weight, loss, dlogits, rows, classes);                    \
    }
CROSS_ENTROPY(labels, int64)
CROSS_ENTROPY(probabilities, REAL)

// --------------------------------------------------------------------------------------------------- random numbers

// y = x * factor where the element's random number is at least `rate`, else x * 0. The step is read from `step_at`, if
// that is not null.
extern "C" __global__ void dropout(const REAL* x, REAL* y, int64 size, float rate, REAL factor, uint64 seed,
                                   uint32 stream, uint64 step, const uint64* step_at) {
    if (step_at) step = *step_at;
    for (int64 block = first_element(); block * 4 < size; block += all_threads()) {
        uint32 words[4];
        philox(block, stream, step, seed, words);
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const int64 i = block * 4 + word;
            if (i < size) y[i] = x[i] * (random_number(words[word]) >= rate ? factor : REAL(0));
        }
    }
}

// -------------------------------------------------------------------------------------------------------- optimizers

enum Rule { SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP };

// One step of any rule on a stretch of the flat vectors; formulas: docs/formulas.md. `a` and `b` are what a rule has
// besides the rate and epsilon: the momentum, or how fast the averages follow. `rate_at`, if not null, holds the rate,
// and `bad` the number of the first step whose loss was not finite, from which on nothing changes.
extern "C" __global__ void optimize(REAL* theta, const REAL* grad, REAL* first, REAL* second, int64 size, int rule,
                                    double rate, const double* rate_at, const double* bad, REAL a, REAL b,
                                    REAL epsilon) {
    if (bad && *bad >= 0) return;
    const REAL lr = rate_at ? *rate_at : rate;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const REAL g = grad[i];
        REAL delta;
        switch (rule) {
            case SGD: delta = lr * g; break;
            case MOMENTUM:
                first[i] = a * first[i] - lr * g;
                delta = -first[i];
                break;
            case NESTEROV:
                first[i] = a * first[i] - lr * g;
                delta = lr * g - a * first[i];
                break;
            case ADAM:
                first[i] += a * (g - first[i]);
                second[i] += b * (g * g - second[i]);
                delta = lr * first[i] / (sqrt(second[i]) + epsilon);
                break;
            case ADAGRAD:
                first[i] += g * g;
                delta = lr * g / sqrt(first[i] + epsilon);
                break;
            case ADADELTA: {
                first[i] += a * (g * g - first[i]);
                const REAL move = sqrt(second[i] + epsilon) / sqrt(first[i] + epsilon) * g;
                second[i] += a * (move * move - second[i]);
                delta = lr * move;
                break;
            }
            default:
                first[i] += a * (g * g - first[i]);
                delta = lr * g / sqrt(first[i] + epsilon);
        }
        theta[i] -= delta;
    }
}

// ------------------------------------------------------------------------------------------------- loading a batch

// out[i] = source[order[start + i]] for `rows` rows of `width` elements; `order` null: start + i; `start` null: 0.
template <typename S, typename T>
__device__ __forceinline__ void gather(const S* source, const int64* order, const int64* start, T* out, int64 rows,
                                       int64 width) {
    const int64 first = start ? *start : 0;
    for (int64 i = first_element(); i < rows * width; i += all_threads()) {
        const int64 row = first + i / width;
        out[i] = (T)source[(order ? order[row] : row) * width + i % width];
    }
}

#define GATHER(NAME, SOURCE, TARGET)                                                                                \
    extern "C" __global__ void gather_##NAME(const SOURCE* source, const int64* order, const int64* start,          \
                                             TARGET* out, int64 rows, int64 width) {                                \
        gather<SOURCE, TARGET>(source, order, start, out, rows, width);                                             \
    }
GATHER(b1, unsigned char, REAL)
GATHER(u1, unsigned char, REAL)
GATHER(i1, signed char, REAL)
GATHER(u2, unsigned short, REAL)
GATHER(i2, short, REAL)
GATHER(u4, unsigned int, REAL)
GATHER(i4, int, REAL)
GATHER(u8, unsigned long long, REAL)
GATHER(i8, long long, REAL)
GATHER(f4, float, REAL)
GATHER(f8, double, REAL)
GATHER(labels, int64, int64)

// ------------------------------------------------------------------------------- what a captured graph reads anew

// The numbers of the next step, where the graph's kernels read them.
extern "C" __global__ void set_step(double* rates, int64* counters, double rate, double learning_rate, int64 step,
                                    int64 start) {
    rates[0] = rate;
    rates[1] = learning_rate;
    counters[0] = step;
    counters[1] = start;
}

// report[1] += loss * count. report[0] is the number of the first step whose loss was not finite, -1 for none; from that
// step on, weights do not decay either.
extern "C" __global__ void record_loss(const double* loss, double* report, double count, double* rates,
                                       const int64* counters) {
    report[1] += *loss * count;
    if (!(*loss - *loss == 0) && report[0] < 0) report[0] = counters[0];
    if (report[0] >= 0) rates[1] = 0;
}

// target = source, if a step was bad: puts the moving averages back.
extern "C" __global__ void restore_if_bad(REAL* target, const REAL* source, int64 size, const double* bad) {
    if (*bad < 0) return;
    for (int64 i = first_element(); i < size; i += all_threads()) target[i] = source[i];
}
