// What tensor cores need: instructions of sm_80 and later, each in a function, and how a float32 is multiplied by them.
//
// A tensor core takes factors of 11 bits ("TF32") and adds float32. x = big + small, big = x rounded to 11 bits, small =
// the rest, of which 11 bits more are used: small * big + big * small + big * big has float32's accuracy (Ootomo, Yokota:
// "Recovering single precision accuracy from Tensor Cores", 2022). Tensor cores cut, they do not round, when they add, which
// over many terms is a bias: so every few terms start from zero and are added to the sums by ordinary, rounding adders.

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
__device__ __forceinline__ uint32 shared_address(const void* p) { return (uint32)__cvta_generic_to_shared(p); }

// A copy of 16 bytes into shared memory, of zeros if not `inside`, that is under way until its group was waited for, after
// which a barrier is due.
__device__ __forceinline__ void copy_in_group(uint32 to, const float* from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
__device__ __forceinline__ void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int COUNT>
__device__ __forceinline__ void wait_for_all_groups_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(COUNT) : "memory");
}

// Four matrices of 8 rows of 16 bytes: lane i gives the address of row i % 8 of matrix i / 8, and gets the 32 bits of row
// i / 4, word i % 4, of each.
__device__ __forceinline__ void load_matrices(uint32 address, uint32& a, uint32& b, uint32& c, uint32& d) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                 : "r"(address)
                 : "memory");
}

// sum (16 x 8) += a (16 x 8) * b (8 x 8). Lane i holds of a: row i / 4 (+ 8), term i % 4 (then + 4); of b: term i % 4
// (+ 4), column i / 4; of the sums: row i / 4, columns 2 (i % 4) and the next, then the same of row i / 4 + 8.
__device__ __forceinline__ void multiply(float (&sum)[4], const uint32 (&a)[4], const uint32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ uint32 round_to_tf32(uint32 x) {
    uint32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(__uint_as_float(x)));
    return y;
}

// sum (16 x 8) += a (16 x 16) * b (16 x 8) of bfloat16, two in 32 bits. Lane i holds of a: row i / 4 (then + 8), terms
// 2 (i % 4) and the next one, then the same 8 terms further; of b: these terms, column i / 4; of the sums: as above.
__device__ __forceinline__ void multiply_bfloat16(float (&sum)[4], const uint32 (&a)[4], const uint32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two float32 as bfloat16, to the nearest, halves to even: the first one in the lower 16 bits.
__device__ __forceinline__ uint32 pair_of_bfloat16(uint32 first, uint32 second) {
    uint32 y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(__uint_as_float(second)), "f"(__uint_as_float(first)));
    return y;
}
#endif

constexpr int BFLOAT16 = 0, HALVES = 2;  // as the number of products of TF32: one of bfloat16, or three of halves, instead

// Two eights of terms, as `multiply` takes each, become a sixteen for `multiply_bfloat16`. Its neighbouring terms 2 i and
// 2 i + 1 are then i and i + 4 of an eight: sums do not mind the order, if both factors have the same.
__device__ __forceinline__ void pair_up(uint32 (&a)[4], const uint32 (&next)[4]) {
    a[0] = pair_of_bfloat16(a[0], a[2]), a[1] = pair_of_bfloat16(a[1], a[3]);
    a[2] = pair_of_bfloat16(next[0], next[2]), a[3] = pair_of_bfloat16(next[1], next[3]);
}
__device__ __forceinline__ void pair_up(uint32 (&b)[2], const uint32 (&next)[2]) {
    b[0] = pair_of_bfloat16(b[0], b[1]), b[1] = pair_of_bfloat16(next[0], next[1]);
}

// x becomes what of it fits into 11 bits, small the rest: the multiplier ignores its last 13 bits.
__device__ __forceinline__ void leave_over(uint32& x, uint32& small) {
    const float whole = __uint_as_float(x);
    x = round_to_tf32(x);
    small = __float_as_uint(whole - __uint_as_float(x));
}

// sums += a * b, tile by tile; PRODUCTS 1: the factors rounded to 11 bits, 3: float32's accuracy.
template <int PRODUCTS, int MT, int NT>
__device__ __forceinline__ void multiply_tiles(float (&sums)[MT][NT][4], uint32 (&a)[MT][4], uint32 (&b)[NT][2]) {
    if constexpr (PRODUCTS == 3) {
        uint32 small_a[MT][4], small_b[NT][2];
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) leave_over(a[i][e], small_a[i][e]);
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) leave_over(b[j][e], small_b[j][e]);
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < NT; ++j) multiply(sums[i][j], small_a[i], b[j]);
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < NT; ++j) multiply(sums[i][j], a[i], small_b[j]);
    } else {
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) a[i][e] = round_to_tf32(a[i][e]);
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) b[j][e] = round_to_tf32(b[j][e]);
    }
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j) multiply(sums[i][j], a[i], b[j]);
}

// The same of EIGHTS times eight terms, which `load(eight, a, b)` brings.
template <int PRODUCTS, int EIGHTS, int MT, int NT, class Load>
__device__ __forceinline__ void multiply_eights(float (&sums)[MT][NT][4], const Load& load) {
#pragma unroll
    for (int k = 0; k < EIGHTS; k += PRODUCTS == BFLOAT16 ? 2 : 1) {
        uint32 a[MT][4], b[NT][2];
        load(k, a, b);
        if constexpr (PRODUCTS == BFLOAT16) {
            uint32 next_a[MT][4], next_b[NT][2];
            load(k + 1, next_a, next_b);
#pragma unroll
            for (int i = 0; i < MT; ++i) pair_up(a[i], next_a[i]);
#pragma unroll
            for (int j = 0; j < NT; ++j) pair_up(b[j], next_b[j]);
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < NT; ++j) multiply_bfloat16(sums[i][j], a[i], b[j]);
        } else {
            multiply_tiles<PRODUCTS>(sums, a, b);
        }
    }
}

template <int MT, int NT>
__device__ __forceinline__ void add_tiles(float (&sums)[MT][NT][4], const float (&more)[MT][NT][4]) {
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) sums[i][j][e] += more[i][j][e];
}

// Whether all sums are numbers. Infinity leaves NaN over, and the largest numbers are rounded to infinity: what is not
// finite here is computed again by float32's own multiplications.
template <int MT, int NT>
__device__ __forceinline__ bool are_finite(const float (&sums)[MT][NT][4]) {
    bool finite = true;
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) finite = finite && fabsf(sums[i][j][e]) <= 3.4028234663852886e38f;
    return finite;
}

// n / d for 0 <= n < 2^31, with magic = floor(2^(31 + shift) / d) + 1, shift = the bits of d - 1.
__device__ __forceinline__ int divide(int n, int magic, int shift) {
    return shift ? __umulhi(n, (uint32)magic) >> (shift - 1) : n;
}
