#include "format.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

namespace thinfer {

namespace {

constexpr std::uint32_t kMagic = 0x464E4854;  // "THNF"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kAlignment = 64;
// Larger than any model of the family; products of two of them fit 64 bits.
constexpr std::uint32_t kMost = 1U << 24;
constexpr std::uint32_t kMostLayers = 1024;
constexpr std::uint32_t kMostInputs = 1U << 16;  // of a matrix: 255 · 127 · 65,536 fits the 32 bits of a sum

// Walks through the file; every step is checked against its end.
class Cursor {
  public:
    Cursor(const std::byte* data, std::size_t size) : data_(data), size_(size) {}

    std::uint32_t number(const char* what, std::uint32_t most = kMost) {
        std::uint32_t value = 0;
        std::memcpy(&value, take(sizeof value, what), sizeof value);
        if (value > most) fail(std::string(what) + " is impossible: " + std::to_string(value));
        return value;
    }

    Kind kind(const char* what) { return static_cast<Kind>(number(what, 2)); }

    float real(const char* what) {
        float value = 0.0F;
        std::memcpy(&value, take(sizeof value, what), sizeof value);
        if (!std::isfinite(value)) fail(std::string(what) + " is not finite");
        return value;
    }

    template <class T>
    const T* array(std::size_t count, const char* what) {
        at_ = round_up(at_, kAlignment);
        if (count > size_ / sizeof(T)) fail(std::string(what) + " is larger than the file");
        return reinterpret_cast<const T*>(take(count * sizeof(T), what));
    }

    void finish() const {
        if (round_up(at_, kAlignment) != size_) {
            fail("it has " + std::to_string(size_) + " bytes where " +
                 std::to_string(round_up(at_, kAlignment)) + " are expected");
        }
    }

    [[noreturn]] static void fail(const std::string& what) {
        throw FormatError("the weight file is damaged: " + what);
    }

  private:
    const std::byte* take(std::size_t bytes, const char* what) {
        if (at_ > size_ || bytes > size_ - at_) fail(std::string("it ends within ") + what);
        const std::byte* place = data_ + at_;
        at_ += bytes;
        return place;
    }

    const std::byte* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

Matrix read_matrix(Cursor& cursor, std::size_t out, std::size_t in, Kind kind) {
    Matrix matrix;
    matrix.out = out;
    matrix.in = in;
    const std::size_t rows = round_up(out, kPanel);
    matrix.bias = cursor.array<float>(rows, "a bias");
    if (in == 0) return matrix;
    if (kind == Kind::fp32) {
        matrix.f32 = cursor.array<float>(rows * in, "a matrix");
        return matrix;
    }
    if (kind == Kind::bf16) {
        matrix.b16 = cursor.array<std::uint16_t>(rows * round_up(in, kPair), "a matrix");
        return matrix;
    }
    const std::size_t inputs = round_up(in, kGroup);
    matrix.i8 = cursor.array<std::int8_t>(rows * inputs, "a matrix");
    matrix.scale = cursor.array<float>(rows, "the scales of a matrix");
    matrix.sums = cursor.array<std::int32_t>(rows, "the sums of a matrix");
    matrix.smoothing = cursor.array<float>(round_up(in, kPanel), "the smoothing of a matrix");
    return matrix;
}

Norm read_norm(Cursor& cursor, std::size_t hidden) {
    Norm norm;
    norm.weight = cursor.array<float>(hidden, "a layer norm");
    norm.bias = cursor.array<float>(hidden, "a layer norm");
    return norm;
}

void read_layer(Cursor& cursor, Layer& layer, std::size_t hidden) {
    const bool has_heads = layer.heads > 0;
    if (has_heads) layer.query_key_value = read_matrix(cursor, layer.row(), hidden, layer.attention);
    layer.output = read_matrix(cursor, hidden, has_heads ? layer.values() : 0, layer.attention);
    layer.attention_norm = read_norm(cursor, hidden);
    if (layer.ffn > 0) layer.up = read_matrix(cursor, layer.ffn, hidden, layer.ffn_kind);
    layer.down = read_matrix(cursor, hidden, layer.ffn, layer.ffn_kind);
    layer.ffn_norm = read_norm(cursor, hidden);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw FormatError("the weight file cannot be opened: " + std::string(std::strerror(errno)));
    struct stat facts {};
    const bool is_known = ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0;
    void* place = MAP_FAILED;
    if (is_known) {
        size_ = static_cast<std::size_t>(facts.st_size);
        place = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    }
    ::close(file);
    if (place == MAP_FAILED) throw FormatError("the weight file is empty or cannot be mapped");
    data_ = static_cast<const std::byte*>(place);
}

MappedFile::~MappedFile() {
    ::munmap(const_cast<std::byte*>(data_), size_);
}

Model read_model(const std::byte* data, std::size_t size) {
    Cursor cursor(data, size);
    if (cursor.number("the magic number", ~0U) != kMagic) Cursor::fail("it is not a thinfer weight file");
    if (cursor.number("the version", ~0U) != kVersion) Cursor::fail("its version is not known");
    Model model;
    const Kind word = cursor.kind("the embedding's precision");
    model.pooler_kind = cursor.kind("the pooler's precision");
    model.activation = static_cast<Activation>(cursor.number("the activation", 4));
    model.hidden = cursor.number("the hidden size", kMostInputs);
    model.vocab = cursor.number("the vocabulary");
    model.positions = cursor.number("the positions");
    model.types = cursor.number("the token types");
    model.classes = cursor.number("the classes");
    model.epsilon = cursor.real("epsilon");
    const std::uint32_t count = cursor.number("the number of layers", kMostLayers);
    if (model.hidden == 0 || model.vocab == 0 || model.positions == 0 || model.types == 0 ||
        model.classes == 0 || !(model.epsilon >= 0.0F)) {
        Cursor::fail("a size is zero");
    }
    for (std::uint32_t index = 0; index < count; ++index) {
        Layer layer;
        layer.heads = cursor.number("the heads", 1U << 12);
        layer.qk_size = cursor.number("the head size", 1U << 12);
        layer.value_size = cursor.number("the head size", 1U << 12);
        layer.ffn = cursor.number("the intermediate size", kMostInputs);
        layer.attention = cursor.kind("a precision");
        layer.ffn_kind = cursor.kind("a precision");
        if (layer.heads > 0 && (layer.qk_size == 0 || layer.value_size == 0)) {
            Cursor::fail("a head size is zero");
        }
        if (layer.values() > kMostInputs) Cursor::fail("the heads are too wide");
        model.layers.push_back(layer);
    }
    const std::size_t hidden = model.hidden;
    if (word == Kind::int8) {
        model.word_i8 = cursor.array<std::int8_t>(model.vocab * hidden, "the word embedding");
        model.word_scale = cursor.array<float>(model.vocab, "the word embedding's scales");
    } else if (word == Kind::bf16) {
        model.word_b16 = cursor.array<std::uint16_t>(model.vocab * hidden, "the word embedding");
    } else {
        model.word_f32 = cursor.array<float>(model.vocab * hidden, "the word embedding");
    }
    model.position = cursor.array<float>(model.positions * hidden, "the position embedding");
    model.type = cursor.array<float>(model.types * hidden, "the type embedding");
    model.embedding_norm = read_norm(cursor, hidden);
    for (Layer& layer : model.layers) read_layer(cursor, layer, hidden);
    model.pooler = read_matrix(cursor, hidden, hidden, model.pooler_kind);
    model.head = read_matrix(cursor, model.classes, hidden, Kind::fp32);
    cursor.finish();
    return model;
}

}  // namespace thinfer
