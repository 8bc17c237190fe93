#include "data/video_folder.h"

#include "data/class_folders.h"
#include "data/ffmpeg.h"
#include "data/files.h"

#include <utility>

namespace cltrain {
namespace {

class VideoFolder : public VideoSet {
 public:
  VideoFolder(LabelledFiles files, const ClipOptions& clips, std::shared_ptr<const Ffmpeg> ffmpeg)
      : VideoSet(clips), files_(std::move(files)), ffmpeg_(std::move(ffmpeg)) {}

  int64_t size() const override { return static_cast<int64_t>(files_.files.size()); }
  int64_t classes() const override { return files_.classes; }
  int64_t label(int64_t position) const override {
    return files_.labels.at(static_cast<size_t>(position));
  }
  std::string describe() const override {
    return "video folder, " + std::to_string(size()) + " videos, " + classes_text(classes()) +
           ", " + files_.folder.string();
  }
  std::unique_ptr<VideoFile> open(int64_t position) const override {
    return std::make_unique<VideoFile>(*ffmpeg_, files_.files.at(static_cast<size_t>(position)));
  }

 private:
  LabelledFiles files_;
  std::shared_ptr<const Ffmpeg> ffmpeg_;
};

}  // namespace

DatasetPair open_video_folders(const std::string& root, const std::string& train,
                               const std::string& val, const ClipOptions& clips) {
  ClassFolders parts =
      list_class_folders(root, train, val,
                         {.name = "videos",
                          .formats = "video files",
                          .endings = ".mp4, .mkv, .webm, .avi, .mov or other video",
                          .has_ending = has_video_ending});
  const std::shared_ptr<const Ffmpeg> ffmpeg = load_ffmpeg();
  DatasetPair pair;
  pair.note = std::move(parts.note);
  pair.train = std::make_unique<VideoFolder>(std::move(parts.train), clips, ffmpeg);
  if (parts.test) pair.test = std::make_unique<VideoFolder>(std::move(*parts.test), clips, ffmpeg);
  return pair;
}

}  // namespace cltrain
