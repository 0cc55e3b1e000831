// The whole classifier for one instruction set. Included once by each `isa_*.cpp`, inside a
// namespace of its own, after `Simd` has been defined; nothing here is visible outside.
//
// A text's logits do not depend on the texts beside it: sums of codes are exact, everything else
// is computed a row at a time, and the tail of a row takes the same steps as its middle.

using Real = Simd::Real;
constexpr std::size_t kWidth = Simd::kWidth;
static_assert(Simd::kRows <= kMostRows && kPanel % (Simd::kVectors * kWidth) == 0);

struct Range {
    std::size_t begin, end;
};

inline Range share(std::size_t count, const Team& team, std::size_t rank) {
    return {count * rank / team.size(), count * (rank + 1) / team.size()};
}

// Calls `step(column, lanes)` over `n` columns, whole registers first.
template <class Step>
inline void over_columns(std::size_t n, Step step) {
    std::size_t at = 0;
    for (; at + kWidth <= n; at += kWidth) step(at, kWidth);
    if (at < n) step(at, n - at);
}

// exp(x) for x <= 88, relative error below 2e-7 (Cephes' polynomial).
inline Real exponential(Real x) {
    x = Simd::max(x, Simd::set(-87.0F));
    const Real n = Simd::round(Simd::mul(x, Simd::set(1.44269504F)));
    Real r = Simd::fma(n, Simd::set(-0.693359375F), x);
    r = Simd::fma(n, Simd::set(2.12194440e-4F), r);
    Real p = Simd::set(1.9875691500e-4F);
    p = Simd::fma(p, r, Simd::set(1.3981999507e-3F));
    p = Simd::fma(p, r, Simd::set(8.3334519073e-3F));
    p = Simd::fma(p, r, Simd::set(4.1665795894e-2F));
    p = Simd::fma(p, r, Simd::set(1.6666665459e-1F));
    p = Simd::fma(p, r, Simd::set(5.0000001201e-1F));
    p = Simd::fma(p, Simd::mul(r, r), Simd::add(r, Simd::set(1.0F)));
    return Simd::times_power_of_two(p, n);
}

// erf(x), absolute error below 4e-6: erf(x) / x as a polynomial in t = 2 (x / 3.3)² - 1, least
// squares at Chebyshev points; beyond 3.3 it is 1. No exponential and no division, which would
// cost as much as the product that made x (docs/why/21-native-engine.md).
inline Real error_function(Real x) {
    const Real size = Simd::min(Simd::abs(x), Simd::set(3.3F));
    const Real t = Simd::fma(Simd::mul(size, size), Simd::set(0.183654726F), Simd::set(-1.0F));
    Real p = Simd::set(0.00348566659F);
    p = Simd::fma(p, t, Simd::set(-0.0093987491F));
    p = Simd::fma(p, t, Simd::set(0.0115250098F));
    p = Simd::fma(p, t, Simd::set(-0.0179817192F));
    p = Simd::fma(p, t, Simd::set(0.0362797007F));
    p = Simd::fma(p, t, Simd::set(-0.0591647923F));
    p = Simd::fma(p, t, Simd::set(0.084206149F));
    p = Simd::fma(p, t, Simd::set(-0.114477411F));
    p = Simd::fma(p, t, Simd::set(0.15206179F));
    p = Simd::fma(p, t, Simd::set(-0.211641446F));
    p = Simd::fma(p, t, Simd::set(0.428135782F));
    return Simd::copy_sign(Simd::mul(p, size), x);
}

inline Real sigmoid(Real x) {
    const Real fading = exponential(Simd::sub(Simd::set(0.0F), Simd::abs(x)));
    const Real small = Simd::div(fading, Simd::add(Simd::set(1.0F), fading));  // of -|x|
    // sigmoid(x) = 1/2 + sign(x) (1/2 - sigmoid(-|x|))
    return Simd::add(Simd::set(0.5F), Simd::copy_sign(Simd::sub(Simd::set(0.5F), small), x));
}

inline Real hyperbolic_tangent(Real x) {
    return Simd::fma(Simd::set(2.0F), sigmoid(Simd::add(x, x)), Simd::set(-1.0F));
}

