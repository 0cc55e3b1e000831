// Attention of one head over one sequence on the tile unit, in BF16 with sums in FP32.

constexpr std::size_t kHalves = kCodes / sizeof(std::uint16_t);  // inputs of a tile's row
constexpr std::size_t kTileBytes = 16 * kCodes;

// Queries, keys and values as a product has left them: a panel of 32 columns of all rows before the next.
struct Columns {
    const std::uint16_t* data;
    std::size_t panel;  // numbers from a panel to the next

    // `count` of 32 columns of a row from any column on, the rest zero.
    Simd::Int load(std::size_t row, std::size_t column, std::size_t count) const {
        const std::size_t within = column % kPanel, first = count < kPanel - within ? count : kPanel - within;
        const std::uint16_t* place = data + column / kPanel * panel + row * kPanel + within;
        const auto some = Simd::load_some_halves(place, first);
        return first == count ? some : Simd::add_halves(some, data + (column / kPanel + 1) * panel + row * kPanel, first, count);
    }
};

// Where what one head needs lies in a rank's own memory.
struct TileBuffers {
    std::uint8_t* queries;   // [chunks of 32 inputs, 32, 32]
    std::uint8_t* keys;      // tiles [padded / 16, chunks]: [16 pairs][16 tokens][2]
    std::uint8_t* values;    // tiles [padded / 32, columns / 16]: [16 pairs of tokens][16 columns][2]
    float* scores;           // [32, padded]
    std::uint16_t* shares;   // [32, padded] in BF16
    float* mixed;            // [32, 32]

    TileBuffers(float* memory, std::size_t padded, std::size_t qk_size, std::size_t value_size) {
        const std::size_t chunks = round_up(qk_size, kHalves) / kHalves;
        queries = reinterpret_cast<std::uint8_t*>(memory);
        keys = queries + chunks * 2 * kTileBytes;
        values = keys + padded / 16 * chunks * kTileBytes;
        scores = reinterpret_cast<float*>(values + padded / 32 * (round_up(value_size, 32) / 16) * kTileBytes);
        shares = reinterpret_cast<std::uint16_t*>(scores + Tiles::kRows * padded);
        mixed = reinterpret_cast<float*>(shares + Tiles::kRows * padded);
    }
};

// One head over one sequence: rows from `first` on, and the columns from where its parts lie.
struct TileHead {
    std::size_t first, length, queries;
    std::size_t query_at, key_at, value_at, qk_size, value_size;
};

// Some queries as rows of tiles.
inline void lay_queries(const Columns& columns, const TileHead& head, std::size_t row, std::size_t count, std::uint8_t* tiles) {
    for (std::size_t input = 0; input < head.qk_size; input += kHalves, tiles += 2 * kTileBytes) {
        const std::size_t inputs = at_most(head.qk_size - input, kHalves);
        for (std::size_t r = 0; r < count; ++r) {
            const auto some = columns.load(head.first + row + r, head.query_at + input, inputs);
            Simd::store_sums(reinterpret_cast<std::int32_t*>(tiles + r * kCodes), some);
        }
    }
}

// Keys turned into tiles; inputs and tokens that there are not are zero.
inline void turn_keys(const Columns& columns, const TileHead& head, std::size_t padded, std::uint8_t* tiles) {
    for (std::size_t token = 0; token < padded; token += 16) {
        for (std::size_t input = 0; input < head.qk_size; input += kHalves) {
            const std::size_t inputs = at_most(head.qk_size - input, kHalves);
            Simd::Int square[16];
            for (std::size_t at = 0; at < 16; ++at) {
                const bool is_there = token + at < head.length;
                square[at] = is_there ? columns.load(head.first + token + at, head.key_at + input, inputs) : Simd::zero();
            }
            Simd::transpose(square);
            for (std::size_t at = 0; at < 16; ++at, tiles += kCodes) Simd::store_sums(reinterpret_cast<std::int32_t*>(tiles), square[at]);
        }
    }
}

// Values, two tokens' side by side.
inline void pair_values(const Columns& columns, const TileHead& head, std::size_t padded, std::uint8_t* tiles) {
    for (std::size_t token = 0; token < padded; token += 32) {
        for (std::size_t column = 0; column < head.value_size; column += 32, tiles += 2 * kTileBytes) {
            const std::size_t count = at_most(head.value_size - column, 32);
            for (std::size_t pair = 0; pair < 16; ++pair) {
                const std::size_t even = token + 2 * pair, row = head.first + even;
                const auto upper = even < head.length ? columns.load(row, head.value_at + column, count) : Simd::zero();
                const auto lower = even + 1 < head.length ? columns.load(row + 1, head.value_at + column, count) : Simd::zero();
                Simd::Int left, right;
                Simd::interleave_halves(upper, lower, left, right);
                Simd::store_sums(reinterpret_cast<std::int32_t*>(tiles + pair * kCodes), left);
                Simd::store_sums(reinterpret_cast<std::int32_t*>(tiles + kTileBytes + pair * kCodes), right);
            }
        }
    }
}

