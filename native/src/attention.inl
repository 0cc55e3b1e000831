// Attention of one head over one sequence.

// Keys as a matrix's panels, [panels, size, 32], a square of registers at a time. What is beyond a key's end is
// read and dropped; tokens beyond the last are zero.
inline void turn(const float* keys, std::size_t stride, std::size_t length, std::size_t size, float* turned) {
    for (std::size_t token = 0; token < round_up(length, kPanel); token += kWidth) {
        float* target = turned + token / kPanel * size * kPanel + token % kPanel;
        for (std::size_t i = 0; i < size; i += kWidth) {
            Simd::Int square[kWidth];
            for (std::size_t at = 0; at < kWidth; ++at) {
                const float* key = keys + (token + at) * stride + i;
                square[at] = token + at < length ? Simd::load_sums(reinterpret_cast<const std::int32_t*>(key)) : Simd::zero();
            }
            Simd::transpose(square);
            for (std::size_t at = 0; at < kWidth && i + at < size; ++at) {
                Simd::store_sums(reinterpret_cast<std::int32_t*>(target + (i + at) * kPanel), square[at]);
            }
        }
    }
}

// Values of a head as panels, [panels, length, 32]: rows of many heads lie so far apart that the first cache
// holds few of them, and every query reads them all. What is beyond a row's end is read, and never used.
inline void gather(const float* values, std::size_t stride, std::size_t length, std::size_t size, float* gathered) {
    for (std::size_t column = 0; column < size; column += kPanel) {
        for (std::size_t token = 0; token < length; ++token, gathered += kPanel) {
            for (std::size_t at = 0; at < kPanel; at += kWidth) Simd::store(gathered + at, Simd::load(values + token * stride + column + at));
        }
    }
}

struct Head {
    const float* query;
    const float* keys;
    const float* values;
    std::size_t value_stride;  // from a token's values to the next one's
    std::size_t value_panel;   // from a panel of values to the next
    float* scores;  // [rows, length padded to panels]
    float* target;
    std::size_t length;
};

// exp(scores / sqrt(size) - the largest of them), in place; returns what a sum of values is to be multiplied by.
inline float soften(float* scores, std::size_t length, std::size_t size) {
    Real widest = Simd::set(scores[0]);
    std::size_t at = 0;
    for (; at + kWidth <= length; at += kWidth) widest = Simd::max(widest, Simd::load(scores + at));
    float most = Simd::largest(widest);
    for (; at < length; ++at) most = scores[at] > most ? scores[at] : most;
    const float factor = 1.0F / std::sqrt(static_cast<float>(size));
    const Real shift = Simd::set(-most * factor);
    const Real total = sum_columns(length, [&](std::size_t at, std::size_t n, Real sum) {
        const Real value = exponential(Simd::fma(Simd::load_some(scores + at, n), Simd::set(factor), shift));
        Simd::store_some(scores + at, value, n);
        return Simd::add(sum, Simd::keep(value, n));
    });
    return 1.0F / Simd::sum(total);
}

template <std::size_t R>
void mix_rows(const Layer& layer, const Head& head) {
    constexpr std::size_t V = Simd::kVectors, step = V * kWidth;
    const std::size_t stride = layer.row(), size = layer.qk_size, padded = round_up(head.length, kPanel);
    Real sums[R * V];
    for (std::size_t column = 0; column < padded; column += step) {
        const float* keys = head.keys + column / kPanel * size * kPanel + column % kPanel;
        sum_fp32<R>(head.query, stride, keys, kPanel, size, NothingAhead{}, sums);
        for (std::size_t at = 0; at < R * V; ++at) {
            Simd::store(head.scores + at / V * padded + column + at % V * kWidth, sums[at]);
        }
    }
    Real shares[R];
    for (std::size_t r = 0; r < R; ++r) shares[r] = Simd::set(soften(head.scores + r * padded, head.length, size));
    for (std::size_t column = 0; column < layer.value_size; column += step) {
        // Columns beyond the head's are read, of the next head or of what follows, and dropped.
        const float* values = head.values + column / kPanel * head.value_panel + column % kPanel;
        sum_fp32<R>(head.scores, padded, values, head.value_stride, head.length, NothingAhead{}, sums);
        for (std::size_t at = 0; at < R * V; ++at) {
            const std::size_t from = column + at % V * kWidth;
            if (from >= layer.value_size) continue;
            const std::size_t n = layer.value_size - from < kWidth ? layer.value_size - from : kWidth;
            Simd::store_some(head.target + at / V * layer.values() + from, Simd::mul(sums[at], shares[at / V]), n);
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
