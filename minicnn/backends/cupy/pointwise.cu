// Functions of single numbers, of arrays that lie alike: 16 bytes an access, two accesses of a thread under way at once.

constexpr int WIDTH = 16 / sizeof(REAL), AT_ONCE = 2;
struct __align__(16) Pack {
    REAL v[WIDTH];
};

// y = f(one number of each array). The first `packs` packs of elements are moved as such, whose addresses must be aligned
// then; what is left, one by one. y may be one of the arrays.
template <int COUNT, typename F>
__device__ __forceinline__ void each(const REAL* const (&arrays)[COUNT], REAL* y, int64 packs, int64 size, F f) {
    for (int64 i = (int64)blockIdx.x * (AT_ONCE * blockDim.x) + threadIdx.x; i < packs; i += AT_ONCE * all_threads()) {
        Pack held[AT_ONCE][COUNT];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k)
#pragma unroll
            for (int a = 0; a < COUNT; ++a)
                if (i + k * blockDim.x < packs)
                    held[k][a] = reinterpret_cast<const Pack*>(arrays[a])[i + k * blockDim.x];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
            if (i + k * blockDim.x >= packs) continue;
            Pack result;
#pragma unroll
            for (int v = 0; v < WIDTH; ++v) {
                REAL numbers[COUNT];
#pragma unroll
                for (int a = 0; a < COUNT; ++a) numbers[a] = held[k][a].v[v];
                result.v[v] = f(numbers);
            }
            reinterpret_cast<Pack*>(y)[i + k * blockDim.x] = result;
        }
    }
    for (int64 i = packs * WIDTH + first_element(); i < size; i += all_threads()) {
        REAL numbers[COUNT];
#pragma unroll
        for (int a = 0; a < COUNT; ++a) numbers[a] = arrays[a][i];
        y[i] = f(numbers);
    }
}

// 0 of -0, too; NaN of NaN.
__device__ __forceinline__ REAL rectified(REAL x) { return x <= 0 ? REAL(0) : x; }

extern "C" __global__ void __launch_bounds__(256) plain_relu(const REAL* x, REAL* y, int64 packs, int64 size) {
    const REAL* const arrays[1] = {x};
    each(arrays, y, packs, size, [](const REAL(&v)[1]) { return rectified(v[0]); });
}

#define OF_TWO(NAME, VALUE)                                                                           \
    extern "C" __global__ void __launch_bounds__(256)                                                 \
        plain_##NAME(const REAL* a, const REAL* b, REAL* y, int64 packs, int64 size) {                \
        const REAL* const arrays[2] = {a, b};                                                         \
        each(arrays, y, packs, size, [](const REAL(&v)[2]) { return VALUE; });                        \
    }
OF_TWO(add, v[0] + v[1])
OF_TWO(multiply, v[0] * v[1])
OF_TWO(added_relu, rectified(v[0] + v[1]))
OF_TWO(relu_gradient, v[0] <= 0 ? REAL(0) : v[1])  // of (x or y, dy): dy where x is above 0 or NaN
