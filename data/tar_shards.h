// Uncompressed tar files ("shards") that hold many JPEG and PNG files each: few large files are
// kinder to a network file system than millions of small ones.
//
// Which folder: as for image folders (data/files.h, part_folders): data.train, else root/train,
// else root; data.val, else root/val, else none. Shards are the *.tar files lying in it, in byte
// order of their names; samples are their members that end in .jpg, .jpeg or .png (any case), in
// the order of the tar. Other members are ignored, and so is what is hidden (a name on the path
// begins with a dot); an image that is a link is refused, for ignoring it would lose it.
//
// Labels: from the member <stem>.cls of the same shard, a whole number as text (WebDataset's way;
// the stem is the name without its last ending), where the folder's shards have any of them; else
// from the first folder on the path within the tar, numbered in byte order as image_folder does;
// else none (-1). Where some images have a label and others have not, the others are not used, and
// the pair's note says how many. Evaluation by labels needs the same kind of labels on both sides.
//
// Each rank reads the headers of all members once, at the start (8 shards at a time), and keeps
// place, label and name of each image in memory: 32 bytes and the name. Samples are read by pread.
// At most a quarter of the process's descriptors, and no more than 512, are kept open for shards,
// whatever their number. Thread-safe.
//
// Errors: a shard whose index is damaged (data/tar_index.h), and labels that make no sense, are
// DataErrors. A shard that vanishes or shrinks later, and empty or huge members, are BadSamples.
#pragma once

#include "data/registry.h"

#include <string>

namespace cltrain {

DatasetPair open_tar_shards(const std::string& root, const std::string& train,
                            const std::string& val);

}  // namespace cltrain
