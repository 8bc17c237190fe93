#include "bench/ntxent_driver.h"

#include "bench/ntxent_figures.h"
#include "bench/ntxent_system.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cltrain::ntxent {
namespace {

namespace fs = std::filesystem;

constexpr double kGB = 1e9;
constexpr double kShareOfFreeMemory = 0.7;
constexpr double kIdleCores = 0.1;

/// bench/ of the sources this program was built from: the Python scripts are there.
fs::path script(const char* name) {
  return fs::path(__FILE__).parent_path() / name;
}

std::string python() {
  return fs::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
}

int cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  return std::max(1, CPU_COUNT(&allowed));
}

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char letter : word)
    text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return text + "'";
}

struct Answer {
  int status = 0;  ///< exit code, or 128 + signal
  std::string text;
};

/// Standard output of a command; its standard error stays this program's, unless `quiet`.
Answer run_command(const std::vector<std::string>& words, bool quiet = false) {
  std::string line;
  for (const std::string& word : words) line += quoted(word) + " ";
  if (quiet) line += "2>/dev/null";
  FILE* pipe = popen(line.c_str(), "r");
  if (!pipe) throw std::runtime_error("cannot start: " + line);
  Answer answer;
  char part[4096];
  while (const size_t count = fread(part, 1, sizeof(part), pipe)) answer.text.append(part, count);
  const int status = pclose(pipe);
  answer.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return answer;
}

bool is_peer(const std::string& method) {
  return method == "lightly" || method == "solo-learn";
}

std::vector<std::string> command_for(const std::string& program, const Case& one,
                                     const std::string& method, int ranks) {
  const std::vector<std::string> what{"--images", std::to_string(one.images),
                                      "--dim",    std::to_string(one.width),
                                      "--dtype",  one.type};
  std::vector<std::string> words;
  if (is_peer(method)) {
    words = {python(), script("ntxent_peers.py"), method, "--threads", std::to_string(cores())};
  } else {
    if (ranks > 1)
      words = {"mpirun", "-n", std::to_string(ranks), "--oversubscribe", "--bind-to", "none"};
    words.insert(words.end(), {program, "--worker", method});
  }
  words.insert(words.end(), what.begin(), what.end());
  return words;
}

/// Peak of all processes together, roughly: matrices of M x M as they were measured at N = 8,192,
/// and twelve of the embeddings.
double needed_bytes(const Case& one, const std::string& method, int ranks) {
  const bool short_numbers = one.type == "bfloat16";
  double squares = 0;  // as many matrices of float32
  if (method == "dense") squares = 6.6;
  if (method == "lightly") squares = short_numbers ? 4.4 : 5.4;
  if (method == "solo-learn") squares = short_numbers ? 3.3 : 6.3;
  const double copies = 12 * (is_peer(method) ? 1 : ranks);
  const double elements =
      squares * one.rows() * one.rows() + copies * one.rows() * static_cast<double>(one.width);
  return 4 * elements + 0.3e9 * (is_peer(method) ? 1 : ranks);
}

/// The last line of a worker's output that is JSON; other lines are the libraries'.
nlohmann::json last_json(const std::string& text) {
  std::istringstream lines(text);
  nlohmann::json found;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && line[0] == '{') found = nlohmann::json::parse(line, nullptr, false);
  return found;
}

class Rounds {
 public:
  Rounds(std::string program, int repeats, bool with_peers)
      : program_(std::move(program)), repeats_(repeats), with_peers_(with_peers) {}

  CaseFigures measure(const Case& one) {
    CaseFigures found{.one = one, .figures = figures_of(one), .floor_rounds = {}};
    for (int round = 0; round < repeats_; ++round) {
      if (auto line = ask(one, "floor", 1); line.is_object())
        found.floor_rounds.push_back(std::move(line));
      else
        failed_ = true;
      for (Figure& figure : found.figures) measure(one, figure, round);
    }
    return found;
  }

  bool failed() const { return failed_; }

 private:
  std::vector<Figure> figures_of(const Case& one) const {
    std::vector<Figure> figures;
    const auto add = [&](const char* method, int ranks) {
      figures.push_back({.method = method, .ranks = ranks, .rounds = {}, .why_not = ""});
    };
    for (const int ranks : one.ranks) {
      if (ranks == 1) {
        add("cltrain", 1);  // nothing travels: the three exchanges are the same
      } else {
        add("cltrain-gather", ranks);
        add("cltrain-balanced", ranks);
        add("cltrain-ring", ranks);
      }
      add("dense", ranks);
      if (ranks == 1) add("tiles", ranks);
    }
    if (with_peers_) {
      add("lightly", 1);
      add("solo-learn", 1);
    }
    return figures;
  }

