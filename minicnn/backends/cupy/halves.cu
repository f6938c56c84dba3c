// float32 as the sum of two halves of 11 bits each, big + small, once a power of two has brought it into their range. Numbers that
// share one, as factors of a sum do by which its result is multiplied afterwards, may have any size; of them what lies more than
// 2^17 below the largest loses digits, of which one is 2^-39 of the largest. With numbers of 2^60 or more there is no result, but
// NaN: float32's multiplications serve then.

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
// Two float32 as halves, to the nearest, halves to even: `low` in the lower 16 bits.
__device__ __forceinline__ uint32 two_halves(float low, float high) {
    uint32 y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
__device__ __forceinline__ float low_half(uint32 x) {
    float y;
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l;}" : "=f"(y) : "r"(x));
    return y;
}
__device__ __forceinline__ float high_half(uint32 x) {
    float y;
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, h;}" : "=f"(y) : "r"(x));
    return y;
}
#endif

constexpr uint32 EXPONENT_OF_1 = 127, MOST_EXPONENT = EXPONENT_OF_1 + 60, NOT_A_NUMBER = 0x7fc00000;

// The power of two that brings numbers, of which this is the largest, below 2^15, and 2^14 is reached; and its inverse, which
// is no number where theirs are too large.
__device__ __forceinline__ float scale_for(float largest, float& inverse) {
    const uint32 exponent = max(__float_as_uint(largest) >> 23, 15u);
    inverse = __uint_as_float(exponent < MOST_EXPONENT ? (exponent - 14) << 23 : NOT_A_NUMBER);
    return __uint_as_float((2 * EXPONENT_OF_1 + 14 - exponent) << 23);
}

// Four numbers, times their scales, as halves; what these leave over goes `distance` bytes further, if it is wanted.
template <bool WITH_REST>
__device__ __forceinline__ void split(const float4& v, const float (&scale)[4], unsigned char* to, int distance) {
    const float x = v.x * scale[0], y = v.y * scale[1], z = v.z * scale[2], w = v.w * scale[3];
    const uint2 big = make_uint2(two_halves(x, y), two_halves(z, w));
    *(uint2*)to = big;
    if (WITH_REST)
        *(uint2*)(to + distance) = make_uint2(two_halves(x - low_half(big.x), y - high_half(big.x)),
                                              two_halves(z - low_half(big.y), w - high_half(big.y)));
}
