// The threads of a CUDA block as fibers on one CPU thread: code that is written for a block
// (barriers and exchanges between lanes) runs as it is, in a fixed order. For tests of kernel code.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include <ucontext.h>

namespace cltrain {

class Fibers {
 public:
  /// Calls body(thread) for `count` threads and returns when all have returned. A barrier that some
  /// thread never reaches would be waited for without end.
  void run(int count, const std::function<void(int)>& body) {
    body_ = &body;
    const auto threads = static_cast<size_t>(count);
    contexts_.resize(threads);
    while (stacks_.size() < threads) stacks_.emplace_back(new char[kStack]);
    done_.assign(threads, false);
    block_ = {};
    warps_.assign((threads + 31) / 32, {});
    slots_.assign(threads, {});
    for (size_t i = 0; i < threads; ++i) {
      getcontext(&contexts_[i]);
      contexts_[i].uc_stack.ss_sp = stacks_[i].get();
      contexts_[i].uc_stack.ss_size = kStack;
      contexts_[i].uc_link = &scheduler_;
      const auto address = reinterpret_cast<uintptr_t>(this);
      makecontext(&contexts_[i], reinterpret_cast<void (*)()>(&Fibers::enter), 2,
                  static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    }
    for (size_t left = threads; left > 0;)
      for (current_ = 0; current_ < threads; ++current_) {
        if (done_[current_]) continue;
        swapcontext(&scheduler_, &contexts_[current_]);
        if (done_[current_]) --left;
      }
  }

  /// All threads.
  void sync() { arrive(block_, contexts_.size()); }

  /// The value of the lane of the same warp whose number differs by the bits of `mask`; all 32
  /// lanes call.
  template <class T>
  T exchange(T value, int mask) {
    static_assert(sizeof(T) <= sizeof(Slot{}.bytes[0]));
    const size_t mine = current_;
    Slot& slot = slots_[mine];
    // Two places in turn: nobody is two exchanges ahead of a lane that has not read yet.
    const int place = slot.next ^= 1;
    std::memcpy(slot.bytes[place], &value, sizeof(T));
    arrive(warps_[mine / 32], 32);
    std::memcpy(&value, slots_[mine ^ static_cast<size_t>(mask)].bytes[place], sizeof(T));
    return value;
  }

 private:
  static constexpr size_t kStack = size_t{128} << 10;
  struct Barrier {
    size_t arrived = 0, round = 0;
  };
  struct Slot {
    int next = 0;
    unsigned char bytes[2][8] = {};
  };

  static void enter(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<Fibers*>(uintptr_t{high} << 32 | low);
    const size_t thread = self->current_;
    (*self->body_)(static_cast<int>(thread));
    self->done_[thread] = true;
  }

  void arrive(Barrier& barrier, size_t count) {
    const size_t round = barrier.round;
    if (++barrier.arrived == count) {
      barrier.arrived = 0;
      ++barrier.round;
    }
    while (barrier.round == round) {
      const size_t mine = current_;
      swapcontext(&contexts_[mine], &scheduler_);
    }
  }

  const std::function<void(int)>* body_ = nullptr;
  std::vector<ucontext_t> contexts_;
  std::vector<std::unique_ptr<char[]>> stacks_;
  std::vector<bool> done_;
  ucontext_t scheduler_{};
  size_t current_ = 0;
  Barrier block_;
  std::vector<Barrier> warps_;
  std::vector<Slot> slots_;
};

}  // namespace cltrain
