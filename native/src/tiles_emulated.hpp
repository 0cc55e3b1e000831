// What `tiles_amx.hpp` does, in plain C++: tests of the code around the tiles run where there are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

class Tiles {
  public:
    static constexpr std::size_t kRows = 32;

    void await() {}

    void clear() {
        std::memset(whole_, 0, sizeof whole_);
        std::memset(real_, 0, sizeof real_);
    }

    void resume(const void* source, std::size_t stride, bool is_tall) {
        for (std::size_t row = 0; row < (is_tall ? 32 : 16); ++row) {
            void* sums = is_int8_ ? static_cast<void*>(whole_[row]) : real_[row];
            std::memcpy(sums, static_cast<const std::uint8_t*>(source) + row * stride, sizeof whole_[row]);
        }
    }

    template <Kind kind, Passing>
    void add(const void* rows, std::size_t stride, const void* left, const void* right, std::size_t step, bool is_tall) {
        is_int8_ = kind == Kind::int8;
        const auto* inputs = static_cast<const std::uint8_t*>(rows);
        for (std::size_t row = 0; row < (is_tall ? 32 : 16); ++row) {
            for (std::size_t group = 0; group < 16; ++group) {
                for (std::size_t column = 0; column < 32; ++column) {
                    const auto* half = static_cast<const std::uint8_t*>(column < 16 ? left : right);
                    const std::uint8_t* weights = half + group * step + column % 16 * 4;
                    const std::uint8_t* four = inputs + row * stride + group * 4;
                    if constexpr (kind == Kind::int8) {
                        for (std::size_t at = 0; at < 4; ++at) {
                            whole_[row][column] += std::int32_t{four[at]} * static_cast<std::int8_t>(weights[at]);
                        }
                    } else {
                        for (std::size_t at = 0; at < 4; at += 2) real_[row][column] += widen(four + at) * widen(weights + at);
                    }
                }
            }
        }
    }

    template <Kind kind, Passing passing>
    void add_some(const void* rows, std::size_t stride, const void* left, const void* right, std::size_t step, bool is_tall, unsigned sides) {
        static const std::uint8_t zeros[16 * 128] = {};
        add<kind, passing>(rows, stride, (sides & 1U) != 0 ? left : zeros, (sides & 2U) != 0 ? right : zeros, step, is_tall);
    }

    void store(void* target, std::size_t stride, bool is_tall) {
        for (std::size_t row = 0; row < (is_tall ? 32 : 16); ++row) {
            const void* sums = is_int8_ ? static_cast<const void*>(whole_[row]) : real_[row];
            std::memcpy(static_cast<std::uint8_t*>(target) + row * stride, sums, sizeof whole_[row]);
        }
    }

    void spin() {}

  private:
    static float widen(const std::uint8_t* place) {
        std::uint16_t half;
        std::memcpy(&half, place, sizeof half);
        const std::uint32_t bits = std::uint32_t{half} << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }

    std::int32_t whole_[32][32];
    float real_[32][32];
    bool is_int8_ = true;
};
