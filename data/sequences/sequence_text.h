// The text format of the S3-Rec family (Zhou et al., CIKM 2020, and the code of CoSeRec and SRMA):
// a line a user, `user item item ...`, oldest first, separated by spaces or tabs.
//
// Users and items are numbers from 1 to 2147483646. Item k has id k, whatever ids occur: published
// weights count their rows so; Interactions::items() is the largest. Users are numbered by their
// lines. There are no times, so the order in the file is taken as it is.
//
// Every rank reads its own copy; 200,000 interactions take about 20 ms. Throws DataError with
// file:line on a field that is no such number, a user without items, a user with two lines, and on
// a file without users.
#pragma once

#include "data/sequences/interactions.h"

#include <filesystem>

namespace cltrain {

Interactions read_sequence_text(const std::filesystem::path& path);

}  // namespace cltrain