template <Activation kind>
inline Real activate(Real x) {
    if constexpr (kind == Activation::gelu) {
        const Real erf = error_function(Simd::mul(x, Simd::set(0.70710678F)));
        const Real half = Simd::mul(x, Simd::set(0.5F));
        return Simd::fma(half, erf, half);
    } else if constexpr (kind == Activation::gelu_tanh) {
        const Real cube = Simd::mul(Simd::mul(x, x), x);
        const Real inner = Simd::mul(Simd::set(0.79788456F), Simd::fma(cube, Simd::set(0.044715F), x));
        const Real half = Simd::mul(x, Simd::set(0.5F));
        return Simd::fma(half, hyperbolic_tangent(inner), half);
    } else if constexpr (kind == Activation::relu) {
        return Simd::max(x, Simd::set(0.0F));
    } else if constexpr (kind == Activation::tanh) {
        return hyperbolic_tangent(x);
    } else {
        return Simd::mul(x, sigmoid(x));
    }
}

// Rows that enter a product: floats, or codes with a rounding each.
struct Rows {
    const float* reals = nullptr;
    std::size_t stride = 0;  // of `reals`
    const std::uint8_t* codes = nullptr;
    std::size_t code_stride = 0;
    const Rounding* rounding = nullptr;
    std::size_t count = 0;
};