// 2 to the power of `factor` scores + `shift`, in BF16 and zero up to `padded`; gives the largest in each lane and all
// lanes' sums.
inline void raise(const float* scores, std::size_t length, std::size_t padded, float factor, float shift,
                  std::uint16_t* shares, Real& widest, Real& total) {
    const Real scale = Simd::set(factor), offset = Simd::set(shift);
    const std::size_t whole = length / kWidth * kWidth;
    widest = Simd::set(-3e38F);
    total = Simd::set(0.0F);
    std::size_t at = 0;
    for (; at < whole; at += kWidth) {
        const Real power = Simd::fma(Simd::load(scores + at), scale, offset);
        const Real value = rough_power_of_two(power);
        widest = Simd::max(widest, power);
        total = Simd::add(total, value);
        Simd::store_halves(shares + at, value, kWidth);
    }
    if (at < length) {
        const Real power = Simd::fma(Simd::load(scores + at), scale, offset);
        const Real value = Simd::keep(rough_power_of_two(power), length - at);
        widest = Simd::max(widest, Simd::keep_or(power, length - at, widest));
        total = Simd::add(total, value);
        Simd::store_halves(shares + at, value, kWidth);
        at += kWidth;
    }
    for (; at < padded; at += kWidth) Simd::store_halves(shares + at, Simd::set(0.0F), kWidth);
}

// Softmax of scores in BF16, still to be multiplied by what is given. Floats have the same precision at any
// size, so that the largest score is taken off only where a power of it could leave their range.
inline float soften_short(const float* scores, std::size_t length, std::size_t padded, float factor, std::uint16_t* shares) {
    constexpr float kLeast = -60.0F, kMost = 100.0F;
    Real widest, total;
    raise(scores, length, padded, factor, 0.0F, shares, widest, total);
    if (!Simd::is_largest_within(widest, kLeast, kMost)) {
        raise(scores, length, padded, factor, -Simd::largest(widest), shares, widest, total);
    }
    return 1.0F / Simd::sum(total);
}

// `store(query, column, value, lanes)` gets what each query sees.
template <class Store>
void mix_tiles(Tiles& tiles, const Columns& columns, const TileHead& head, float* memory, Store store) {
    const std::size_t padded = round_up(head.length, 32), chunks = round_up(head.qk_size, kHalves) / kHalves;
    const std::size_t pairs = round_up(head.value_size, 32) / 32;
    const TileBuffers buffers(memory, padded, head.qk_size, head.value_size);
    turn_keys(columns, head, padded, buffers.keys);
    pair_values(columns, head, padded, buffers.values);
    const float factor = 1.44269504F / std::sqrt(static_cast<float>(head.qk_size));
    float inverse[Tiles::kRows];
    for (std::size_t row = 0; row < head.queries; row += Tiles::kRows) {
        const std::size_t count = head.queries - row < Tiles::kRows ? head.queries - row : Tiles::kRows;
        const bool is_tall = count > Tiles::kRows / 2;
        lay_queries(columns, head, row, count, buffers.queries);
        tiles.await();
        for (std::size_t token = 0; token < padded; token += 32) {
            const std::uint8_t* left = buffers.keys + token / 16 * chunks * kTileBytes;
            tiles.clear();
            for (std::size_t chunk = 0; chunk < chunks; ++chunk, left += kTileBytes) {
                tiles.add<Kind::bf16, Passing::none>(buffers.queries + chunk * 2 * kTileBytes, kCodes, left, left + chunks * kTileBytes, kCodes, is_tall);
            }
            tiles.store(buffers.scores + token, padded * sizeof(float), is_tall);
        }
        for (std::size_t r = 0; r < count; ++r) {
            inverse[r] = soften_short(buffers.scores + r * padded, head.length, padded, factor, buffers.shares + r * padded);
        }
        tiles.await();
        for (std::size_t pair = 0; pair < pairs; ++pair) {
            tiles.clear();
            for (std::size_t token = 0; token < padded; token += 32) {
                const std::uint8_t* left = buffers.values + (token / 32 * pairs + pair) * 2 * kTileBytes;
                tiles.add<Kind::bf16, Passing::none>(buffers.shares + token, padded * sizeof(std::uint16_t), left, left + kTileBytes, kCodes, is_tall);
            }
            tiles.store(buffers.mixed, kPanel * sizeof(float), is_tall);
            for (std::size_t column = pair * 32; column < head.value_size && column < pair * 32 + 32; column += kWidth) {
                const std::size_t n = head.value_size - column < kWidth ? head.value_size - column : kWidth;
                for (std::size_t r = 0; r < count; ++r) {
                    const Real value = Simd::load(buffers.mixed + r * kPanel + column % 32);
                    store(row + r, column, Simd::mul(value, Simd::set(inverse[r])), n);
                }
            }
        }
    }
}
