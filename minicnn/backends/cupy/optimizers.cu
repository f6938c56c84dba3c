// One update of the weights, by any rule, on flat vectors.

enum Rule { SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP };

// One update by any rule on a stretch of the flat vectors; formulas: docs/formulas.md. `a` and `b` are what a rule has
// besides the rate and epsilon: the momentum, or how fast the averages follow. `rate_at`, if not null, holds the rate,
// and `bad` the first iteration whose loss was not finite, -1 for none: from then on nothing changes.
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
