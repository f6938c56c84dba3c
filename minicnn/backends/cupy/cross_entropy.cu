// The cross-entropy of a softmax, and its gradient. Targets are class numbers or probabilities.

// Sums over the threads of a block in a fixed order: a tree. Every thread gets the result.
// `scratch` has blockDim.x elements, a power of two.
template <typename T>
__device__ T block_sum(T value, T* scratch) {
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
        __syncthreads();
    }
    const T total = scratch[0];
    __syncthreads();  // before the caller uses the scratch again
    return total;
}

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