// The sums of one tile of R rows, [R, vectors, lanes]. They leave the registers only once, at the
// end and by constant indices: where the code that uses them stands in the same function, gcc 12
// keeps a copy of each on the stack inside the loop, at less than half the speed.
template <std::size_t R>
[[gnu::noinline]] void sum_int8(const std::uint8_t* codes, std::size_t stride, const std::int8_t* weights,
                                std::size_t groups, Simd::Int* target) {
    constexpr std::size_t V = Simd::kVectors;
    Simd::Int sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::zero();
    for (std::size_t g = 0; g < groups; ++g, weights += kPanel * kGroup, codes += kGroup) {
        decltype(Simd::load_codes(weights)) wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load_codes(weights + v * kWidth * kGroup);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
            const auto input = Simd::spread(codes + r * stride);
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::dot(sums[r][v], input, wide[v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

template <std::size_t R>
[[gnu::noinline]] void sum_fp32(const float* inputs, std::size_t stride, const float* weights,
                                std::size_t weight_stride, std::size_t count, Real* target) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::set(0.0F);
    for (std::size_t i = 0; i < count; ++i, weights += weight_stride, ++inputs) {
        Real wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load(weights + v * kWidth);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
            const Real input = Simd::set(inputs[r * stride]);
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::fma(input, wide[v], sums[r][v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

// One tile of R rows and a register-full of columns; `store(row, column, value)` gets W x + b.
template <std::size_t R, class Store>
inline void tile_int8(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    const std::size_t groups = matrix.groups();
    const std::int8_t* weights =
        matrix.i8 + column / kPanel * groups * kPanel * kGroup + column % kPanel * kGroup;
    Simd::Int sums[R * V];
    sum_int8<R>(rows.codes + row * rows.code_stride, rows.code_stride, weights, groups, sums);
    for (std::size_t v = 0; v < V; ++v) {
        const std::size_t at = column + v * kWidth;
        const auto offsets = Simd::load_sums(matrix.sums + at);
        const Real scale = Simd::load(matrix.scale + at), bias = Simd::load(matrix.bias + at);
        for (std::size_t r = 0; r < R; ++r) {
            const Rounding& rounding = rows.rounding[row + r];
            const Real whole = Simd::to_real(sums[r * V + v], offsets, rounding.zero);
            store(row + r, at, Simd::fma(whole, Simd::mul(scale, Simd::set(rounding.step)), bias));
        }
    }
}

template <std::size_t R, class Store>
inline void tile_fp32(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    const float* weights = matrix.f32 + column / kPanel * matrix.in * kPanel + column % kPanel;
    Real sums[R * V];
    sum_fp32<R>(rows.reals + row * rows.stride, rows.stride, weights, kPanel, matrix.in, sums);
    for (std::size_t v = 0; v < V; ++v) {
        const std::size_t at = column + v * kWidth;
        const Real bias = Simd::load(matrix.bias + at);
        for (std::size_t r = 0; r < R; ++r) store(row + r, at, Simd::add(sums[r * V + v], bias));
    }
}

template <std::size_t R, bool is_int8, class Store>
inline void tile(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    if constexpr (is_int8) {
        tile_int8<R>(rows, matrix, column, row, store);
    } else {
        tile_fp32<R>(rows, matrix, column, row, store);
    }
}

// What is left after the whole tiles: one tile of exactly so many rows.
template <std::size_t R, bool is_int8, class Store>
inline void last_tile(std::size_t left, const Rows& rows, const Matrix& matrix, std::size_t column, Store& store) {
    if constexpr (R > 0) {
        if (left == R) {
            tile<R, is_int8>(rows, matrix, column, rows.count - R, store);
        } else {
            last_tile<R - 1, is_int8>(left, rows, matrix, column, store);
        }
    }
}

template <bool is_int8, class Store>
void multiply_panels(const Rows& rows, const Matrix& matrix, Range panels, Store store) {
    constexpr std::size_t step = Simd::kVectors * kWidth;
    for (std::size_t column = panels.begin * kPanel; column < panels.end * kPanel; column += step) {
        std::size_t row = 0;
        for (; row + Simd::kRows <= rows.count; row += Simd::kRows) {
            tile<Simd::kRows, is_int8>(rows, matrix, column, row, store);
        }
        last_tile<Simd::kRows - 1, is_int8>(rows.count - row, rows, matrix, column, store);
    }
}

// `store(row, column, value)` for some panels of `W x + b`; columns come a register at a time.
template <class Store>
void multiply(const Rows& rows, const Matrix& matrix, Range panels, Store store) {
    if (matrix.i8 != nullptr) {
        multiply_panels<true>(rows, matrix, panels, store);
    } else {
        multiply_panels<false>(rows, matrix, panels, store);
    }
}

// Rounds a row to codes 0 ... 255 over its own range; 0 is among the values that lose nothing.
inline Rounding to_codes(const float* row, const Matrix& next, std::uint8_t* codes) {
    Real low = Simd::set(0.0F), high = Simd::set(0.0F);
    over_columns(next.in, [&](std::size_t at, std::size_t n) {
        const Real value = Simd::mul(Simd::load_some(row + at, n), Simd::load(next.smoothing + at));
        low = Simd::min(low, value);
        high = Simd::max(high, value);
    });
    const float least = -Simd::largest(Simd::sub(Simd::set(0.0F), low));
    const float width = Simd::largest(high) - least;
    const float factor = width > 0.0F ? 255.0F / width : 0.0F;
    const float zero = std::nearbyint(-least * factor);
    const Real inverse = Simd::set(factor), offset = Simd::set(zero);
    over_columns(next.in, [&](std::size_t at, std::size_t n) {
        const Real value = Simd::mul(Simd::load_some(row + at, n), Simd::load(next.smoothing + at));
        const Real code = Simd::fma(value, inverse, offset);
        Simd::store_codes(codes + at, Simd::min(Simd::max(code, Simd::set(0.0F)), Simd::set(255.0F)), n);
    });
    for (std::size_t at = next.in; at < next.groups() * kGroup; ++at) codes[at] = 0;  // its weights are 0
    return {width / 255.0F, static_cast<std::int32_t>(zero)};
}

inline void normalise(float* row, const Norm& norm, std::size_t hidden, float epsilon) {
    Real total = Simd::set(0.0F);
    over_columns(hidden, [&](std::size_t at, std::size_t n) { total = Simd::add(total, Simd::load_some(row + at, n)); });
    const Real mean = Simd::set(Simd::sum(total) / static_cast<float>(hidden));
    Real squares = Simd::set(0.0F);
    over_columns(hidden, [&](std::size_t at, std::size_t n) {
        const Real centred = Simd::keep(Simd::sub(Simd::load_some(row + at, n), mean), n);
        squares = Simd::fma(centred, centred, squares);
    });
    const float variance = Simd::sum(squares) / static_cast<float>(hidden);
    const Real factor = Simd::set(1.0F / std::sqrt(variance + epsilon));
    over_columns(hidden, [&](std::size_t at, std::size_t n) {
        const Real centred = Simd::mul(Simd::sub(Simd::load_some(row + at, n), mean), factor);
        const Real value = Simd::fma(centred, Simd::load_some(norm.weight + at, n), Simd::load_some(norm.bias + at, n));
        Simd::store_some(row + at, value, n);
    });
}

// The part of one rank in one call.
class Runner {
  public:
    Runner(const Model& model, const Work& work, const Buffers& buffers, Team& team, std::size_t rank)
        : model_(model), work_(work), buffers_(buffers), team_(team), rank_(rank),
          tokens_(static_cast<std::size_t>(work.offsets[work.sequences] - work.offsets[0])) {
        states_ = buffers.states;
        codes_ = buffers.codes;
        rounding_ = buffers.rounding;
        rows_ = tokens_;
    }

    void run() {
        embed();
        for (std::size_t index = 0; index < model_.layers.size(); ++index) {
            const Layer& layer = model_.layers[index];
            const bool is_last = index + 1 == model_.layers.size();
            if (layer.heads > 0) project(layer, is_last);
            if (is_last) keep_first_tokens(layer);
            attend(layer, is_last);
            feed_forward(layer, is_last ? &model_.pooler : following(index + 1));
        }
        if (model_.layers.empty()) keep_first_tokens(Layer{});
        classify();
    }

  private:
    // The first matrix that reads the states before the layer's next norm.
    const Matrix* following(std::size_t index) const {
        if (index == model_.layers.size()) return &model_.pooler;
        const Layer& layer = model_.layers[index];
        return layer.heads > 0 ? &layer.query_key_value : nullptr;
    }

    std::size_t code_stride() const { return round_up(model_.hidden, kGroup); }

    Rows rows() const {
        Rows rows;
        rows.reals = states_;
        rows.stride = model_.hidden;
        rows.codes = codes_;
        rows.code_stride = code_stride();
        rows.rounding = rounding_;
        rows.count = rows_;
        return rows;
    }

    // Norm of some rows, and their codes for the matrix that reads them.
    void finish_row(std::size_t row, const Norm& norm, const Matrix* next) {
        float* state = states_ + row * model_.hidden;
        normalise(state, norm, model_.hidden, model_.epsilon);
        if (next != nullptr && next->i8 != nullptr) rounding_[row] = to_codes(state, *next, codes_ + row * code_stride());
    }

    void embed() {
        const std::size_t hidden = model_.hidden;
        const std::int64_t start = work_.offsets[0];
        const Range mine = share(tokens_, team_, rank_);
        std::size_t sequence = 0;
        for (std::size_t row = mine.begin; row < mine.end; ++row) {
            while (work_.offsets[sequence + 1] - start <= static_cast<std::int64_t>(row)) ++sequence;
            const std::size_t place = row - static_cast<std::size_t>(work_.offsets[sequence] - start);
            const auto id = static_cast<std::size_t>(work_.ids[row]);
            const float* position = model_.position + place * hidden;
            const float* type = model_.type + static_cast<std::size_t>(work_.types[row]) * hidden;
            float* state = states_ + row * hidden;
            over_columns(hidden, [&](std::size_t at, std::size_t n) {
                const Real word =
                    model_.word_i8 != nullptr ? Simd::mul(Simd::load_bytes(model_.word_i8 + id * hidden + at, n), Simd::set(model_.word_scale[id]))
                              : Simd::load_some(model_.word_f32 + id * hidden + at, n);
                const Real rest = Simd::add(Simd::load_some(position + at, n), Simd::load_some(type + at, n));
                Simd::store_some(state + at, Simd::add(word, rest), n);
            });
            finish_row(row, model_.embedding_norm, model_.layers.empty() ? &model_.pooler : following(0));
        }
        team_.wait();
    }

    // Queries, keys and values of all tokens; in the last layer queries of first tokens only.
    void project(const Layer& layer, bool is_last) {
        const Matrix& matrix = layer.query_key_value;
        const std::size_t from = is_last ? layer.key_at() / kPanel : 0;
        const Range mine = share(matrix.panels() - from, team_, rank_);
        float* target = buffers_.projected;
        const std::size_t stride = layer.row();
        const auto store = [=](std::size_t row, std::size_t column, Real value) {
            Simd::store(target + row * stride + column, value);
        };
        multiply(rows(), matrix, {from + mine.begin, from + mine.end}, store);
        team_.wait();
    }

    // From here on a row is a sequence: its first token.
    void keep_first_tokens(const Layer& layer) {
        const std::size_t hidden = model_.hidden;
        const Range mine = share(work_.sequences, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end; ++row) {
            const auto token = static_cast<std::size_t>(work_.offsets[row] - work_.offsets[0]);
            std::memcpy(buffers_.first_states + row * hidden, states_ + token * hidden, hidden * sizeof(float));
            if (layer.query_key_value.i8 != nullptr || model_.layers.empty()) {
                std::memcpy(buffers_.first_codes + row * code_stride(), codes_ + token * code_stride(), code_stride());
                buffers_.first_rounding[row] = rounding_[token];
            }
        }
        team_.wait();
        states_ = buffers_.first_states;
        codes_ = buffers_.first_codes;
        rounding_ = buffers_.first_rounding;
        rows_ = work_.sequences;
        if (layer.heads == 0) return;
        // Their queries go where no key or value of any token lies: the front of each first row.
        const Range panels = share(layer.key_at() / kPanel, team_, rank_);
        float* target = buffers_.projected;
        const std::size_t stride = layer.row();
        const Work& work = work_;
        multiply(rows(), layer.query_key_value, panels, [=](std::size_t row, std::size_t column, Real value) {
            const auto token = static_cast<std::size_t>(work.offsets[row] - work.offsets[0]);
            Simd::store(target + token * stride + column, value);
        });
        team_.wait();
    }

    void attend(const Layer& layer, bool is_last) {
        if (layer.heads == 0) {
            add_bias(layer.output);
        } else {
            const Range mine = share(work_.sequences * layer.heads, team_, rank_);
            for (std::size_t pair = mine.begin; pair < mine.end; ++pair) {
                mix(layer, pair / layer.heads, pair % layer.heads, is_last);
            }
            team_.wait();
            add_product(buffers_.context, layer.values(), layer.output);
        }
        const Range mine = share(rows_, team_, rank_);
        const Matrix* next = layer.ffn > 0 ? &layer.up : nullptr;
        for (std::size_t row = mine.begin; row < mine.end; ++row) finish_row(row, layer.attention_norm, next);
        team_.wait();
    }

    void feed_forward(const Layer& layer, const Matrix* next) {
        if (layer.ffn == 0) {
            add_bias(layer.down);
        } else {
            expand(layer.up);
            add_product(buffers_.inner, layer.up.panels() * kPanel, layer.down);
        }
        const Range mine = share(rows_, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end; ++row) finish_row(row, layer.ffn_norm, next);
        team_.wait();
    }

    void expand(const Matrix& up) {
        switch (model_.activation) {
            case Activation::gelu: return expand_with<Activation::gelu>(up);
            case Activation::gelu_tanh: return expand_with<Activation::gelu_tanh>(up);
            case Activation::relu: return expand_with<Activation::relu>(up);
            case Activation::tanh: return expand_with<Activation::tanh>(up);
            case Activation::silu: return expand_with<Activation::silu>(up);
        }
    }

    template <Activation kind>
    void expand_with(const Matrix& up) {
        float* target = buffers_.inner;
        const std::size_t stride = up.panels() * kPanel;
        multiply(rows(), up, share(up.panels(), team_, rank_), [=](std::size_t row, std::size_t column, Real value) {
            Simd::store(target + row * stride + column, activate<kind>(value));
        });
        team_.wait();
    }

    // states += W inputs + b
    void add_product(const float* inputs, std::size_t stride, const Matrix& matrix) {
        Rows from;
        from.reals = inputs;
        from.stride = stride;
        from.codes = buffers_.inner_codes;
        from.code_stride = matrix.groups() * kGroup;
        from.rounding = buffers_.inner_rounding;
        from.count = rows_;
        if (matrix.i8 != nullptr) {
            const Range mine = share(rows_, team_, rank_);
            for (std::size_t row = mine.begin; row < mine.end; ++row) {
                std::uint8_t* codes = buffers_.inner_codes + row * from.code_stride;
                buffers_.inner_rounding[row] = to_codes(inputs + row * stride, matrix, codes);
            }
            team_.wait();
        }
        float* states = states_;
        const std::size_t hidden = model_.hidden;
        multiply(from, matrix, share(matrix.panels(), team_, rank_), [=](std::size_t row, std::size_t column, Real value) {
            if (column >= hidden) return;
            const std::size_t n = hidden - column < kWidth ? hidden - column : kWidth;
            float* place = states + row * hidden + column;
            Simd::store_some(place, Simd::add(Simd::load_some(place, n), value), n);
        });
        team_.wait();
    }

    void add_bias(const Matrix& matrix) {
        const Range mine = share(rows_, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end; ++row) {
            float* state = states_ + row * model_.hidden;
            over_columns(model_.hidden, [&](std::size_t at, std::size_t n) {
                Simd::store_some(state + at, Simd::add(Simd::load_some(state + at, n), Simd::load_some(matrix.bias + at, n)), n);
            });
        }
    }

    // Attention of one head of one sequence; of its first token alone in the last layer.
    void mix(const Layer& layer, std::size_t sequence, std::size_t head, bool is_last) {
        const auto begin = static_cast<std::size_t>(work_.offsets[sequence] - work_.offsets[0]);
        const auto length = static_cast<std::size_t>(work_.offsets[sequence + 1] - work_.offsets[sequence]);
        const std::size_t stride = layer.row(), size = layer.qk_size, padded = round_up(length, kPanel);
        const float* first = buffers_.projected + begin * stride;
        float* turned = buffers_.ranks[rank_];  // the keys as a matrix's panels: [padded / 32, size, 32]
        turn(first + layer.key_at() + head * size, stride, length, size, turned);
        Head part;
        part.query = first + head * size;
        part.keys = turned;
        part.values = first + layer.value_at() + head * layer.value_size;
        part.scores = turned + size * padded;
        part.length = length;
        const std::size_t row = is_last ? sequence : begin, queries = is_last ? 1 : length;
        part.target = buffers_.context + row * layer.values() + head * layer.value_size;
        for (std::size_t at = 0; at < queries; at += Simd::kRows) {
            mix_some<Simd::kRows>(queries - at, layer, part);
            part.query += Simd::kRows * stride;
            part.target += Simd::kRows * layer.values();
        }
    }

    static void turn(const float* keys, std::size_t stride, std::size_t length, std::size_t size, float* turned) {
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

    // As many rows as are left, at most R.
    template <std::size_t R>
    static void mix_some(std::size_t left, const Layer& layer, const Head& head) {
        if constexpr (R > 1) {
            if (left < R) return mix_some<R - 1>(left, layer, head);
        }
        mix_rows<R>(layer, head);
    }

    template <std::size_t R>
    static void mix_rows(const Layer& layer, const Head& head) {
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

    // Softmax of scores / sqrt(size), in place.
    static void soften(float* scores, std::size_t length, std::size_t size) {
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

    void classify() {
        float* pooled = buffers_.inner;
        const std::size_t stride = model_.pooler.panels() * kPanel;
        multiply(rows(), model_.pooler, share(model_.pooler.panels(), team_, rank_), [=](std::size_t row, std::size_t column, Real value) {
            Simd::store(pooled + row * stride + column, hyperbolic_tangent(value));
        });
        team_.wait();
        Rows from;
        from.reals = pooled;
        from.stride = stride;
        from.count = rows_;
        float* logits = work_.logits;
        const std::size_t classes = model_.classes;
        multiply(from, model_.head, share(model_.head.panels(), team_, rank_), [=](std::size_t row, std::size_t column, Real value) {
            if (column >= classes) return;
            const std::size_t n = classes - column < kWidth ? classes - column : kWidth;
            Simd::store_some(logits + row * classes + column, value, n);
        });
        team_.wait();
    }

    const Model& model_;
    const Work& work_;
    const Buffers& buffers_;
    Team& team_;
    std::size_t rank_;
    std::size_t tokens_;
    float* states_;
    std::uint8_t* codes_;
    Rounding* rounding_;
    std::size_t rows_;
};

inline void run(const Model& model, const Work& work, const Buffers& buffers, Team& team, std::size_t rank) {
    Runner(model, work, buffers, team, rank).run();
}
