#include "bench/ntxent_options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <stdexcept>

namespace cltrain::ntxent {
namespace {

const std::vector<int64_t> kImages{1024, 4096, 8192, 16384, 65536};
const std::vector<int64_t> kWidths{128, 512, 768};
const std::vector<int64_t> kRanks{1, 2, 4};
const std::vector<std::string> kTypes{"float32", "bfloat16"};

[[noreturn]] void refuse(const std::string& option, const std::string& received,
                         const std::string& allowed) {
  throw std::invalid_argument(option + ": received '" + received + "'; allowed: " + allowed);
}

std::vector<std::string> split(const std::string& option, const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    if (parts.back().empty()) refuse(option, text, "values with commas between them");
    begin = end + 1;
  }
  return parts;
}

/// "4096" or "4k".
int64_t whole_number(const std::string& option, const std::string& text, int64_t least,
                     int64_t most) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto found = std::from_chars(text.data(), end, value);
  const bool thousands = found.ec == std::errc() && std::string(found.ptr, end) == "k";
  // The bounds hold before the multiplication too, so it cannot overflow.
  const bool read = found.ec == std::errc() && (thousands || found.ptr == end) && value <= most;
  if (thousands && read) value *= 1024;
  if (!read || value < least || value > most)
    refuse(option, text,
           "a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
               ", 4k for 4096");
  return value;
}

std::vector<int64_t> whole_numbers(const std::string& option, const std::string& text,
                                   int64_t least, int64_t most) {
  std::vector<int64_t> values;
  for (const std::string& part : split(option, text))
    values.push_back(whole_number(option, part, least, most));
  return values;
}

std::vector<std::string> types(const std::string& option, const std::string& text) {
  const std::vector<std::string> values = split(option, text);
  for (const std::string& value : values)
    if (std::find(kTypes.begin(), kTypes.end(), value) == kTypes.end())
      refuse(option, value, "float32, bfloat16");
  return values;
}

/// What the command line said about the grid; empty lists: nothing.
struct Wish {
  std::vector<int64_t> images, widths, ranks;
  std::vector<std::string> types;
  bool full = false;

  bool any() const {
    return full || !images.empty() || !widths.empty() || !ranks.empty() || !types.empty();
  }
};

/// Some ten minutes on two cores.
std::vector<Case> default_grid() {
  return {{1024, 128, "float32", {1}},  {4096, 128, "float32", {1, 2, 4}},
          {8192, 128, "float32", {1}},  {1024, 128, "bfloat16", {1}},
          {4096, 128, "bfloat16", {1}}, {8192, 128, "bfloat16", {1}},
          {4096, 512, "float32", {1}}};
}

std::vector<Case> grid_of(Wish wish) {
  if (!wish.any()) return default_grid();
  const auto otherwise = [&](auto& list, auto usual, const auto& every) {
    if (list.empty()) list = wish.full ? every : usual;
  };
  otherwise(wish.images, std::vector<int64_t>{1024, 4096, 8192}, kImages);
  otherwise(wish.widths, std::vector<int64_t>{128}, kWidths);
  otherwise(wish.ranks, std::vector<int64_t>{1}, kRanks);
  otherwise(wish.types, std::vector<std::string>{"float32"}, kTypes);
  std::vector<Case> grid;
  for (const std::string& type : wish.types)
    for (const int64_t width : wish.widths)
      for (const int64_t images : wish.images)
        grid.push_back({images, width, type, {wish.ranks.begin(), wish.ranks.end()}});
  return grid;
}

}  // namespace

Options parse_options(const std::vector<std::string>& words) {
  Options options;
  Wish wish;
  const std::map<std::string, std::function<void()>> flags{
      {"--help", [&] { options.help = true; }},
      {"--full", [&] { wish.full = true; }},
  };
  using Take = std::function<void(const std::string& option, const std::string& value)>;
  const std::map<std::string, Take> values{
      {"--images",
       [&](auto& option, auto& value) { wish.images = whole_numbers(option, value, 2, 1 << 20); }},
      {"--dim",
       [&](auto& option, auto& value) { wish.widths = whole_numbers(option, value, 1, 65536); }},
      {"--ranks",
       [&](auto& option, auto& value) { wish.ranks = whole_numbers(option, value, 1, 1024); }},
      {"--dtype", [&](auto& option, auto& value) { wish.types = types(option, value); }},
      {"--repeats",
       [&](auto& option, auto& value) {
         options.repeats = static_cast<int>(whole_number(option, value, 1, 1000));
       }},
      {"--json", [&](auto&, auto& value) { options.json = value; }},
      {"--plot", [&](auto&, auto& value) { options.plot = value; }},
      {"--worker", [&](auto&, auto& value) { options.worker = value; }},
  };
  for (size_t i = 0; i < words.size(); ++i) {
    if (const auto flag = flags.find(words[i]); flag != flags.end()) {
      flag->second();
      continue;
    }
    const auto found = values.find(words[i]);
    if (found == values.end())
      refuse("command line", words[i],
             "--images, --dim, --ranks, --dtype, --full, --repeats, --json, --plot, --help");
    if (i + 1 == words.size() || words[i + 1].empty())
      throw std::invalid_argument(words[i] + " needs a value; see --help");
    found->second(words[i], words[i + 1]);
    ++i;
  }
  options.grid = grid_of(wish);
  return options;
}

std::string help_text() {
  return R"(ntxent: NT-Xent forward and backward, time and memory, cltrain beside its peers

usage: ntxent [--images N,..] [--dim D,..] [--ranks R,..] [--dtype T,..] [--full]
              [--repeats 3] [--json FILE|-] [--plot FILE.png]

Without options about the grid: cases up to 8,192 images, some ten minutes on two cores.
  --images N,..   images of the global batch, 1k for 1024 (without it 1k,4k,8k)
  --dim D,..      width of the embeddings (without it 128)
  --ranks R,..    ranks, on this machine, by mpirun (without it 1)
  --dtype T,..    float32, bfloat16 (without it float32)
  --full          lists not given are 1k,4k,8k,16k,64k; 128,512,768; 1,2,4; both types: hours
  --repeats N     rounds, in which the methods take turns; medians of the rounds are printed
  --json FILE|-   a JSON line a case and method; with -, the table goes to standard error
  --plot FILE     time and memory against images (ntxent_plot.py, matplotlib)

Methods
  cltrain         dist/contrast.h; at several ranks with each exchange: gather, balanced, ring
  dense           ops/nt_xent.h and autograd; at several ranks with gathered candidates
  tiles           a loop of 512 x 512 tiles above the diagonal, in ATen, one rank
  lightly         its NTXentLoss, one process with all cores
  solo-learn      its formula restated: exp of all similarities, masks, no maximum; likewise
lightly and solo-learn are measured where python3 imports torch and lightly: bench/run.sh ntxent
installs them. Each rank has cores / R threads, at least one.

A figure is the median over rounds; in a round each method runs in a fresh process, once to warm up
and then for half a second, at least once. Extra MiB: peak of resident memory above what there was
when the inputs were made, the largest of the ranks. GFLOP/s count 4 M^2 D operations, M = 2 images.
The floor: these operations at the speed of the machine's micro-kernel, and M^2 exponentials at that
of at::exp, all data in cache, both measured in the same run.
Whoever would need over 70 % of the free memory is not run. Losses, gradients of the temperature and
norms of gradients are compared with the dense formula's; ntxent ends with 1 if they differ.
)";
}

}  // namespace cltrain::ntxent
