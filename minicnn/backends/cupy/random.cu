// Random numbers as minicnn.random.uniform draws them: element i is word i % 4 of block i / 4. Philox4x32-10 (Salmon,
// Moraes, Dror, Shaw, 2011) with counter (block, stream, iteration) and the seed as key.

__device__ __forceinline__ void philox(int64 block, uint32 stream, uint64 iteration, uint64 seed, uint32 (&words)[4]) {
    words[0] = (uint32)block, words[1] = stream, words[2] = (uint32)iteration, words[3] = (uint32)(iteration >> 32);
    uint32 key_0 = (uint32)seed, key_1 = (uint32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64 product_0 = (uint64)0xD2511F53u * words[0], product_1 = (uint64)0xCD9E8D57u * words[2];
        words[0] = (uint32)(product_1 >> 32) ^ words[1] ^ key_0;
        words[1] = (uint32)product_1;
        words[2] = (uint32)(product_0 >> 32) ^ words[3] ^ key_1;
        words[3] = (uint32)product_0;
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
}

// A word as a number in [0, 1), a multiple of 2^-24.
__device__ __forceinline__ float random_number(uint32 word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

// numbers[i] as minicnn.random.uniform draws them, from block `first` on; the iteration is read from
// `iteration_at`, if that is not null.
extern "C" __global__ void uniform(float* numbers, int64 size, uint64 seed, uint32 stream, uint64 iteration,
                                   const uint64* iteration_at, int64 first) {
    if (iteration_at) iteration = *iteration_at;
    for (int64 block = first_element(); block * 4 < size; block += all_threads()) {
        uint32 words[4];
        philox(first + block, stream, iteration, seed, words);
        for (int word = 0; word < 4; ++word)
            if (block * 4 + word < size) numbers[block * 4 + word] = random_number(words[word]);
    }
}

#ifdef IS_FLOAT
// `dropout` of whole blocks of four elements, aligned: a thread has two of them, whose loads are under way at once.
extern "C" __global__ void __launch_bounds__(256)
    dropout_by_fours(const float* __restrict__ x, float* __restrict__ y, int blocks, float rate, float factor, uint64 seed,
                     uint32 stream, uint64 iteration, const uint64* iteration_at, int64 before) {
    if (iteration_at) iteration = *iteration_at;
    const int first = blockIdx.x * (2 * blockDim.x) + threadIdx.x;
    float4 v[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
        if (first + i * (int)blockDim.x < blocks) v[i] = reinterpret_cast<const float4*>(x)[first + i * blockDim.x];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const int block = first + i * blockDim.x;
        if (block >= blocks) return;
        uint32 words[4];
        philox(before + block, stream, iteration, seed, words);
        auto factor_of = [&](uint32 word) { return random_number(word) >= rate ? factor : 0.0f; };
        __stcs(reinterpret_cast<float4*>(y) + block,
               make_float4(v[i].x * factor_of(words[0]), v[i].y * factor_of(words[1]), v[i].z * factor_of(words[2]),
                           v[i].w * factor_of(words[3])));
    }
}
#endif

// y = x * factor where the element's random number is at least `rate`, else x * 0. The iteration is read from
// `iteration_at`, if that is not null.
extern "C" __global__ void dropout(const REAL* x, REAL* y, int64 size, float rate, REAL factor, uint64 seed,
                                   uint32 stream, uint64 iteration, const uint64* iteration_at, int64 first) {
    if (iteration_at) iteration = *iteration_at;
    for (int64 block = first_element(); block * 4 < size; block += all_threads()) {
        uint32 words[4];
        philox(first + block, stream, iteration, seed, words);
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const int64 i = block * 4 + word;
            if (i < size) y[i] = x[i] * (random_number(words[word]) >= rate ? factor : REAL(0));
        }
    }
}
