// The one door between the engine and the instruction sets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model.hpp"

namespace thinfer {

constexpr std::size_t kMostRows = 12;  // of a product's tile, in any set of kernels
constexpr std::size_t kPackedLanes = 64;  // tokens that a sparse product takes together, at most
// Bytes of the turned codes of a sparse product: whole squares of registers.
constexpr std::size_t packed_bytes(std::size_t groups) { return round_up(groups, 16) * kGroup * kPackedLanes; }
constexpr std::size_t kSpareRows = 31;   // of inputs, that a tile unit may read behind the last
// Bytes that attention of one head on a tile unit keeps: 32 queries, keys and values as tiles, scores and their
// shares of 32 queries, and what these see of 32 columns.
constexpr std::size_t tile_bytes(std::size_t padded, std::size_t qk_size, std::size_t value_size) {
    const std::size_t inputs = round_up(qk_size, 32), columns = round_up(value_size, 32);
    return 64 * inputs + padded * 2 * (inputs + columns) + 32 * padded * 6 + 32 * 32 * 4;
}

// The steps of the classifier, in the order in which a layer takes them.
enum class Step : std::size_t { embed, project, attend, output, attention_norm, expand, contract, ffn_norm, classify, count };
const char* name_of(Step step);

// What a product on a tile unit reads but once: it passes the first cache by, in which the other stays.
enum class Passing { none, rows, weights };

// Seconds since some moment.
double read_clock();

// Seconds of each step, summed over the layers; kept by one thread for its own calls. Nothing here is
// inline: the files with special flags must not leave a copy of it to the linker.
class StepTimes {
  public:
    void start();
    void end(Step step);
    double seconds(Step step) const;

  private:
    double seconds_[static_cast<std::size_t>(Step::count)] = {};
    double last_ = 0.0;
};

// Some sequences that go through the model together.
struct Work {
    const std::int64_t* ids = nullptr;       // [tokens]
    const std::int64_t* types = nullptr;     // [tokens]
    const std::int64_t* offsets = nullptr;   // [sequences + 1], absolute
    std::size_t sequences = 0;
    float* logits = nullptr;                 // [sequences, classes]
    StepTimes* times = nullptr;              // where somebody asked, and one thread does all
};

// Threads that work on one `Work` together: a rank each, and a barrier between two steps.
class Team {
  public:
    explicit Team(std::size_t size) : size_(size) {}
    std::size_t size() const { return size_; }

    void wait() {
        if (size_ == 1) return;
        const std::size_t turn = turn_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            arrived_.store(0, std::memory_order_relaxed);
            turn_.store(turn + 1, std::memory_order_release);
            return;
        }
        pass(turn);
    }

  private:
    void pass(std::size_t turn);

    std::size_t size_;
    std::atomic<std::size_t> arrived_{0};
    std::atomic<std::size_t> turn_{0};
};

// Memory of a team, reused from call to call.
class Scratch {
  public:
    // Gives `count` values at a multiple of 64 bytes, valid until the next `reset`.
    template <class T>
    T* take(std::size_t count) {
        const std::size_t bytes = round_up(count * sizeof(T), 64) + kSlack;
        return reinterpret_cast<T*>(take_bytes(bytes));
    }
    void reset();
    ~Scratch();
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

  private:
    // A tile may read a panel's width from any place of an array; what lies beyond is not used.
    static constexpr std::size_t kSlack = kPanel * sizeof(float);

    std::byte* take_bytes(std::size_t bytes);
    struct Block {
        std::byte* data;
        std::size_t size;
    };
    std::vector<Block> blocks_;
    std::size_t block_ = 0, used_ = 0;
};

// How a row of floats became codes: x = step * (code - zero).
struct Rounding {
    float step;
    float zero;  // a whole number, 0 ... 255
};

// What lies between two steps; shared by a team, but for the parts of a rank.
struct Buffers {
    float* states = nullptr;         // [tokens, hidden]
    std::uint8_t* codes = nullptr;   // [tokens + spare, bytes of a row]: INT8 codes or BF16
    Rounding* rounding = nullptr;    // [tokens]
    float* projected = nullptr;      // [tokens + spare, row of the widest layer]
    float* context = nullptr;        // [tokens, values of the widest layer]
    float* inner = nullptr;          // [tokens, neurons of the widest layer, whole panels]
    std::uint8_t* inner_codes = nullptr;  // [tokens + spare, the wider of values and neurons, padded]
    Rounding* inner_rounding = nullptr;  // [tokens]
    float* first_states = nullptr;   // [sequences, hidden]
    std::uint8_t* first_codes = nullptr;  // [sequences + spare, hidden padded]
    Rounding* first_rounding = nullptr;  // [sequences]
    std::vector<float*> ranks;       // a rank's own: keys of a head transposed, and scores
    std::vector<std::uint8_t*> packed;  // a rank's own: codes turned for a sparse product, if there is one
};

Buffers lay_out(const Model& model, const Work& work, std::size_t ranks, Scratch& scratch);

struct Kernels {
    const char* name;
    // All ranks of a team call with the same arguments but their rank.
    void (*run)(const Model&, const Work&, const Buffers&, Team&, std::size_t rank);
    // One INT8 product by itself, to be timed: codes [rows + spare, bytes of a row] to [rows, out padded].
    void (*multiply)(const Matrix&, const std::uint8_t* codes, const Rounding*, std::size_t rows,
                     std::uint8_t* packed, float* target);
    // INT8 multiply-accumulates in a second on one thread, nothing read from memory; null: not known.
    double (*measure_peak)();
    bool has_tiles;
};

struct KernelsError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The fastest set this processor has, or the one that is asked for (empty = fastest).
// Throws KernelsError where the processor lacks it or the build left it out.
const Kernels& choose_kernels(const std::string& wish);
std::vector<std::string> usable_kernels();

}  // namespace thinfer
