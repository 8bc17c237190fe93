// What a data set is: numbered samples with labels, read-only. SampleSet is what samplers, ids and
// evaluation need to know of any set; Dataset adds what is seen: pictures, and views made of them.
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
  /// (another format, or a variant nobody decodes), "too_large" (declared size), "too_short" (a
  /// video with fewer frames than a clip).
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

/// What there is to know of a set without looking at a sample.
class SampleSet {
 public:
  virtual ~SampleSet() = default;
  virtual int64_t size() const = 0;
  /// 0 .. classes() - 1, or -1 where there is none.
  virtual int64_t label(int64_t position) const = 0;
  /// 0 when the set has no labels.
  virtual int64_t classes() const = 0;
  virtual int64_t source_id(int64_t position) const { return position; }
  /// One line for the start-up print: "Fashion-MNIST, 60000 images 28 x 28, 10 classes, /usr/...".
  virtual std::string describe() const = 0;
};

class ViewMaker;
struct AugmentOptions;

/// A set whose samples are pictures, or show some. Functions that take a position require
/// 0 <= position < size() and throw DataError, or BadSample, when a file of the set is damaged.
class Dataset : public SampleSet {
 public:
  /// The picture; of a video the frame in its middle, for people to look at.
  virtual Image image(int64_t position) const = 0;
  /// The same picture before decoding, so that the views can say how much of it is decoded
  /// (data/views.h).
  virtual RawImage raw(int64_t position) const { return {.pixels = image(position)}; }
  /// What makes the views of the samples (data/view_maker.h): here of raw(); sets whose samples are
  /// more than one picture bring their own. The set must outlive the result.
  virtual std::unique_ptr<ViewMaker> views(const AugmentOptions& options) const;
};

}  // namespace cltrain
