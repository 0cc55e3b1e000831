// The steps of the classifier, in order, as one rank of a team takes them.

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
        if (work_.times != nullptr) work_.times->start();
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
    // Waits for the others at the end of a step.
    void end(Step step) {
        team_.wait();
        if (work_.times != nullptr) work_.times->end(step);
    }

    // The first matrix that reads the states before the layer's next norm.
    const Matrix* following(std::size_t index) const {
        if (index == model_.layers.size()) return &model_.pooler;
        const Layer& layer = model_.layers[index];
        return layer.heads > 0 ? &layer.query_key_value : nullptr;
    }

    Rows rows(const Matrix& reader) const {
        Rows rows;
        rows.reals = states_;
        rows.stride = model_.hidden;
        rows.codes = codes_;
        rows.code_stride = reader.row_bytes();
        rows.rounding = rounding_;
        rows.count = rows_;
        return rows;
    }

    // Norm of some rows, and their codes for the matrix that reads them.
    void finish_row(std::size_t row, const Norm& norm, const Matrix* next) {
        float* state = states_ + row * model_.hidden;
        std::uint8_t* codes = next == nullptr ? nullptr : codes_ + row_place(row, next->row_bytes());
#ifdef THINFER_TILES
        if (next != nullptr && next->i8 != nullptr) {
            auto* shorts = reinterpret_cast<std::uint16_t*>(buffers_.ranks[rank_]);
            normalise(state, norm, model_.hidden, model_.epsilon, [&](std::size_t at, Real value, std::size_t n) {
                Simd::store_shorts(shorts + at, Simd::mul(value, Simd::load(next->smoothing + at)), n);
            });
            codes_of_shorts({shorts, 0, kPanel}, 1, model_.hidden, &codes, rounding_ + row);
            return;
        }
#endif
        normalise(state, norm, model_.hidden, model_.epsilon, [](std::size_t, Real, std::size_t) {});
        if (next != nullptr && next->is_rounded()) round_row(state, *next, codes, rounding_[row]);
    }

    std::uint8_t* packed() const { return buffers_.packed.empty() ? nullptr : buffers_.packed[rank_]; }

    Real load_word(std::size_t id, std::size_t at, std::size_t n) const {
        const std::size_t place = id * model_.hidden + at;
        if (model_.word_i8 != nullptr) {
            return Simd::mul(Simd::load_bytes(model_.word_i8 + place, n), Simd::set(model_.word_scale[id]));
        }
        return model_.word_b16 != nullptr ? Simd::load_halves(model_.word_b16 + place, n) : Simd::load_some(model_.word_f32 + place, n);
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
                const Real word = load_word(id, at, n);
                const Real rest = Simd::add(Simd::load_some(position + at, n), Simd::load_some(type + at, n));
                Simd::store_some(state + at, Simd::add(word, rest), n);
            });
            finish_row(row, model_.embedding_norm, model_.layers.empty() ? &model_.pooler : following(0));
        }
        end(Step::embed);
    }

    // Queries, keys and values of all tokens; in the last layer queries of first tokens only.
    void project(const Layer& layer, bool is_last) {
        const Matrix& matrix = layer.query_key_value;
        const std::size_t from = is_last ? layer.key_at() / kPanel : 0;
        const Range mine = share(matrix.panels() - from, team_, rank_);
        put_projected(layer, {from + mine.begin, from + mine.end}, [](std::size_t row) { return row; });
        end(Step::project);
    }

    // Queries, keys or values of some panels; `place` says where a row's go. A tile unit reads them in BF16.
    template <class Place>
    void put_projected(const Layer& layer, Range panels, Place place) {
        const Matrix& matrix = layer.query_key_value;
        const auto put = [&]<Waiting waiting>(const Shelf<waiting>& shelf) {
            const auto change = [](Real value) { return value; };
            multiply(rows(matrix), matrix, panels, packed(), Putting<Shelf<waiting>, Place, decltype(change)>{shelf, place, change});
        };
        if (kHasTiles && matrix.is_rounded()) {
            put(Shelf<Waiting::halves>{buffers_.projected, kPanel, panel_stride(), nullptr});
        } else {
            put(Shelf<Waiting::reals>{buffers_.projected, layer.row(), kPanel, nullptr});
        }
    }

    // From here on a row is a sequence: its first token.
    void keep_first_tokens(const Layer& layer) {
        const std::size_t hidden = model_.hidden;
        const Matrix& reader = model_.layers.empty() ? model_.pooler : layer.query_key_value;
        const std::size_t bytes = reader.row_bytes();
        const Range mine = share(work_.sequences, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end; ++row) {
            const auto token = static_cast<std::size_t>(work_.offsets[row] - work_.offsets[0]);
            std::memcpy(buffers_.first_states + row * hidden, states_ + token * hidden, hidden * sizeof(float));
            if (reader.is_rounded()) {
                std::uint8_t* target = buffers_.first_codes + row_place(row, bytes);
                const std::uint8_t* source = codes_ + row_place(token, bytes);
                for (std::size_t at = 0; at < bytes; at += kCodes) std::memcpy(target + byte_place(at), source + byte_place(at), kCodes);
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
        const std::int64_t* offsets = work_.offsets;
        put_projected(layer, panels, [=](std::size_t row) { return static_cast<std::size_t>(offsets[row] - offsets[0]); });
        end(Step::project);
    }

    void attend(const Layer& layer, bool is_last) {
        if (layer.heads == 0) {
            add_bias(layer.output);
        } else {
            mix_all(layer, is_last);
            end(Step::attend);
            add_product(buffers_.context, layer.values(), kPanel, layer.output);
            end(Step::output);
        }
        const Range mine = share(rows_, team_, rank_);
        const Matrix* next = layer.ffn > 0 ? &layer.up : nullptr;
        for (std::size_t row = mine.begin; row < mine.end; ++row) finish_row(row, layer.attention_norm, next);
        end(Step::attention_norm);
    }

    void feed_forward(const Layer& layer, const Matrix* next) {
        if (layer.ffn == 0) {
            add_bias(layer.down);
        } else {
            expand(layer.up, layer.down);
            switch (wait_for(layer.down)) {
                case Waiting::reals: add_product(buffers_.inner, layer.up.panels() * kPanel, kPanel, layer.down); break;
                case Waiting::shorts: add_product(buffers_.inner, kPanel, panel_stride(), layer.down); break;
                case Waiting::halves: add_product(nullptr, 0, 0, layer.down); break;
            }
            end(Step::contract);
        }
        const Range mine = share(rows_, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end; ++row) finish_row(row, layer.ffn_norm, next);
        end(Step::ffn_norm);
    }

    void expand(const Matrix& up, const Matrix& down) {
        // Most models have GELU; the others share a product that asks for each register, which compiles in half the time.
        const Activation kind = model_.activation;
        if (kind == Activation::gelu) {
            expand_with(up, down, [](Real value) { return activate<Activation::gelu>(value); });
        } else {
            expand_with(up, down, [kind](Real value) { return activate_other(kind, value); });
        }
        end(Step::expand);
    }

    template <class Activate>
    void expand_with(const Matrix& up, [[maybe_unused]] const Matrix& down, const Activate& activate) {
        const std::size_t stride = up.panels() * kPanel;
        const auto put = [&](const auto& shelf, const auto& change) {
            multiply(rows(up), up, share(up.panels(), team_, rank_), packed(), [=](std::size_t row, std::size_t column, Real value) {
                shelf.put(row, column, change(value), kWidth);
            });
        };
#ifdef THINFER_TILES
        const Waiting waiting = wait_for(down);
        if (waiting == Waiting::halves) return put(InputShelf{buffers_.inner_codes, down.row_bytes()}, activate);
        if (waiting == Waiting::shorts) {
            const Shelf<Waiting::shorts> shorts{buffers_.inner, kPanel, panel_stride(), down.smoothing};
#ifdef __AVX512FP16__
            const Range panels = share(up.panels(), team_, rank_);
            auto* factors = reinterpret_cast<std::uint16_t*>(buffers_.ranks[rank_]);
            const bool is_usual = shorten_smoothing(down.smoothing, {panels.begin * kPanel, panels.end * kPanel}, factors);
            if (model_.activation == Activation::gelu && is_usual) {
                return multiply(rows(up), up, panels, packed(), PuttingShortGelu{shorts, factors, panels.begin * kPanel});
            }
#endif
            if (model_.activation == Activation::gelu) return put(shorts, [](Real value) { return rough_gelu(value); });
            return put(shorts, activate);
        }
#endif
        put(Shelf<Waiting::reals>{buffers_.inner, stride, kPanel, nullptr}, activate);
    }

    // Numbers from a panel of all rows to the next one; odd, so that a row's pieces do not share a cache line's place.
    std::size_t panel_stride() const { return (tokens_ | 1) * kPanel; }

    // Gives what waits as `matrix` reads it.
    void take(const float* waiting_rows, std::size_t row_stride, std::size_t panel, const Matrix& matrix) {
        if (!matrix.is_rounded()) return;
        const Waiting waiting = wait_for(matrix);
        const Range mine = share(rows_, team_, rank_);
        for (std::size_t row = mine.begin; row < mine.end;) {
            std::uint8_t* codes[kBlockRows];
            const std::size_t end = at_most(mine.end, (row / kBlockRows + 1) * kBlockRows);
            for (std::size_t at = row; at < end; ++at) codes[at - row] = buffers_.inner_codes + row_place(at, matrix.row_bytes());
            take_some({row, end}, waiting, waiting_rows, row_stride, panel, matrix, codes);
            row = end;
        }
        team_.wait();
    }

    void take_some(Range some, Waiting waiting, const float* waiting_rows, std::size_t row_stride,
                   [[maybe_unused]] std::size_t panel, const Matrix& matrix, std::uint8_t* const* codes) {
#ifdef THINFER_TILES
        const auto* numbers = reinterpret_cast<const std::uint16_t*>(waiting_rows);
        if (waiting == Waiting::shorts) {
            const Shorts shorts{numbers + some.begin * row_stride, row_stride, panel};
            return codes_of_shorts(shorts, some.end - some.begin, matrix.in, codes, buffers_.inner_rounding + some.begin);
        }
#endif
        for (std::size_t row = some.begin; row < some.end; ++row) {
            if (waiting == Waiting::reals) {
                round_row(waiting_rows + row * row_stride, matrix, codes[row - some.begin], buffers_.inner_rounding[row]);
            } else {
#ifdef THINFER_TILES
                copy_halves(numbers + row * row_stride, matrix.in, codes[row - some.begin]);
#endif
            }
        }
    }

    // states += W x + b of what waits, or is there already (null); the step ends with the caller.
    void add_product(const float* waiting_rows, std::size_t row_stride, std::size_t panel, const Matrix& matrix) {
        Rows from;
        from.reals = waiting_rows;
        from.stride = row_stride;
        from.codes = buffers_.inner_codes;
        from.code_stride = matrix.row_bytes();
        from.rounding = buffers_.inner_rounding;
        from.count = rows_;
        if (waiting_rows != nullptr) take(waiting_rows, row_stride, panel, matrix);
        float* states = states_;
        const std::size_t hidden = model_.hidden;
        multiply(from, matrix, share(matrix.panels(), team_, rank_), packed(), [=](std::size_t row, std::size_t column, Real value) {
            if (column >= hidden) return;
            const std::size_t n = hidden - column < kWidth ? hidden - column : kWidth;
            float* place = states + row * hidden + column;
            Simd::store_some(place, Simd::add(Simd::load_some(place, n), value), n);
        });
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

    // Attention of this rank's heads and sequences; of first tokens alone in the last layer.
    void mix_all(const Layer& layer, bool is_last) {
        const Range mine = share(work_.sequences * layer.heads, team_, rank_);
#ifdef THINFER_TILES
        if (layer.query_key_value.is_rounded()) {
            switch (wait_for(layer.output)) {
                case Waiting::reals:
                    return mix_tiled(layer, mine, is_last, Shelf<Waiting::reals>{buffers_.context, layer.values(), kPanel, nullptr});
                case Waiting::shorts:
                    return mix_tiled(layer, mine, is_last, Shelf<Waiting::shorts>{buffers_.context, layer.values(), kPanel, layer.output.smoothing});
                case Waiting::halves:
                    return mix_tiled(layer, mine, is_last, Shelf<Waiting::halves>{buffers_.context, layer.values(), kPanel, nullptr});
            }
        }
#endif
        for (std::size_t pair = mine.begin; pair < mine.end; ++pair) mix(layer, pair / layer.heads, pair % layer.heads, is_last);
    }

#ifdef THINFER_TILES
    template <Waiting waiting>
    void mix_tiled(const Layer& layer, Range mine, bool is_last, const Shelf<waiting>& shelf) {
        Tiles tiles;
        const Columns projected{reinterpret_cast<const std::uint16_t*>(buffers_.projected), panel_stride()};
        for (std::size_t pair = mine.begin; pair < mine.end; ++pair) {
            const std::size_t sequence = pair / layer.heads, head = pair % layer.heads;
            TileHead part{};
            part.first = static_cast<std::size_t>(work_.offsets[sequence] - work_.offsets[0]);
            part.length = static_cast<std::size_t>(work_.offsets[sequence + 1] - work_.offsets[sequence]);
            part.queries = is_last ? 1 : part.length;
            part.query_at = head * layer.qk_size;
            part.key_at = layer.key_at() + part.query_at;
            part.value_at = layer.value_at() + head * layer.value_size;
            part.qk_size = layer.qk_size;
            part.value_size = layer.value_size;
            const std::size_t row = is_last ? sequence : part.first, column = head * layer.value_size;
            mix_tiles(tiles, projected, part, buffers_.ranks[rank_], [=](std::size_t query, std::size_t at, Real value, std::size_t n) {
                shelf.put(row + query, column + at, value, n);
            });
        }
    }
#endif

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
        part.value_stride = stride;
        part.value_panel = kPanel;
        part.scores = turned + size * padded;
        part.length = length;
        const std::size_t row = is_last ? sequence : begin, queries = is_last ? 1 : length;
        if (queries > Simd::kRows) {
            float* gathered = part.scores + kMostRows * padded;
            gather(part.values, stride, length, layer.value_size, gathered);
            part.values = gathered;
            part.value_stride = kPanel;
            part.value_panel = length * kPanel;
        }
        part.target = buffers_.context + row * layer.values() + head * layer.value_size;
        for (std::size_t at = 0; at < queries; at += Simd::kRows) {
            mix_some<Simd::kRows>(queries - at, layer, part);
            part.query += Simd::kRows * stride;
            part.target += Simd::kRows * layer.values();
        }
    }

    void classify() {
        float* pooled = buffers_.inner;
        const std::size_t stride = model_.pooler.panels() * kPanel;
        multiply(rows(model_.pooler), model_.pooler, share(model_.pooler.panels(), team_, rank_), packed(), [=](std::size_t row, std::size_t column, Real value) {
            Simd::store(pooled + row * stride + column, hyperbolic_tangent(value));
        });
        team_.wait();
        Rows from;
        from.reals = pooled;
        from.stride = stride;
        from.count = rows_;
        float* logits = work_.logits;
        const std::size_t classes = model_.classes;
        multiply(from, model_.head, share(model_.head.panels(), team_, rank_), packed(), [=](std::size_t row, std::size_t column, Real value) {
            if (column >= classes) return;
            const std::size_t n = classes - column < kWidth ? classes - column : kWidth;
            Simd::store_some(logits + row * classes + column, value, n);
        });
        end(Step::classify);
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

inline void multiply_alone(const Matrix& matrix, const std::uint8_t* codes, const Rounding* rounding, std::size_t count,
                           std::uint8_t* packed, float* target) {
    Rows rows;
    rows.codes = codes;
    rows.code_stride = matrix.row_bytes();
    rows.rounding = rounding;
    rows.count = count;
    const std::size_t stride = matrix.panels() * kPanel;
    multiply(rows, matrix, {0, matrix.panels()}, packed, [=](std::size_t row, std::size_t column, Real value) {
        Simd::store(target + row * stride + column, value);
    });
}
