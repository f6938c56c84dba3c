// What a captured graph reads anew with every launch, and what it does about a loss that is not finite.

// The numbers of the next iteration; where weights are prepared with it, `begin_iteration` of prepared_weights.cu sets them.
extern "C" __global__ void set_iteration(double* rates, int64* counters, double rate, double learning_rate,
                                         int64 iteration, int64 start) {
    set_numbers(rates, counters, rate, learning_rate, iteration, start);
}

// report[1] += loss * count. report[0] is the first iteration whose loss was not finite, -1 for none; from then on,
// weights do not decay either.
extern "C" __global__ void record_loss(const double* loss, double* report, double count, double* rates,
                                       const int64* counters) {
    report[1] += *loss * count;
    if (!(*loss - *loss == 0) && report[0] < 0) report[0] = counters[0];
    if (report[0] >= 0) rates[1] = 0;
}

// target = source, if a loss was bad: puts the moving averages back.
extern "C" __global__ void restore_if_bad(REAL* target, const REAL* source, int64 size, const double* bad) {
    if (*bad < 0) return;
    for (int64 i = first_element(); i < size; i += all_threads()) target[i] = source[i];
}
