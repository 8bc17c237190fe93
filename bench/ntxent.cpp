// How long NT-Xent takes forward and backward (gradients to the embeddings and the temperature) and
// how much memory it needs meanwhile: cltrain's engine beside the dense formula, a loop of tiles
// written with ATen, lightly's NTXentLoss and solo-learn's formula, all in one run, in turn.
//
// One program, two parts: the driver (ntxent_driver.h) prints the tables and starts itself as
// worker (ntxent_worker.h), in a fresh process, or several under mpirun, for each figure, so that
// peak memory is that figure's alone. The Python peers are processes too (ntxent_peers.py).
//
// usage: ntxent --help. Exit codes: 0; 1 something failed or results differ; 2 a wrong option.
#include "bench/ntxent_driver.h"
#include "bench/ntxent_options.h"
#include "bench/ntxent_worker.h"

#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <c10/util/Exception.h>

int main(int count, char** words) {
  using namespace cltrain::ntxent;
  try {
    const Options options = parse_options(std::vector<std::string>(words + 1, words + count));
    if (options.help) {
      std::cout << help_text();
      return 0;
    }
    if (!options.worker.empty()) return run_worker(options);
    return run_driver(options, std::filesystem::canonical("/proc/self/exe"));
  } catch (const std::invalid_argument& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << "error: " << error.what_without_backtrace() << "\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
