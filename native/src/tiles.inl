// Products on a tile unit: blocks of 32 rows and a panel's 32 columns. While the unit works on one block,
// the vectors finish the one before, a few rows after each step: the two run beside each other.

constexpr std::size_t kTileGroups = 16;  // of 4 codes or 2 halves, that one step takes
constexpr std::size_t kLine = 64;        // bytes of a cache line
constexpr std::size_t kGroupBytes = kPanel * kGroup;  // of a panel's group, of either kind
static_assert(kTileGroups * kGroup == kCodes && kPanel * kPair * sizeof(std::uint16_t) == kGroupBytes);

// The groups after the last whole step, filled up with zeros; rows of inputs are filled up as well.
struct Tail {
    alignas(64) std::uint8_t weights[kTileGroups * kGroupBytes];

    Tail(const std::uint8_t* panel, std::size_t groups) {
        const std::size_t left = groups % kTileGroups, bytes = left * kGroupBytes;
        if (left == 0) return;
        std::memcpy(weights, panel + (groups - left) * kGroupBytes, bytes);
        std::memset(weights + bytes, 0, sizeof weights - bytes);
    }
};

// A matrix's panels as the unit reads them.
template <Kind kind>
struct Panels {
    const std::uint8_t* data;
    std::size_t groups;

    explicit Panels(const Matrix& matrix)
        : data(kind == Kind::int8 ? reinterpret_cast<const std::uint8_t*>(matrix.i8) : reinterpret_cast<const std::uint8_t*>(matrix.b16)),
          groups(kind == Kind::int8 ? matrix.groups() : matrix.pairs()) {}

    const std::uint8_t* at(std::size_t panel) const { return data + panel * groups * kGroupBytes; }
    std::size_t steps() const { return (groups + kTileGroups - 1) / kTileGroups; }
};

// What makes values of the sums of a panel's columns, in registers while a block is on its way out.
template <Kind kind>
struct Finish {
    Real offsets[2], scale[2], bias[2];

    Finish(const Matrix& matrix, std::size_t column) {
        for (std::size_t half = 0; half < 2; ++half, column += kWidth) {
            bias[half] = Simd::load(matrix.bias + column);
            if constexpr (kind == Kind::int8) {
                offsets[half] = Simd::to_reals(Simd::load_sums(matrix.sums + column));
                scale[half] = Simd::load(matrix.scale + column);
            }
        }
    }

    template <class Store>
    void row(const std::int32_t* sums, const Rounding* rounding, std::size_t row, std::size_t column, const Store& store) const {
        if constexpr (kind == Kind::int8) {
            const Real zero = Simd::set(rounding->zero), step = Simd::set(rounding->step);
            const Real left = Simd::fnma(zero, offsets[0], Simd::to_reals(Simd::load_sums(sums)));
            const Real right = Simd::fnma(zero, offsets[1], Simd::to_reals(Simd::load_sums(sums + kWidth)));
            give(row, column, Simd::fma(left, Simd::mul(scale[0], step), bias[0]), Simd::fma(right, Simd::mul(scale[1], step), bias[1]), store);
        } else {
            const auto* reals = reinterpret_cast<const float*>(sums);
            give(row, column, Simd::add(Simd::load(reals), bias[0]), Simd::add(Simd::load(reals + kWidth), bias[1]), store);
        }
    }

    // A store may take a panel's row at once.
    template <class Store>
    static void give(std::size_t row, std::size_t column, Real left, Real right, const Store& store) {
        if constexpr (requires { store.both(row, column, left, right); }) {
            store.both(row, column, left, right);
        } else {
            store(row, column, left);
            store(row, column + kWidth, right);
        }
    }
};

// Fetches the panel after this one while this one is multiplied, a few lines a step.
class Fetch {
  public:
    Fetch(const std::uint8_t* next, bool is_there, std::size_t blocks)
        : next_(next), stride_(is_there ? kLine : 0), turns_((2 * kTileGroups + kLines * blocks - 1) / (kLines * blocks)) {}

    void step() {
        for (std::size_t turn = 0; turn < turns_; ++turn, next_ += kLines * stride_) {
            for (std::size_t ahead = 0; ahead < kLines; ++ahead) __builtin_prefetch(next_ + ahead * stride_, 0, 2);
        }
    }

  private:
    static constexpr std::size_t kLines = 4;
    const std::uint8_t* next_;
    std::size_t stride_, turns_;
};

// Rows whose sums wait in memory while the next part of their products is made.
constexpr std::size_t kTogether = 256;
// Steps whose weights, 32 KiB, stay in the first cache while all rows pass by.
constexpr std::size_t kPartSteps = 16;

