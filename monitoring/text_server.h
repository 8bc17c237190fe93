// A small HTTP server of one text (cpp-httplib below it). prometheus-cpp's own Exposer cannot be
// used in this program: its threads get 100 KB of stack, less than the thread-local storage of the
// CUDA libraries, and pthread_create refuses them.
//
// Threads: its own, with all signals blocked so that the program's handlers run on the program's
// threads. `text` is called on them. Errors: open() returns 0 when the port cannot be had.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace cltrain {

class TextServer {
 public:
  /// Serves GET `path` with what `text` returns.
  TextServer(std::string path, std::string content_type, std::function<std::string()> text);
  ~TextServer();  ///< ends at once
  TextServer(const TextServer&) = delete;
  TextServer& operator=(const TextServer&) = delete;

  /// Listens on bind:port; port 0 takes a free one. Returns the port, or 0 if it cannot be had.
  int open(const std::string& bind, int port);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cltrain
