#include "monitoring/text_server.h"

#include <chrono>
#include <thread>

#include <httplib.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

namespace cltrain {
namespace {

constexpr size_t kThreads = 2;
constexpr int kPatienceSeconds = 5;  // with a slow or silent client

/// Threads started while it lives inherit a mask that blocks every signal.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

struct TextServer::State {
  httplib::Server server;
  std::thread thread;
};

TextServer::TextServer(std::string path, std::string content_type,
                       std::function<std::string()> text)
    : state_(std::make_unique<State>()) {
  httplib::Server& server = state_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kPatienceSeconds);
  server.set_write_timeout(kPatienceSeconds);
  server.set_keep_alive_max_count(1);  // a silent client must not hold a thread or the end of a run
  server.set_payload_max_length(4096);
  // The library's default shares a busy port with whoever has it (SO_REUSEPORT).
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.Get(path, [content_type = std::move(content_type), text = std::move(text)](
                       const httplib::Request&, httplib::Response& response) {
    response.set_content(text(), content_type);
  });
}

TextServer::~TextServer() {
  state_->server.stop();
  if (state_->thread.joinable()) state_->thread.join();
}

int TextServer::open(const std::string& bind, int port) {
  httplib::Server& server = state_->server;
  const int taken = port == 0                         ? server.bind_to_any_port(bind)
                    : server.bind_to_port(bind, port) ? port
                                                      : -1;
  if (taken <= 0) return 0;
  const BlockedSignals blocked;
  state_->thread = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return taken;
}

}  // namespace cltrain
