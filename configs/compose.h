// From a request (a config file, overrides, folders to search) to the list of assignments it means,
// in the order in which they apply. Called by load_config only.
//
// A config file is a map of options, nested (`optim: {lr: 1}`) or dotted (`optim.lr: 1`), and may
// have a top-level list `defaults:` of other files to apply around its own values:
//
//   defaults:
//     - data: cifar100      # group file data/cifar100.yaml
//     - model: null         # none, unless the command line selects one
//     - data/cifar100       # the same, shorter
//     - simclr_base         # file simclr_base.yaml
//     - _self_              # this file's own options; missing: last
//
// Files are looked up beside the main file, then in the search folders. Later wins, option by
// option: sections merge, values and lists replace. Listed files may have defaults of their own.
//
// The main file may have a list `stages:` of maps: a run in stages, each an ordinary run whose
// options are the file's with the map of the stage over them.
//
// On the command line `group=name` selects another file wherever a file read lists that group, but
// not inside files of the group itself, whose items name what they build on. A word is a group when
// a searched folder of that name holds .yaml files and no option has that name.
#pragma once

#include "configs/config_file.h"
#include "configs/mistakes.h"
#include "configs/option_table.h"

#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

/// What the command line asks for.
struct ConfigRequest {
  std::string file;                           ///< --config; ".yaml" may be left out
  std::vector<std::string> overrides;         ///< "key=value" and "group=name", later wins
  std::vector<std::filesystem::path> search;  ///< folders of configs, after the working directory
  int64_t stage = 0;  ///< of a file with stages: which, from 1; 0: what all of them share
};

struct Composition {
  std::filesystem::path file;  ///< the main file as it was found; empty when it was not
  std::vector<Assignment> assignments;
  int64_t stages = 0;  ///< that the main file lists
};

/// Never throws for what a user may write; every mistake is in `mistakes`.
Composition compose(const ConfigRequest& request, const OptionTable& table, Mistakes& mistakes);

}  // namespace cltrain
