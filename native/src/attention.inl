// Attention of one head over one sequence.

inline void turn(const float* keys, std::size_t stride, std::size_t length, std::size_t size, float* turned) {
    for (std::size_t token = 0; token < round_up(length, kPanel); ++token) {
        float* target = turned + token / kPanel * size * kPanel + token % kPanel;
        const float* key = keys + token * stride;
        for (std::size_t i = 0; i < size; ++i) target[i * kPanel] = token < length ? key[i] : 0.0F;
    }
}

struct Head {
    const float* query;
    const float* keys;
    const float* values;
    float* scores;  // [rows, length padded to panels]
    float* target;
    std::size_t length;
};

// Softmax of scores / sqrt(size), in place.
inline void soften(float* scores, std::size_t length, std::size_t size) {
    Real widest = Simd::set(scores[0]);
    std::size_t at = 0;
    for (; at + kWidth <= length; at += kWidth) widest = Simd::max(widest, Simd::load(scores + at));
    float most = Simd::largest(widest);
    for (; at < length; ++at) most = scores[at] > most ? scores[at] : most;
    const float factor = 1.0F / std::sqrt(static_cast<float>(size));
    const Real shift = Simd::set(-most * factor);
    over_columns(length, [&](std::size_t at, std::size_t n) {
        const Real value = Simd::fma(Simd::load_some(scores + at, n), Simd::set(factor), shift);
        Simd::store_some(scores + at, exponential(value), n);
    });
    Real total = Simd::set(0.0F);
    over_columns(length, [&](std::size_t at, std::size_t n) { total = Simd::add(total, Simd::load_some(scores + at, n)); });
    const Real inverse = Simd::set(1.0F / Simd::sum(total));
    over_columns(length, [&](std::size_t at, std::size_t n) {
        Simd::store_some(scores + at, Simd::mul(Simd::load_some(scores + at, n), inverse), n);
    });
}

template <std::size_t R>
void mix_rows(const Layer& layer, const Head& head) {
    constexpr std::size_t V = Simd::kVectors, step = V * kWidth;
    const std::size_t stride = layer.row(), size = layer.qk_size, padded = round_up(head.length, kPanel);
    Real sums[R * V];
    for (std::size_t column = 0; column < padded; column += step) {
        const float* keys = head.keys + column / kPanel * size * kPanel + column % kPanel;
        sum_fp32<R>(head.query, stride, keys, kPanel, size, sums);
        for (std::size_t at = 0; at < R * V; ++at) {
            Simd::store(head.scores + at / V * padded + column + at % V * kWidth, sums[at]);
        }
    }
    for (std::size_t r = 0; r < R; ++r) soften(head.scores + r * padded, head.length, size);
    for (std::size_t column = 0; column < layer.value_size; column += step) {
        // Columns beyond the head's are read, of the next head or of what follows, and dropped.
        sum_fp32<R>(head.scores, padded, head.values + column, stride, head.length, sums);
        for (std::size_t at = 0; at < R * V; ++at) {
            const std::size_t from = column + at % V * kWidth;
            if (from >= layer.value_size) continue;
            const std::size_t n = layer.value_size - from < kWidth ? layer.value_size - from : kWidth;
            Simd::store_some(head.target + at / V * layer.values() + from, sums[at], n);
        }
    }
}

// As many rows as are left, at most R.
template <std::size_t R>
void mix_some(std::size_t left, const Layer& layer, const Head& head) {
    if constexpr (R > 1) {
        if (left < R) return mix_some<R - 1>(left, layer, head);
    }
    mix_rows<R>(layer, head);
}
