#include "kernels.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>

#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef THINFER_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#ifdef THINFER_ARM
#include <sys/auxv.h>
#endif

namespace thinfer {

namespace scalar { extern const Kernels kernels; }
#ifdef THINFER_X86
namespace avx2 { extern const Kernels kernels; }
namespace avxvnni { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace avx512bf16 { extern const Kernels kernels; }
namespace amx {
extern const Kernels kernels;
bool is_sound();
}
#ifdef THINFER_EMULATED_TILES
namespace amx_emulated { extern const Kernels kernels; }
#endif
#endif
#ifdef THINFER_ARM
namespace dotprod { extern const Kernels kernels; }
namespace i8mm { extern const Kernels kernels; }
#endif

const char* name_of(Step step) {
    constexpr const char* kNames[] = {"embed", "project", "attend", "output", "attention_norm", "expand", "contract", "ffn_norm", "classify"};
    return kNames[static_cast<std::size_t>(step)];
}

void StepTimes::start() { last_ = read_clock(); }

void StepTimes::end(Step step) {
    const double at = read_clock();
    seconds_[static_cast<std::size_t>(step)] += at - last_;
    last_ = at;
}

double StepTimes::seconds(Step step) const { return seconds_[static_cast<std::size_t>(step)]; }

double read_clock() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

struct Choice {
    const Kernels* kernels;
    bool is_usable;
};

#ifdef THINFER_X86
// gcc 12 does not know this one by name: leaf 7, subleaf 1, EAX bit 4.
bool has_avx_vnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}
#endif

#ifdef THINFER_X86
// Whether this processor has the tile unit, this process may use it, and it gives right sums. Its
// registers are large, so Linux lends them only to a process that asks.
bool has_amx() {
#ifdef __linux__
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kBf16 = 1U << 22, kFp16 = 1U << 23, kTiles = 1U << 24, kInt8 = 1U << 25, kSaves = 1U << 27;
    constexpr unsigned kAll = kBf16 | kFp16 | kTiles | kInt8;  // FP16 of the vectors, the others of the unit
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAll) != kAll) return false;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSaves) == 0) return false;
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low >> 17 & 3U) != 3U) return false;  // the system keeps neither configuration nor data
    constexpr long kAsk = 0x1023, kTileData = 18;  // of `asm/prctl.h` and the architecture's manual
    return ::syscall(SYS_arch_prctl, kAsk, kTileData) == 0 && amx::is_sound();
#else
    return false;
#endif
}
#endif

// Fastest first.
std::vector<Choice> list_choices() {
    std::vector<Choice> choices;
#ifdef THINFER_X86
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vnni");
    const bool has_bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
    static const bool has_tiles = has_bf16 && has_amx();
    choices.push_back({&amx::kernels, has_tiles});
    choices.push_back({&avx512bf16::kernels, has_bf16});
    choices.push_back({&avx512::kernels, has_avx512});
    choices.push_back({&avxvnni::kernels, has_avx2 && has_avx_vnni()});
    choices.push_back({&avx2::kernels, has_avx2});
#endif
#ifdef THINFER_ARM
    // Of the kernel's `asm/hwcap.h`, named here for older headers.
    constexpr unsigned long kDotProduct = 1UL << 20, kInt8Matrix = 1UL << 13;
    const bool has_dot_product = (::getauxval(AT_HWCAP) & kDotProduct) != 0;
    choices.push_back({&i8mm::kernels, has_dot_product && (::getauxval(AT_HWCAP2) & kInt8Matrix) != 0});
    choices.push_back({&dotprod::kernels, has_dot_product});
#endif
    choices.push_back({&scalar::kernels, true});
#ifdef THINFER_EMULATED_TILES
    choices.push_back({&amx_emulated::kernels, has_avx512});  // last: only for those who ask
#endif
    return choices;
}

// A waiting thread spins this often before it lets others run: where the host has taken a core
// away, its partner would burn the time that the other one needs.
constexpr int kSpins = 2000;

}  // namespace

void Team::pass(std::size_t turn) {
    int spins = 0;
    while (turn_.load(std::memory_order_acquire) == turn) {
        if (++spins < kSpins) {
#ifdef THINFER_X86
            __builtin_ia32_pause();
#endif
        } else {
            std::this_thread::yield();
        }
    }
}

void Scratch::reset() {
    block_ = 0;
    used_ = 0;
}

constexpr std::size_t kHugePage = std::size_t{1} << 21;