// The products of some rows with a matrix's panels, one panel after another; `store(row, column, value)` takes what comes out.
template <Kind kind, bool skips, Passing passing, class Store>
class TileProduct {
  public:
    TileProduct(const Rows& rows, const Matrix& matrix, const Store& store) : rows_(rows), matrix_(matrix), weights_(matrix), store_(store) {}

    void multiply(Range panels) {
        last_ = {0, panels.begin * kPanel, 0};
        const std::size_t blocks = (rows_.count + Tiles::kRows - 1) / Tiles::kRows;
        for (std::size_t at = panels.begin; at < panels.end; ++at) {
            const std::uint8_t* panel = weights_.at(at);
            const Tail tail(panel, weights_.groups);
            const bool is_last = at + 1 == panels.end;  // nothing lies behind it
            Fetch fetch(is_last ? panel : weights_.at(at + 1), !is_last, blocks);
            tiles_.await();
            for (std::size_t row = 0; row < rows_.count; row += kTogether) add_panel(at, {row, at_most(rows_.count, row + kTogether)}, tail, fetch);
        }
        const Finish<kind> finish(matrix_, last_.column);
        for (std::size_t row = 0; row < last_.count; ++row) finish_row(finish, last_, row);
    }

  private:
    // A block that is on its way out while the next one is computed.
    struct Pending {
        std::size_t row, column, count;
    };

    void add_panel(std::size_t at, Range together, const Tail& tail, Fetch& fetch) {
        const std::size_t begin = skips ? matrix_.tiles->starts[at] : 0;
        const std::size_t steps = skips ? matrix_.tiles->starts[at + 1] - begin : weights_.steps();
        // One block alone meets each weight once: nothing is gained by parts.
        const std::size_t parts = together.end - together.begin <= Tiles::kRows ? 1 : (steps + kPartSteps - 1) / kPartSteps;
        const std::size_t part = parts == 0 ? 0 : (steps + parts - 1) / parts;  // none where all is zero
        for (std::size_t from = 0; from == 0 || from < steps; from += part) {
            const Range turns{begin + from, begin + at_most(steps, from + part)};
            for (std::size_t row = together.begin; row < together.end; row += Tiles::kRows) {
                const std::size_t count = at_most(together.end - row, Tiles::kRows);
                const bool is_tall = count > Tiles::kRows / 2;
                std::int32_t* waiting = partial_ + (row - together.begin) * kPanel;
                from == 0 ? tiles_.clear() : tiles_.resume(waiting, kGroupBytes, is_tall);
                add_part(at, row, turns, is_tall, tail, fetch);
                if (from + part < steps) {
                    tiles_.store(waiting, kGroupBytes, is_tall);
                    last_.count = 0;
                } else {
                    tiles_.store(sums_, kGroupBytes, is_tall);
                    last_ = {row, at * kPanel, count};
                }
            }
            if (part == 0) break;
        }
    }

    void add_part(std::size_t at, std::size_t row, Range turns, bool is_tall, const Tail& tail, Fetch& fetch) {
        const std::uint8_t* panel = weights_.at(at);
        const std::uint8_t* block = rows_.codes + row_place(row, rows_.code_stride);
        const std::size_t count = turns.end - turns.begin;
        const std::size_t each = count == 0 ? 0 : (Tiles::kRows + count - 1) / count;  // rows that are finished after a step
        const Pending last = last_;
        const Finish<kind> finish(matrix_, last.column);
        std::size_t finished = 0;
        for (std::size_t turn = turns.begin; turn < turns.end; ++turn) {
            const std::size_t step = skips ? matrix_.tiles->steps[turn] / 4 : turn;
            const std::uint8_t* inputs = block + step * kPieceStride;
            const bool is_whole = (step + 1) * kTileGroups <= weights_.groups;
            const std::uint8_t* weight = is_whole ? panel + step * kTileGroups * kGroupBytes : tail.weights;
            if constexpr (skips) {
                const unsigned sides = matrix_.tiles->steps[turn] % 4;
                tiles_.template add_some<kind, passing>(inputs, kCodes, weight, weight + kGroupBytes / 2, kGroupBytes, is_tall, sides);
            } else {
                tiles_.template add<kind, passing>(inputs, kCodes, weight, weight + kGroupBytes / 2, kGroupBytes, is_tall);
                fetch.step();
            }
            for (const std::size_t until = at_most(finished + each, last.count); finished < until; ++finished) finish_row(finish, last, finished);
        }
        for (; finished < last.count; ++finished) finish_row(finish, last, finished);
    }

    void finish_row(const Finish<kind>& finish, const Pending& last, std::size_t row) {
        finish.row(sums_ + row * kPanel, rows_.rounding + last.row + row, last.row + row, last.column, store_);
    }