  void measure(const Case& one, Figure& figure, int round) {
    if (!figure.why_not.empty()) return;
    const double needed = needed_bytes(one, figure.method, figure.ranks);
    if (needed > kShareOfFreeMemory * static_cast<double>(available_bytes())) {
      std::ostringstream text;
      text << "needs " << std::fixed << std::setprecision(1) << needed / kGB << " GB, not run";
      figure.why_not = text.str();
      figure.rounds.clear();
      return;
    }
    if (isatty(STDERR_FILENO))
      std::cerr << "\r\033[Kround " << round + 1 << " of " << repeats_ << ": N=" << one.images
                << " D=" << one.width << " " << one.type << ", " << figure.method << " on "
                << figure.ranks << "\r" << std::flush;
    nlohmann::json line = ask(one, figure.method, figure.ranks);
    if (line.is_object()) {
      figure.rounds.push_back(std::move(line));
    } else {
      figure.why_not = "failed";
      figure.rounds.clear();
      failed_ = true;
    }
  }

  /// A worker's JSON line; null, and a message, if it failed.
  nlohmann::json ask(const Case& one, const std::string& method, int ranks) const {
    const std::vector<std::string> words = command_for(program_, one, method, ranks);
    const Answer answer = run_command(words);
    nlohmann::json line = last_json(answer.text);
    if (answer.status == 0 && line.is_object()) return line;
    std::cerr << "error: exit code " << answer.status << " and no result of:";
    for (const std::string& word : words) std::cerr << " " << word;
    std::cerr << "\n" << answer.text;
    return nullptr;
  }

  std::string program_;
  int repeats_;
  bool with_peers_, failed_ = false;
};

bool find_peers(std::ostream& out) {
  const Answer check = run_command({python(), script("ntxent_peers.py"), "--check"}, true);
  if (check.status == 0)
    out << "peers: " << check.text;
  else
    out << "peers: not measured, " << python()
        << " cannot import lightly and torch (bench/run.sh ntxent installs them)\n";
  return check.status == 0;
}

}  // namespace

int run_driver(const Options& options, const std::string& program) {
  if (geteuid() == 0) {  // Open MPI refuses root unless told twice
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  }
  std::ostream& out = options.json == "-" ? std::cerr : std::cout;
  std::ostringstream lines;
  std::ofstream file;
  if (!options.json.empty() && options.json != "-") {
    file.open(options.json);
    if (!file) throw std::runtime_error("--json: cannot write '" + options.json + "'");
  }
  out << "NT-Xent forward and backward, " << cores() << " cores, median of " << options.repeats
      << " rounds; x: how many times as fast, but x floor: times the floor\n";
  // Methods of many short parallel steps suffer most from other programs: ratios change too.
  if (const double busy = busy_cores(1); busy > kIdleCores)
    out << "warning: other programs keep " << std::setprecision(2) << busy
        << " cores busy; times and ratios are not to be trusted\n";
  Rounds rounds(program, options.repeats, find_peers(out));
  print_head(out);
  bool differ = false;
  for (const Case& one : options.grid) {
    const CaseFigures found = rounds.measure(one);
    if (isatty(STDERR_FILENO)) std::cerr << "\033[K" << std::flush;
    print_table(out, found);
    print_json(lines, found);
    if (file.is_open()) print_json(file, found);
    if (options.json == "-") print_json(std::cout, found);
    for (const std::string& line : differences(found)) {
      std::cerr << "differs: " << line << "\n";
      differ = true;
    }
  }
  bool drawn = true;
  if (!options.plot.empty()) {
    const std::string name = fs::temp_directory_path() / ("ntxent-" + std::to_string(getpid()));
    std::ofstream(name) << lines.str();
    drawn = run_command({python(), script("ntxent_plot.py"), name, options.plot}).status == 0;
    fs::remove(name);
    if (drawn) out << "plot: " << options.plot << "\n";
  }
  return rounds.failed() || differ || !drawn ? 1 : 0;
}

}  // namespace cltrain::ntxent
