// Folders of video files: any container and codec that FFmpeg reads (data/video_file.h).
//
// Samples are the files with a usual ending (.mp4, .mkv, .webm, .avi, .mov, .mpg, .ts, ... in any
// case, has_video_ending in data/files.h); what they hold decides. Which files are which samples,
// and their labels: data/class_folders.h. Views are clips: data/clip_views.h.
//
// Only names are read here. Opened on every rank; the sets are thread-safe. A folder that is
// missing or gives no video, and FFmpeg's libraries missing, are DataErrors; what is wrong with one
// file is a BadSample when it is asked for.
#pragma once

#include "data/clip_views.h"
#include "data/registry.h"

#include <string>

namespace cltrain {

DatasetPair open_video_folders(const std::string& root, const std::string& train,
                               const std::string& val, const ClipOptions& clips);

}  // namespace cltrain