    const Rows rows_;
    const Matrix& matrix_;
    const Panels<kind> weights_;
    const Store store_;
    Pending last_{};
    Tiles tiles_;
    alignas(64) std::int32_t sums_[Tiles::kRows * kPanel];
    alignas(64) std::int32_t partial_[kTogether * kPanel];
};

// `store(row, column, value)` for some panels of `W x + b`; `skips` leaves out the tiles that are zero.
// Up to 31 rows of inputs behind the last are read and dropped: `lay_out` keeps room for them.
template <Kind kind, bool skips, class Store>
void multiply_tiles(const Rows& rows, const Matrix& matrix, Range panels, const Store& store) {
    // Weights meet one block and are gone, or stay while the blocks pass.
    if (rows.count <= Tiles::kRows) {
        TileProduct<kind, skips, Passing::weights, Store>(rows, matrix, store).multiply(panels);
    } else {
        TileProduct<kind, skips, Passing::rows, Store>(rows, matrix, store).multiply(panels);
    }
}

// A small whole number as the unit reads it: any rounding is exact.
template <Kind kind>
void put_number(std::uint8_t* place, int number) {
    if constexpr (kind == Kind::int8) {
        *place = static_cast<std::uint8_t>(number);
    } else {
        const auto half = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(number)) >> 16U);
        std::memcpy(place, &half, sizeof half);
    }
}

// Whether the unit gives the whole numbers that plain arithmetic gives, with and without a tail.
template <Kind kind>
bool is_kind_sound() {
    constexpr std::size_t kGroups = kTileGroups + 3, kStride = 128, kBytes = kind == Kind::int8 ? 1 : 2;
    constexpr std::size_t kTogether = kGroup / kBytes, kCount = kGroups * kTogether;
    constexpr int kLow = kind == Kind::int8 ? -128 : -8, kHigh = kind == Kind::int8 ? 255 : 15;
    const auto weight_of = [](std::size_t at, std::size_t column) { return kLow + static_cast<int>((at * 41 + column * 37) % kHigh); };
    const auto input_of = [](std::size_t row, std::size_t at) { return static_cast<int>((row * 91 + at * 53) % (kHigh + 1)); };
    alignas(64) std::uint8_t inputs[Tiles::kRows * kStride] = {}, panel[kGroups * kGroupBytes];
    alignas(64) std::int32_t sums[Tiles::kRows * kPanel];
    for (std::size_t at = 0; at < kCount; ++at) {
        for (std::size_t column = 0; column < kPanel; ++column) {
            const std::size_t place = at / kTogether * kGroupBytes + column * kGroup + at % kTogether * kBytes;
            put_number<kind>(panel + place, weight_of(at, column));
        }
        for (std::size_t row = 0; row < Tiles::kRows; ++row) put_number<kind>(inputs + row * kStride + at * kBytes, input_of(row, at));
    }
    const Tail tail(panel, kGroups);
    {
        Tiles tiles;
        tiles.await();
        tiles.clear();
        tiles.add<kind, Passing::none>(inputs, kStride, panel, panel + kGroupBytes / 2, kGroupBytes, true);
        tiles.add<kind, Passing::none>(inputs + kCodes, kStride, tail.weights, tail.weights + kGroupBytes / 2, kGroupBytes, true);
        tiles.store(sums, kGroupBytes, true);
        tiles.await();
    }
    for (std::size_t row = 0; row < Tiles::kRows; ++row) {
        for (std::size_t column = 0; column < kPanel; ++column) {
            std::int32_t expected = 0;
            for (std::size_t at = 0; at < kCount; ++at) expected += input_of(row, at) * weight_of(at, column);
            const std::int32_t found = sums[row * kPanel + column];
            if constexpr (kind == Kind::int8) {
                if (found != expected) return false;
            } else {
                if (std::bit_cast<float>(found) != static_cast<float>(expected)) return false;
            }
        }
    }
    return true;
}

inline bool are_tiles_sound() { return is_kind_sound<Kind::int8>() && is_kind_sound<Kind::bf16>(); }

// Multiply-accumulates of codes in a second, from the best of some short runs.
inline double measure_tile_peak() {
    constexpr std::size_t kTurns = 200, kRepeats = 40, kSteps = 64 * 4;
    double best = 1e9;
    Tiles tiles;
    tiles.clear();
    for (std::size_t at = 0; at < kRepeats; ++at) {
        const double start = read_clock();
        for (std::size_t turn = 0; turn < kTurns; ++turn) tiles.spin();
        const double taken = read_clock() - start;
        if (taken < best) best = taken;
    }
    return static_cast<double>(kTurns * kSteps * 16 * 16 * kCodes) / best;
}
