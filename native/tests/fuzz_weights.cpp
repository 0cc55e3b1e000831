// Feeds damaged weight files to the reader; what it accepts must also run without a fault.
//
// With libFuzzer (clang, -fsanitize=fuzzer) `LLVMFuzzerTestOneInput` is the target. Without it the
// program mutates the files it is given by itself: `fuzz_weights ROUNDS SEED FILE ...`.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "format.hpp"
#include "kernels.hpp"

namespace {

constexpr std::size_t kMostWork = 1U << 22;  // of a model that is run: the others are only read

std::size_t count_numbers(const thinfer::Model& model) {
    std::size_t most = model.hidden * model.hidden + model.hidden * model.classes;
    for (const thinfer::Layer& layer : model.layers) {
        most += model.hidden * (layer.heads > 0 ? layer.row() + layer.values() : 0) + 2 * model.hidden * layer.ffn;
    }
    return most;
}

bool run(const std::byte* data, std::size_t size) {
    thinfer::Model model;
    try {
        model = thinfer::read_model(data, size);
    } catch (const thinfer::FormatError&) {
        return false;
    }
    if (count_numbers(model) > kMostWork) return true;
    const std::size_t length = std::min<std::size_t>(model.positions, 5);
    std::vector<std::int64_t> ids, types, offsets{0};
    for (std::size_t text = 1; text <= 2; ++text) {
        for (std::size_t at = 0; at < length; ++at) {
            ids.push_back(static_cast<std::int64_t>(at % 2 ? model.vocab - 1 : 0));
            types.push_back(static_cast<std::int64_t>(at % 2 ? model.types - 1 : 0));
        }
        offsets.push_back(static_cast<std::int64_t>(ids.size()));
    }
    std::vector<float> logits(2 * model.classes);
    const thinfer::Work work{ids.data(), types.data(), offsets.data(), 2, logits.data()};
    thinfer::Scratch scratch;
    thinfer::Team alone(1);
    thinfer::choose_kernels("").run(model, work, thinfer::lay_out(model, work, 1, scratch), alone, 0);
    return true;
}

// The reader asks for a mapping's alignment.
bool run_copy(const std::uint8_t* data, std::size_t size) {
    void* copy = ::operator new(size + 1, std::align_val_t{64});
    std::memcpy(copy, data, size);
    const bool is_accepted = run(static_cast<const std::byte*>(copy), size);
    ::operator delete(copy, std::align_val_t{64});
    return is_accepted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    run_copy(data, size);
    return 0;
}

#ifndef THINFER_LIBFUZZER
int main(int count, char** words) {
    if (count < 4) {
        std::fprintf(stderr, "usage: %s ROUNDS SEED FILE ...\n", words[0]);
        return 2;
    }
    const long rounds = std::strtol(words[1], nullptr, 10);
    std::mt19937_64 random(std::strtoull(words[2], nullptr, 10));
    std::vector<std::vector<std::uint8_t>> seeds;
    for (int at = 3; at < count; ++at) {
        std::ifstream file(words[at], std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        if (seeds.back().empty() || !run_copy(seeds.back().data(), seeds.back().size())) {
            std::fprintf(stderr, "%s is no weight file\n", words[at]);
            return 2;
        }
    }
    // The header is small and says everything: half of the changes go there.
    constexpr std::size_t kHeader = 160;
    constexpr std::uint32_t kOdd[] = {0, 1, 2, 31, 32, 33, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000};
    long accepted = 0;
    for (long round = 0; round < rounds; ++round) {
        std::vector<std::uint8_t> data = seeds[random() % seeds.size()];
        for (std::size_t change = random() % 3 + 1; change > 0 && data.size() >= 4; --change) {
            const std::size_t reach = random() % 2 ? std::min(kHeader, data.size()) : data.size();
            const std::size_t at = random() % reach;
            switch (random() % 4) {
                case 0: data[at] = static_cast<std::uint8_t>(random()); break;
                case 1: data.resize(at + 1); break;
                case 2: data.insert(data.end(), random() % 256, 0); break;
                default: {
                    const std::uint32_t word = kOdd[random() % std::size(kOdd)];
                    std::memcpy(data.data() + std::min(at / 4 * 4, data.size() - 4), &word, sizeof word);
                }
            }
        }
        accepted += run_copy(data.data(), data.size());
    }
    std::printf("%ld of %ld accepted\n", accepted, rounds);
    return 0;
}
#endif
