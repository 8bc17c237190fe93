// What a data set is: numbered images with labels, read-only.
//
// Positions are 0 .. size() - 1, dense: samplers and memory banks count in them. source_id() is the
// sample's place in the *official* order of the set; it differs from the position only when
// data.index_list picks a part. Every keyed draw (views, dropout) uses source_id, so the views of
// one image are the same whichever list it is picked by.
//
// Every rank opens the whole set by itself; nothing here communicates. All const methods may be
// called from any number of threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cltrain {

/// A missing, unreadable or damaged folder or file: names it, what was expected, what was found and
/// what to do. The launcher ends with exit code 3 on it.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One sample that cannot be used, in a set that is otherwise sound. The loader replaces it and
/// goes on (data.max_bad_ratio).
class BadSample : public DataError {
 public:
  /// `kind`: "unreadable" (the file cannot be read), "damaged" (truncated, corrupt), "unsupported"
  /// (neither JPEG nor PNG, or a variant nobody decodes), "too_large" (declared size).
  BadSample(std::string kind, const std::string& what) : DataError(what), kind_(std::move(kind)) {}
  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

/// 8-bit RGB, interleaved: pixels[(y * width + x) * 3 + channel]. Grey sets hold it three times.
struct Image {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> pixels;
};

/// A sample as its set stores it: the bytes of a JPEG or PNG file, or pixels.
struct RawImage {
  Image pixels;                  ///< of a set that holds pixels; empty otherwise
  std::vector<uint8_t> encoded;  ///< of a set that holds files; empty otherwise
  std::string name;              ///< for messages: the file
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  /// Requires 0 <= position < size(). Throws DataError when a file of the set is damaged.
  virtual Image image(int64_t position) const = 0;
  /// The same sample before decoding, so that the views can say how much of it is decoded
  /// (data/views.h).
  virtual RawImage raw(int64_t position) const { return {.pixels = image(position)}; }
  /// 0 .. classes() - 1, or -1 where there is none.
  virtual int64_t label(int64_t position) const = 0;
  /// 0 when the set has no labels.
  virtual int64_t classes() const = 0;
  virtual int64_t source_id(int64_t position) const { return position; }
  /// One line for the start-up print: "Fashion-MNIST, 60000 images 28 x 28, 10 classes, /usr/...".
  virtual std::string describe() const = 0;
};

}  // namespace cltrain
