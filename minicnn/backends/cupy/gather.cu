// Loading a batch.

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
