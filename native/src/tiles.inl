// INT8 products on a tile unit: blocks of 32 rows and a panel's 32 columns. The sums are the same
// integers as those of the vector kernels, and what follows is the same code: so are the logits.

constexpr std::size_t kTileGroups = 16;  // of 4 inputs, that one step takes
constexpr std::size_t kFewestRows = 4;   // with fewer, a tile is mostly empty and vectors do less
static_assert(kTileGroups * kGroup == kCodes);

// The groups after the last whole step, filled up with zeros; rows of codes are filled up as well.
struct Tail {
    alignas(64) std::int8_t weights[kTileGroups * kPanel * kGroup];

    Tail(const std::int8_t* panel, std::size_t groups) {
        const std::size_t left = groups % kTileGroups, bytes = left * kPanel * kGroup;
        if (left == 0) return;
        std::memcpy(weights, panel + (groups - left) * kPanel * kGroup, bytes);
        std::memset(weights + bytes, 0, sizeof weights - bytes);
    }
};

inline void sum_block(Tiles& tiles, const std::uint8_t* codes, std::size_t stride, const std::int8_t* panel,
                      const Tail& tail, std::size_t groups, bool is_tall, std::int32_t* sums) {
    tiles.clear();
    std::size_t group = 0;
    for (; group + kTileGroups <= groups; group += kTileGroups) {
        tiles.add(codes + group * kGroup, stride, panel + group * kPanel * kGroup, is_tall);
    }
    if (group < groups) tiles.add(codes + group * kGroup, stride, tail.weights, is_tall);
    tiles.store(sums);
}

// `store(row, column, value)` for some panels of `W x + b`. Up to 31 rows of codes behind the last
// are read and dropped: `lay_out` keeps room for them.
template <class Store>
void multiply_tiles(const Rows& rows, const Matrix& matrix, Range panels, Store store) {
    const std::size_t groups = matrix.groups();
    alignas(64) std::int32_t sums[Tiles::kRows * kPanel];
    Tiles tiles;
    for (std::size_t at = panels.begin; at < panels.end; ++at) {
        const std::int8_t* panel = matrix.i8 + at * groups * kPanel * kGroup;
        const Tail tail(panel, groups);
        for (std::size_t row = 0; row < rows.count; row += Tiles::kRows) {
            const std::size_t count = rows.count - row < Tiles::kRows ? rows.count - row : Tiles::kRows;
            sum_block(tiles, rows.codes + row * rows.code_stride, rows.code_stride, panel, tail, groups,
                      count > Tiles::kRows / 2, sums);
            for (std::size_t column = at * kPanel; column < (at + 1) * kPanel; column += kWidth) {
                const auto offsets = Simd::load_sums(matrix.sums + column);
                const Real scale = Simd::load(matrix.scale + column), bias = Simd::load(matrix.bias + column);
                for (std::size_t r = 0; r < count; ++r) {
                    const auto whole = Simd::load_sums(sums + r * kPanel + column % kPanel);
                    finish_sum(row + r, column, whole, rows.rounding[row + r], offsets, scale, bias, store);
                }
            }
        }
    }
}

// Whether the tile unit gives the integers that plain arithmetic gives, with and without a tail.
inline bool are_tiles_sound() {
    constexpr std::size_t kGroups = kTileGroups + 3, kStride = 128;
    alignas(64) std::uint8_t codes[Tiles::kRows * kStride] = {};
    alignas(64) std::int8_t panel[kGroups * kPanel * kGroup];
    alignas(64) std::int32_t sums[Tiles::kRows * kPanel];
    for (std::size_t at = 0; at < sizeof panel; ++at) panel[at] = static_cast<std::int8_t>(at * 37 % 255);
    for (std::size_t row = 0; row < Tiles::kRows; ++row) {
        for (std::size_t at = 0; at < kGroups * kGroup; ++at) {
            codes[row * kStride + at] = static_cast<std::uint8_t>((row * 91 + at * 53) % 256);
        }
    }
    const Tail tail(panel, kGroups);
    {
        Tiles tiles;
        sum_block(tiles, codes, kStride, panel, tail, kGroups, true, sums);
    }
    for (std::size_t row = 0; row < Tiles::kRows; ++row) {
        for (std::size_t column = 0; column < kPanel; ++column) {
            std::int32_t expected = 0;
            for (std::size_t at = 0; at < kGroups * kGroup; ++at) {
                const std::int8_t weight = panel[at / kGroup * kPanel * kGroup + column * kGroup + at % kGroup];
                expected += std::int32_t{codes[row * kStride + at]} * std::int32_t{weight};
            }
            if (sums[row * kPanel + column] != expected) return false;
        }
    }
    return true;
}