Scratch::~Scratch() {
    for (const Block& block : blocks_) ::operator delete[](block.data, std::align_val_t{kHugePage});
}

std::byte* Scratch::take_bytes(std::size_t bytes) {
    while (block_ < blocks_.size() && blocks_[block_].size - used_ < bytes) {
        ++block_;
        used_ = 0;
    }
    if (block_ == blocks_.size()) {
        const std::size_t size = round_up(std::max<std::size_t>(bytes, 2 * kHugePage), kHugePage);
        auto* data = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kHugePage}));
#ifdef __linux__
        // Rows lie pages apart, and their translations do not fit beside each other; a wish, not a need.
        ::madvise(data, size, MADV_HUGEPAGE);
#endif
        blocks_.push_back({data, size});
    }
    std::byte* place = blocks_[block_].data + used_;
    used_ += bytes;
    return place;
}

Buffers lay_out(const Model& model, const Work& work, std::size_t ranks, Scratch& scratch) {
    const auto tokens = static_cast<std::size_t>(work.offsets[work.sequences] - work.offsets[0]);
    std::size_t row = 0, values = 0, inner = round_up(model.hidden, kPanel), size = 0, value_size = 0, longest = 0;
    for (const Layer& layer : model.layers) {
        inner = std::max(inner, round_up(layer.ffn, kPanel));
        if (layer.heads == 0) continue;
        row = std::max(row, layer.row());
        values = std::max(values, layer.values());
        size = std::max(size, layer.qk_size);
        value_size = std::max(value_size, layer.value_size);
    }
    for (std::size_t at = 0; at < work.sequences; ++at) {
        longest = std::max(longest, static_cast<std::size_t>(work.offsets[at + 1] - work.offsets[at]));
    }
    std::size_t most_groups = 0;  // of a sparse matrix
    for (const Layer& layer : model.layers) {
        for (const Matrix* matrix : layer.matrices()) {
            if (matrix->blocks != nullptr) most_groups = std::max(most_groups, matrix->groups());
        }
    }
    const std::size_t codes = round_up(2 * model.hidden, kCodes), padded = round_up(longest, kPanel);
    scratch.reset();
    Buffers buffers;
    buffers.states = scratch.take<float>(tokens * model.hidden);
    buffers.codes = scratch.take<std::uint8_t>((tokens + kSpareRows) * codes);
    buffers.rounding = scratch.take<Rounding>(tokens);
    buffers.projected = scratch.take<float>((tokens + kSpareRows) * row);
    buffers.context = scratch.take<float>(tokens * values);
    buffers.inner = scratch.take<float>(tokens * inner);
    buffers.inner_codes = scratch.take<std::uint8_t>((tokens + kSpareRows) * round_up(2 * std::max(inner, values), kCodes));
    buffers.inner_rounding = scratch.take<Rounding>(tokens);
    buffers.first_states = scratch.take<float>(work.sequences * model.hidden);
    buffers.first_codes = scratch.take<std::uint8_t>((work.sequences + kSpareRows) * codes);
    buffers.first_rounding = scratch.take<Rounding>(work.sequences);
    for (std::size_t rank = 0; rank < ranks; ++rank) {
        const std::size_t floats = std::max((size + kMostRows + round_up(value_size, kPanel)) * padded, tile_bytes(padded, size, value_size) / sizeof(float));
        buffers.ranks.push_back(scratch.take<float>(std::max({floats, model.hidden, inner / 2})));
        if (most_groups > 0) buffers.packed.push_back(scratch.take<std::uint8_t>(packed_bytes(most_groups)));
    }
    return buffers;
}

const Kernels& choose_kernels(const std::string& wish) {
    for (const Choice& choice : list_choices()) {
        if (wish.empty() ? choice.is_usable : wish == choice.kernels->name) {
            if (choice.is_usable) return *choice.kernels;
            throw KernelsError("this processor cannot run the instruction set '" + wish + "'");
        }
    }
    std::string known;
    for (const Choice& choice : list_choices()) known += std::string(" ") + choice.kernels->name;
    throw KernelsError("the instruction set '" + wish + "' is not known; there are:" + known);
}

std::vector<std::string> usable_kernels() {
    std::vector<std::string> names;
    for (const Choice& choice : list_choices()) {
        if (choice.is_usable) names.emplace_back(choice.kernels->name);
    }
    return names;
}

}  // namespace thinfer
