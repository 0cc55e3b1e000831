// INT8 products with a matrix of which most 1 × 4 blocks are zero. Lanes are tokens here: a block that
// is not zero is spread over a register and meets the same four inputs of many tokens. The sums are
// the same integers as those of the dense kernels, and what follows is the same code.

constexpr std::size_t kSparseVectors = 4;
constexpr std::size_t kFewestLanes = kWidth / 2;  // with fewer tokens than this, lanes would idle

// Rows of codes turned: [groups, lanes, 4], a square of registers at a time; lanes without a token
// repeat the last one. Rows end at a multiple of 64 bytes, so that no square reads beyond them.
inline void pack(const Rows& rows, std::size_t first, std::size_t count, std::size_t groups, std::size_t lanes,
                 std::uint8_t* packed) {
    auto* target = reinterpret_cast<std::int32_t*>(packed);
    for (std::size_t lane = 0; lane < lanes; lane += kWidth) {
        for (std::size_t group = 0; group < groups; group += kWidth) {
            Simd::Int square[kWidth];
            for (std::size_t at = 0; at < kWidth; ++at) {
                const std::size_t row = first + (lane + at < count ? lane + at : count - 1);
                const std::uint8_t* codes = rows.codes + row * rows.code_stride + group * kGroup;
                square[at] = Simd::load_sums(reinterpret_cast<const std::int32_t*>(codes));
            }
            Simd::transpose(square);
            for (std::size_t at = 0; at < kWidth; ++at) Simd::store_sums(target + (group + at) * lanes + lane, square[at]);
        }
    }
}

template <std::size_t V>
inline void sum_channel(const Blocks& blocks, std::size_t channel, const std::uint8_t* packed, Simd::Int (*target)[V]) {
    Simd::Int sums[V];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < V; ++v) sums[v] = Simd::zero();
    for (std::size_t at = blocks.starts[channel]; at < blocks.starts[channel + 1]; ++at) {
        const auto weights = Simd::spread_weights(blocks.codes.data() + at * kGroup);
        const std::uint8_t* inputs = packed + blocks.groups[at] * V * kWidth * kGroup;
#pragma GCC unroll 4
        for (std::size_t v = 0; v < V; ++v) {
            sums[v] = Simd::dot(sums[v], Simd::load_inputs(inputs + v * kWidth * kGroup), weights);
        }
    }
#pragma GCC unroll 4
    for (std::size_t v = 0; v < V; ++v) (*target)[v] = sums[v];
}

template <std::size_t V, class Store>
void multiply_lanes(const Rows& rows, std::size_t first, std::size_t count, const Matrix& matrix, Range panels,
                    std::uint8_t* packed, Store& store) {
    pack(rows, first, count, matrix.groups(), V * kWidth, packed);
    for (std::size_t column = panels.begin * kPanel; column < panels.end * kPanel; column += kWidth) {
        Simd::Int sums[kWidth][V];
        for (std::size_t at = 0; at < kWidth; ++at) sum_channel<V>(*matrix.blocks, column + at, packed, &sums[at]);
        const auto offsets = Simd::load_sums(matrix.sums + column);
        const Real scale = Simd::load(matrix.scale + column), bias = Simd::load(matrix.bias + column);
        for (std::size_t v = 0; v < V && v * kWidth < count; ++v) {
            Simd::Int turned[kWidth];
            for (std::size_t at = 0; at < kWidth; ++at) turned[at] = sums[at][v];
            Simd::transpose(turned);
            for (std::size_t at = 0; at < kWidth && v * kWidth + at < count; ++at) {
                const std::size_t row = first + v * kWidth + at;
                finish_sum(row, column, turned[at], rows.rounding[row], offsets, scale, bias, store);
            }
        }
    }
}

// `store(row, column, value)` for some panels of `W x + b`; `packed` has room for `kPackedLanes` lanes.
template <class Store>
void multiply_sparse(const Rows& rows, const Matrix& matrix, Range panels, std::uint8_t* packed, Store store) {
    constexpr std::size_t most = kSparseVectors * kWidth;
    static_assert(most <= kPackedLanes);
    for (std::size_t first = 0; first < rows.count; first += most) {
        const std::size_t count = rows.count - first < most ? rows.count - first : most;
        if (count > 2 * kWidth) {
            multiply_lanes<kSparseVectors>(rows, first, count, matrix, panels, packed, store);
        } else if (count > kWidth) {
            multiply_lanes<2>(rows, first, count, matrix, panels, packed, store);
        } else {
            multiply_lanes<1>(rows, first, count, matrix, panels, packed, store);
        }
    }
}
